import json
import re
import shutil

import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from ds2 import layout, params
from ds2.checkpoint import disk
from ds2.evaluation import session
from stages.manifest import main as manifest_stage
from tests.checkpoint import hostile
from tests.conftest import tone
from tests.training import tiny

pytestmark = pytest.mark.wheel


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def set_evaluate(workspace, **changed):
    """Changes the section evaluate of params.yaml."""
    values = json.loads((workspace / layout.PARAMS).read_text())
    values["evaluate"] |= changed
    (workspace / layout.PARAMS).write_text(json.dumps(values))


def test_it_writes_what_the_stage_writes_into_a_folder_of_its_own(copied, command):
    set_evaluate(copied, checkpoint="epoch_3", decoder="ctc_prefix_beam", beam_size=5, metrics_type="wer")
    session.evaluate(params.load())
    before = everything(copied)
    code, out, _ = command("evaluate", "--model", "models/epoch_3", "--out", "scored/here")
    assert code == 0
    after = everything(copied)
    new = {path.name: content for path, content in after.items() if path.parent == copied / "scored/here"}
    assert {path: content for path, content in after.items() if path.parent != copied / "scored/here"} == before
    stage = {path.name: content for path, content in before.items() if path.parent == copied / "results"}
    written = {"predictions.jsonl", "errors.txt", "evaluate.json", "evaluation.json", "report.html"}
    assert new.keys() == stage.keys() == written
    for name in ("predictions.jsonl", "errors.txt", "evaluate.json"):
        assert new[name] == stage[name]
    scores, expected = (
        {k: v for k, v in json.loads(one["evaluation.json"]).items() if "real" not in k} for one in (new, stage)
    )
    assert scores == expected
    page = new["report.html"].decode()
    assert "ctc_prefix_beam" in page
    assert "models/epoch_3 (epoch 3)" in page
    low, high = scores["wer_low"], scores["wer_high"]
    assert out == f"{new['errors.txt'].decode().splitlines()[0]}; 95 % interval {low:.2%} to {high:.2%}\n"
    assert out.startswith("WER ")


def test_any_model_is_scored_on_any_manifest_and_nothing_is_written(copied, command):
    manifest = copied / layout.manifest_path("test")
    (copied / "my.manifest").write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:5]))
    manifest.unlink()
    (copied / "models/epoch_3").rename(copied / "mine")
    before = everything(copied)
    code, out, err = command("evaluate", "--model", "mine", "--manifest", "my.manifest")
    assert code == 0
    assert re.fullmatch(r"CER [\d.]+%: .*; \d of 5 utterances have errors; 95 % interval [\d.]+% to [\d.]+%\n", out)
    assert "mine (epoch 3) on 5 utterances of my.manifest" in err
    assert everything(copied) == before


def test_a_test_set_that_is_too_small_is_called_so_at_the_end_of_the_stage(copied, log):
    session.evaluate(params.load())
    assert log[-1].startswith("the test data is too small to rely on its error rate: ")


def test_a_test_set_that_is_too_small_is_called_so_at_the_end_of_the_command(copied, command):
    _, _, err = command("evaluate")
    assert "WARNING the test data is too small to rely on its error rate: " in err.splitlines()[-1]


def test_without_options_it_is_the_best_model_on_the_test_data(copied, command):
    _, out, err = command("evaluate")
    origin = disk.read_state(copied / "models/best_model").origin
    assert f"models/best_model ({origin}) on {len(tiny.TEXTS)} utterances of dataset/manifest.test" in err
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--model", "none"], "none does not exist"),
        (["--model", "models"], "name one of them, such as models/best_model"),
        (["--manifest", "none"], "--manifest none: there is no such file"),
        (["--out", "taken"], "taken cannot be used (File exists)"),
        (["--list", "none"], "--list none: there is no such file; it should be an annotation"),
        (["--list", "taken", "--manifest", "taken"], "argument --manifest: not allowed with argument --list"),
        (["--beta", "2"], "dataset/lm.arpa does not exist: ctc_beam_search needs a language model"),
    ],
)
def test_what_cannot_be_is_refused_by_a_sentence(arguments, part, copied, refused):
    (copied / "taken").write_text("mine")
    before = everything(copied)
    assert part in refused("evaluate", *arguments)
    assert everything(copied) == before


def test_without_params_it_says_where_to_run(copied, refused):
    (copied / layout.PARAMS).unlink()
    assert "params.yaml does not exist" in refused("evaluate")


@pytest.mark.parametrize("decoder", ["ctc_greedy", "ctc_prefix_beam"])
def test_a_network_whose_output_is_no_number_is_scored_by_nobody(copied, command, decoder):
    spoil(copied / "models/best_model")
    soundfile.write(copied / "a.wav", tone(1.0), 16000)
    set_evaluate(copied, decoder=decoder)
    for arguments in (("evaluate", "--out", "scored"), ("transcribe", "a.wav")):
        code, out, err = command(*arguments)
        assert (code, out) == (1, "")
        assert "error: the network's output is not a number" in err.splitlines()[-1]
        assert "RuntimeWarning" not in err
    assert list((copied / "scored").iterdir()) == []


def spoil(folder):
    """Makes weights so great that the output overflows, in a checkpoint whose hashes are right."""
    arrays = load_file(folder / disk.MODEL)
    arrays["output.weight"][:] = 3e38
    save_file(arrays, folder / disk.MODEL)
    hostile.seal(folder)


@pytest.fixture
def annotated(copied, root):
    """The test data as an annotation, with lines that the stage manifest rejects, and what the stages make of it."""
    lines = [f"audio/{i}.wav\t{text.upper()}，\tspeaker" for i, text in enumerate(tiny.TEXTS)]
    lines += ["none.wav\t你", "", "no tab", "audio/0.wav\t，"]
    shutil.copytree(root / "audio", "audio")
    (copied / "dataset/annotation").mkdir()
    (copied / "my.txt").write_text("\n".join(lines), encoding="utf-8")
    shutil.copy("my.txt", "dataset/annotation/my.test.txt")
    for part, seconds in (("dev", 1.0), ("train", 2.0)):
        soundfile.write(f"{part}.wav", tone(seconds), 16000)
        (copied / f"dataset/annotation/my.{part}.txt").write_text(f"{part}.wav\t你好\t{part}", encoding="utf-8")
    chosen = tiny.write_params(copied)
    values = chosen.model_dump(mode="json")
    values["manifest"] |= {"max_rejected_fraction": 0.9, "min_duration": 0.1}
    values["evaluate"] |= {"decoder": "ctc_prefix_beam", "beam_size": 20}
    (copied / layout.PARAMS).write_text(json.dumps(values))
    manifest_stage(params.load())
    session.evaluate(params.load())
    return copied


def test_an_annotation_is_scored_as_the_stages_score_it(annotated, command):
    (annotated / layout.PARAMS).rename("elsewhere.yaml")
    arguments = ("--list", "my.txt", "--out", "scored", "--params", "elsewhere.yaml")
    code, _, err = command("evaluate", *arguments)
    assert code == 0
    assert "4 of 18 lines rejected and not scored (" in err
    assert "1 missing_audio" in err
    assert "the first is my.txt line 15: none.wav: there is no such file" in err
    for name in ("predictions.jsonl", "errors.txt"):
        assert (annotated / "scored" / name).read_bytes() == (annotated / "results" / name).read_bytes()
    scores, expected = (json.loads((annotated / of / "evaluation.json").read_text()) for of in ("scored", "results"))
    assert {name for name in expected if scores[name] != expected[name] and "real" not in name} == set()
    rejected = [json.loads(line) for line in (annotated / "scored/rejected.jsonl").read_text().splitlines()]
    stage = [json.loads(line) for line in (annotated / layout.REJECTED).read_text().splitlines()]
    of_test = [row | {"file": "my.txt"} for row in stage if row["file"].endswith("my.test.txt")]
    assert rejected == of_test
    assert "models/best_model" in (annotated / "scored/report.html").read_text()


def test_an_annotation_without_a_line_to_score_is_one_sentence(copied, command):
    for text, reason in (
        ("mine\n", "1 of 1 line rejected and not scored (1 no_tab); the first is"),
        ("", "it is empty"),
    ):
        (copied / "my.txt").write_text(text)
        code, out, err = command("evaluate", "--list", "my.txt")
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith(f"error: --list my.txt: there is nothing to score: {reason}")


def test_an_annotation_needs_no_parameters_and_nothing_is_written(annotated, command):
    (annotated / layout.PARAMS).unlink()
    (annotated / "my.jsonl").write_text(
        "".join(
            json.dumps({"audio_filepath": f"audio/{i}.wav", "text": text}) + "\n" for i, text in enumerate(tiny.TEXTS)
        )
    )
    before = everything(annotated)
    code, out, err = command("evaluate", "--list", "my.jsonl", "--metric", "wer")
    assert code == 0
    assert out.startswith("WER ")
    assert "models/best_model brings no decoder and decodes greedily" in err
    assert "utterances of my.jsonl" in err
    assert everything(annotated) == before
