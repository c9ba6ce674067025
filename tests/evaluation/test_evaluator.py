import json
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import paddle
import pytest

from ds2 import layout, params
from ds2.audio import reading
from ds2.data import features, manifest, snr
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.decoding import hot_words, ngram
from ds2.decoding.beam import BeamSearch
from ds2.errors import UserError
from ds2.evaluation.evaluator import Evaluation, Prediction, evaluate
from ds2.model import build
from ds2.recognition import alignment, recognised
from ds2.recognition.calibration import Calibration, Scale
from ds2.recognition.manifest_pass import ManifestPass
from ds2.recognition.paddle_model import PaddleModel
from tests.decoding import arpa
from tests.training import tiny

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The tiny data and, in models/, a model that has learned a part of it."""
    folder = tmp_path_factory.mktemp("data")
    tiny.write_data(folder)
    return folder


@pytest.fixture(scope="module")
def model(root):
    trained = tiny.train(root, root, tiny.settings(num_epoch=3)).model
    trained.eval()
    return trained


def run(model, root, read=None, batch_size=4, workers=0, search=None):
    data = tiny.data(root)
    read = Manifest(root / layout.manifest_path("test")) if read is None else read
    with Loader(read, Assembler(tiny.settings().features, data.statistics), workers) as loader:
        return evaluate(tiny.acoustic(model, root), read, loader, batch_size, search)


def reordered(root, path, order):
    whole = list(Manifest(root / layout.manifest_path("test")))
    manifest.write(path, [whole[i] for i in order])
    return Manifest(path)


def texts(evaluation):
    """All of the predictions but the confidence, which the network's rounding moves in the last digits."""
    return [(p.audio_filepath, p.reference, p.hypothesis, p.speaker, p.duration) for p in evaluation.predictions]


@pytest.fixture(scope="module")
def result(model, root):
    return run(model, root)


def test_the_model_says_different_things_and_not_always_the_right_ones(result):
    # Else the tests below would prove little.
    assert len({prediction.hypothesis for prediction in result.predictions}) > 5
    assert 0 < result.errors("cer").rate < 1


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_does_not_change_the_result(batch_size, model, root, result):
    assert texts(run(model, root, batch_size=batch_size)) == texts(result)


@pytest.fixture(scope="module")
def search(root):
    vocabulary = tiny.data(root).vocabulary
    train = Manifest(root / layout.manifest_path("train"))
    sentences = [[{" ": "<space>"}.get(character, character) for character in one.text] for one in train]
    path = arpa.write(root / "lm.arpa", sentences, 3)
    return BeamSearch(20, 3.0, 1.0, ngram.read(path, vocabulary), hot_words.build({}, vocabulary), 0.99, 10)


@pytest.fixture(scope="module")
def searched(model, root, search):
    return run(model, root, search=search)


def test_a_beam_search_says_something_else_and_keeps_the_best_paths_beside_it(searched, result):
    assert searched.greedy == [prediction.hypothesis for prediction in result.predictions]
    assert result.greedy is None
    assert [p.hypothesis for p in searched.predictions] != [p.hypothesis for p in result.predictions]
    assert [p.reference for p in searched.predictions] == [p.reference for p in result.predictions]


@pytest.mark.parametrize("batch_size", [1, 100])
def test_the_batch_size_does_not_change_what_a_beam_search_finds(batch_size, model, root, search, searched):
    again = run(model, root, batch_size=batch_size, search=search).predictions
    assert [p.hypothesis for p in again] == [p.hypothesis for p in searched.predictions]


def test_the_confidence_is_the_networks(result, searched, model, root):
    read = Manifest(root / layout.manifest_path("test"))
    data = tiny.data(root)
    with Loader(read, Assembler(tiny.settings().features, data.statistics), 0) as loader:
        logs = dict(chain.from_iterable(ManifestPass(tiny.acoustic(model, root), read, loader, 4)))
    for position, (greedy, beam) in enumerate(zip(result.predictions, searched.predictions, strict=True)):
        assert np.exp(logs[position].max(axis=1).sum()) <= greedy.confidence * 1.001 <= 1.001
        for prediction in (greedy, beam):
            ids = data.vocabulary.encode(prediction.hypothesis)
            expected = np.exp(alignment.log_likelihood(logs[position], ids))
            assert prediction.confidence == pytest.approx(expected, rel=1e-3)
            assert len(prediction.word_confidences) == len(recognised.split(prediction.hypothesis))
            assert all(0 < sure <= 1 for sure in prediction.word_confidences)


def test_a_calibration_changes_confidences_and_no_text(result):
    found = result.calibrated(Calibration(Scale(2.0, -1.0), Scale(3.0, 0.5)))
    assert texts(found) == texts(result)
    assert found.uncalibrated == result.predictions
    assert found.numbers("cer") == result.numbers("cer")
    for before, after in zip(result.predictions, found.predictions, strict=True):
        assert after.confidence == pytest.approx(Scale(3.0, 0.5)(before.confidence))
        assert after.word_confidences == tuple(map(Scale(2.0, -1.0), before.word_confidences))


def test_worker_processes_do_not_change_the_result(model, root, result):
    assert run(model, root, workers=2).predictions == result.predictions


def test_predictions_have_the_signal_to_noise_ratio_of_their_own_audio(result, root):
    for prediction in result.predictions:
        samples = reading.load(Path(prediction.audio_filepath), tiny.RATE)
        assert prediction.snr == snr.estimate(features.extract(samples, tiny.settings().features))
    assert len({round(prediction.snr, 1) for prediction in result.predictions}) > 3


def test_predictions_stand_in_the_manifests_order(result, root):
    read = Manifest(root / layout.manifest_path("test"))
    assert [(p.audio_filepath, p.reference) for p in result.predictions] == [
        (utterance.audio_filepath, utterance.text) for utterance in read
    ]
    assert not (read.durations[:-1] <= read.durations[1:]).all()  # which is not the order that they are decoded in


def test_the_order_of_the_manifest_does_not_change_what_is_recognised(model, root, result, tmp_path):
    order = [5, 0, 13, 7, 1, 2, 12, 3, 11, 4, 6, 8, 9, 10]
    other = run(model, root, reordered(root, tmp_path / "manifest", order))
    assert texts(other) == [texts(result)[i] for i in order]
    assert other.errors("cer") == result.errors("cer")


def test_a_part_of_the_manifest_is_recognised_as_in_the_whole(model, root, result, tmp_path):
    assert texts(run(model, root, reordered(root, tmp_path / "manifest", [8]))) == [texts(result)[8]]


def test_an_empty_manifest_is_refused_by_a_sentence_that_names_it(model, root, tmp_path):
    path = tmp_path / "manifest.test"
    path.write_text("")
    with pytest.raises(UserError, match=r"manifest\.test is empty"):
        run(model, root, Manifest(path))


@pytest.mark.parametrize("content", [None, b"", b"not audio at all" * 100])
@pytest.mark.parametrize("batch_size", [1, 14])
def test_a_file_that_cannot_be_read_is_refused_and_not_left_out(content, batch_size, model, tmp_path):
    tiny.write_data(tmp_path)
    path = Path(Manifest(tmp_path / layout.manifest_path("test"))[6].audio_filepath)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        run(model, tmp_path, batch_size=batch_size)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_that_it_was_in(training, root):
    fresh = build(tiny.settings(), len(tiny.data(root).vocabulary))
    fresh.train() if training else fresh.eval()
    run(fresh, root)
    assert {layer.training for layer in fresh.sublayers(include_self=True)} == {training}


def test_scoring_uses_evaluation_mode_and_moves_nothing(root, model, result):
    before = tiny.weights(model)
    model.train()
    again = run(model, root)
    model.eval()
    assert again.predictions == result.predictions
    assert tiny.same_bits(tiny.weights(model), before)


def test_scoring_draws_no_random_numbers(root, model):
    paddle.seed(11)
    expected = paddle.rand([4]).numpy().tolist()
    paddle.seed(11)
    run(model, root)
    assert paddle.rand([4]).numpy().tolist() == expected


@pytest.mark.parametrize(("first", "second"), [("cer", "wer"), ("wer", "cer")])
def test_metrics_are_flat_numbers_with_the_chosen_rate_first(first, second, result):
    metrics = result.numbers(first)
    assert list(metrics)[:2] == [first, second]
    assert all(type(value) in (int, float) for value in metrics.values())


def test_metrics_agree_with_the_predictions():
    predictions = [
        Prediction("1.wav", "你好", "你好"),
        Prediction("2.wav", "你 好 a", "你好"),
        Prediction("3.wav", "a", "b a"),
    ]
    greedy = [*(prediction.hypothesis for prediction in predictions[:2]), "b"]
    metrics = Evaluation(predictions, 8.0, 2.0, network_seconds=0.8, decoder_seconds=0.4, greedy=greedy).numbers("cer")
    assert metrics.pop("cer_low") <= 2 / 6 <= metrics.pop("cer_high")
    assert metrics == {
        "cer": round(2 / 6, 6),
        "wer": round(4 / 5, 6),
        "cer_greedy": round(2 / 6, 6),
        "cer_beam": round(2 / 6, 6),
        "insertions": 1,
        "deletions": 1,
        "substitutions": 0,
        "reference_length": 6,
        "utterances": 3,
        "sentence_error_rate": round(2 / 3, 6),
        "seconds_of_audio": 8.0,
        "real_time_factor": 0.25,
        "real_time_factor_network": 0.1,
        "real_time_factor_decoder": 0.05,
    }


def test_each_decoder_has_its_rate():
    beam, greedy = [Prediction("1.wav", "a b", "a b")], [Prediction("1.wav", "a b", "a x")]
    metrics = Evaluation(beam, 1.0, 1.0, greedy=["a x"]).numbers("wer")
    assert (metrics["wer"], metrics["wer_beam"], metrics["wer_greedy"]) == (0, 0, 0.5)
    metrics = Evaluation(greedy, 1.0, 1.0).numbers("cer")
    assert (metrics["cer"], metrics["cer_greedy"]) == (0.5, 0.5)
    assert "cer_beam" not in metrics


def test_the_counts_are_those_of_the_rate_that_comes_first():
    metrics = Evaluation([Prediction("1.wav", "a b c", "a x")], 1.0, 1.0).numbers("wer")
    assert [metrics[name] for name in ("substitutions", "deletions", "insertions", "reference_length")] == [1, 1, 0, 3]


def test_the_seconds_of_audio_are_those_of_the_manifest(result, root):
    assert result.audio_seconds == pytest.approx(Manifest(root / layout.manifest_path("test")).durations.sum())
    assert result.seconds > 0


@pytest.fixture
def copied(workspace, root):
    """The trained model and its data where the stage looks for them."""
    for part in ("dataset", "models"):
        shutil.rmtree(workspace / part, ignore_errors=True)
        shutil.copytree(root / part, workspace / part)
    return workspace


def stage_settings(**evaluate):
    chosen = tiny.settings()
    section = chosen.evaluate.model_copy(update={"checkpoint": "epoch_3"} | evaluate)
    return chosen.model_copy(update={"evaluate": section})


@pytest.mark.parametrize("decoder", ["ctc_prefix_beam", "ctc_beam_search"])
def test_the_stage_decodes_as_the_parameters_say(decoder, copied, root, model, result):
    from ds2.evaluation import session

    words = {result.predictions[0].reference[:2]: 50.0}
    settings = stage_settings(decoder=decoder, alpha=0.7, beta=0.2, beam_size=9, cutoff_top_n=5, hot_words=words)
    arpa.write(layout.LANGUAGE_MODEL, [["你"], ["a", "好"]], 2)
    session.evaluate(settings)
    vocabulary = tiny.data(root).vocabulary
    with_model = decoder == "ctc_beam_search"
    language_model = ngram.read(layout.LANGUAGE_MODEL, vocabulary) if with_model else ngram.empty(len(vocabulary))
    weights = (0.7, 0.2) if with_model else (0.0, 0.0)
    search = BeamSearch(9, *weights, language_model, hot_words.build(words, vocabulary), 0.99, 5)
    expected = run(model, root, search=search)
    rows = [json.loads(line) for line in layout.PREDICTIONS.read_text(encoding="utf-8").splitlines()]
    assert [row["hypothesis"] for row in rows] == [p.hypothesis for p in expected.predictions]
    metrics = json.loads(layout.EVALUATE_NUMBERS.read_text())
    assert metrics["cer_greedy"] == pytest.approx(result.errors("cer").rate, abs=1e-6)
    assert metrics["cer"] == metrics["cer_beam"] == pytest.approx(expected.errors("cer").rate, abs=1e-6)


def test_hot_words_are_spelled_by_the_rules_of_the_checkpoint(copied, result, warnings):
    from ds2.evaluation import session

    settings = stage_settings(decoder="ctc_prefix_beam", hot_words={"A": 1.0})
    model, name = session.chosen_model(settings)
    for lower_case, said in ((True, 0), (False, 1)):
        rules = params.TextSettings(lower_case=lower_case)
        one = replace(model, settings=model.settings.model_copy(update={"text": rules}))
        session.score(settings, one, name, layout.manifest_path("test"))
        assert sum("hot word A: the model does not know A" in warning for warning in warnings) == said


def test_a_search_without_its_language_model_says_what_to_run(copied):
    from ds2.evaluation import session

    with pytest.raises(UserError, match=r"dataset/lm\.arpa does not exist.*dvc repro lm"):
        session.evaluate(stage_settings(decoder="ctc_beam_search"))
    assert not layout.EVALUATE_METRICS.exists()


def test_the_stage_scores_the_checkpoint_with_its_own_vocabulary_and_statistics(copied, result):
    from ds2.evaluation import session

    (copied / layout.VOCABULARY).write_text("<blank>\n<unk>\nx\n")
    (copied / layout.MEAN_ISTD).unlink()
    for split in ("train", "dev"):  # the test data alone are scored
        (copied / layout.manifest_path(split)).unlink()
    session.evaluate(stage_settings().model_copy(update={"features": params.FeaturesSettings(target_db=None)}))
    lines = (copied / layout.PREDICTIONS).read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(result.predictions)
    text = (copied / layout.ERRORS).read_text(encoding="utf-8")
    assert text.startswith(f"CER {result.errors('cer').rate:.2%}")
    page = (copied / layout.REPORT).read_text(encoding="utf-8")
    assert f"{100 * result.errors('cer').rate:.2f} %</data>" in page
    assert "ctc_greedy" in page
    assert "epoch_3 (epoch 3)" in page
    metrics = json.loads((copied / layout.EVALUATE_METRICS).read_text())
    assert list(metrics) == ["cer", "cer_low", "cer_high"]
    assert metrics.items() <= json.loads((copied / layout.EVALUATE_NUMBERS).read_text()).items()


def test_the_stage_counts_what_the_parameters_name_in_batches_of_their_size(copied, result, monkeypatch, warnings):
    from ds2.evaluation import session

    layout.manifest_path("dev").unlink()
    sizes, forward = [], PaddleModel.log_probabilities

    def watch(model, batch):
        sizes.append(len(batch))
        return forward(model, batch)

    monkeypatch.setattr(PaddleModel, "log_probabilities", watch)
    session.evaluate(stage_settings(metrics_type="wer", batch_size=5))
    assert sizes == [5, 5, 4]
    assert next(iter(json.loads(layout.EVALUATE_METRICS.read_text()))) == "wer"
    rows = [json.loads(line) for line in layout.PREDICTIONS.read_text(encoding="utf-8").splitlines()]
    assert [row["errors"] for row in rows] == [prediction.errors("wer").total for prediction in result.predictions]
    assert layout.ERRORS.read_text(encoding="utf-8").startswith(f"WER {result.errors('wer').rate:.2%}")
    said = "there are no utterances in dataset/manifest.dev: confidences are the network's own, not calibrated"
    assert warnings.count(said) == 1
    assert [row["confidence"] for row in rows] == [round(one.confidence, 4) for one in result.predictions]


def test_the_stage_calibrates_confidences_on_the_dev_data_and_changes_no_text(copied, result):
    from ds2.evaluation import session

    session.evaluate(stage_settings())
    rows = [json.loads(line) for line in layout.PREDICTIONS.read_text(encoding="utf-8").splitlines()]
    assert [row["hypothesis"] for row in rows] == [one.hypothesis for one in result.predictions]
    assert [row["confidence"] for row in rows] != [round(one.confidence, 4) for one in result.predictions]
    assert "before the calibration" in layout.REPORT.read_text(encoding="utf-8")


@pytest.mark.parametrize("on", ["dev", "test"])
def test_a_model_that_was_chosen_on_the_test_data_is_said_to_be(on, tmp_path, monkeypatch, warnings):
    from ds2.evaluation import session

    tiny.write_data(tmp_path)
    tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=1, evaluate_on=on))
    monkeypatch.chdir(tmp_path)
    session.evaluate(stage_settings(checkpoint="best_model"))
    said = "the model was chosen by its score on dataset/manifest.test: expect a higher error rate on other data"
    assert (said in warnings) == (on == "test")
    page = layout.REPORT.read_text(encoding="utf-8")
    assert ("The model was chosen by its score on these data" in page) == (on == "test")


def test_the_stage_scores_a_checkpoint_named_by_its_path(copied, result):
    from ds2.evaluation import session

    (copied / "pretrained").mkdir()
    (copied / "models/epoch_3").rename(copied / "pretrained/mine")
    session.evaluate(stage_settings(checkpoint="pretrained/mine"))
    metrics = json.loads(layout.EVALUATE_METRICS.read_text())
    assert metrics["cer"] == pytest.approx(result.errors("cer").rate, abs=1e-6)


def test_the_stage_names_a_checkpoint_that_does_not_exist(workspace):
    from ds2.evaluation import session

    with pytest.raises(UserError, match="models/best_model"):
        session.evaluate(tiny.settings())


def test_the_stage_says_which_parameter_to_lower_where_the_memory_is_too_small(copied, monkeypatch):
    from ds2.evaluation import session

    def forward(model, batch):
        raise MemoryError("(ResourceExhausted) Fail to alloc memory of 902000000 size, error code is 12.")

    monkeypatch.setattr(PaddleModel, "log_probabilities", forward)
    with pytest.raises(
        UserError, match=r"not enough memory to score 16 utterances at once: lower evaluate\.batch_size"
    ):
        session.evaluate(stage_settings())
