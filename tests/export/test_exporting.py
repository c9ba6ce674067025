import json
import os
import subprocess

import numpy as np
import pytest

from ds2 import layout
from ds2.data.manifest import Manifest
from ds2.decoding.greedy import Greedy
from ds2.errors import UserError
from ds2.export import exporting, parity
from ds2.recognition import bundle, onnx_model, opening
from ds2.transcribing import inputs
from ds2.transcribing.transcriber import Transcriber
from tests.decoding import arpa
from tests.training import tiny

pytestmark = pytest.mark.wheel


def texts(folder, root):
    return [
        one.text
        for one in Transcriber(opening.load(folder, "auto"), Greedy(), 4, 20.0).transcribe(
            inputs.expand([str(root / "audio")])
        )
    ]


@pytest.mark.parametrize("half", [[], ["--fp16"]])
def test_a_bundle_says_what_its_checkpoint_says(half, copied, root, command):
    code, out, _ = command("export", *half)
    assert code == 0
    assert out.startswith("exported: ")
    assert sorted(path.name for path in (copied / "exported").iterdir()) == [
        "MODEL_CARD.md", "config.json", "model.onnx", "vocabulary.txt",
    ]  # fmt: skip
    assert texts(copied / "exported", root) == texts(copied / "models" / "best_model", root)


def test_what_recognising_needs_comes_with_it(exported, copied):
    model, known = opening.load(exported, "auto"), opening.load(copied / "models" / "best_model", False)
    for name in ("vocabulary", "features", "rules", "origin", "chosen_on", "step_seconds"):
        assert getattr(model, name) == getattr(known, name)
    assert model.usual_seconds == pytest.approx(known.usual_seconds, abs=1e-3)
    assert model.decoding == tiny.settings().evaluate
    assert model.calibration is not None
    assert (known.decoding, known.language_model, model.language_model) == (None, None, None)


def test_the_decoder_of_params_yaml_comes_with_its_language_model(copied, command):
    layout_file = copied / layout.LANGUAGE_MODEL
    arpa.write(layout_file, [[*text.replace(" ", "")] for text in tiny.TEXTS], 2)
    settings = tiny.settings().model_dump(mode="json")
    chosen = {"decoder": "ctc_beam_search", "alpha": 0.7, "beam_size": 5, "hot_words": {"你好": 2.0}}
    settings["evaluate"] |= chosen
    (copied / layout.PARAMS).write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
    code, _, err = command("export")
    assert code == 0, err
    model = opening.load(copied / "exported", "auto")
    assert model.decoding.model_dump(mode="json") | chosen == model.decoding.model_dump(mode="json")
    assert model.language_model == copied / "exported" / "lm.arpa"
    assert model.language_model.read_bytes() == layout_file.read_bytes()
    os.unlink(layout_file)
    code, _, err = command("export", "models/best_model", "other")
    assert (code, err.splitlines()[-1][:40]) == (1, "error: dataset/lm.arpa does not exist: c")
    assert not (copied / "other").exists()


def test_the_card_says_what_it_was_trained_on_and_how_well_it_does(copied, command):
    (copied / "results").mkdir()
    values = {"train_utterances": 14, "train_hours": 0.01, "train_speakers": 2}
    (copied / layout.DATA_NUMBERS).write_text(json.dumps(values))
    scored = {"cer": 0.125, "cer_low": 0.0625, "cer_high": 0.25, "utterances": 14}
    (copied / layout.EVALUATE_NUMBERS).write_text(json.dumps(scored))
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "c", "--allow-empty"]):
        subprocess.run(["git", *words], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert command("export")[0] == 0
    card = (copied / "exported/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "- train: 0.01 hours, 14 utterances, 2 speakers" in card
    assert f"- git commit: {head}\n" in card
    assert "| CER | test data, 14 utterances | ctc_greedy, by the checkpoint | 12.50% (6.25% to 25.00%) |" in card
    assert "| CER | dev data, 14 of 14 utterances | ctc_greedy, by this bundle |" in card
    assert "model.rnn_layer_size: 24" in card
    # Of another checkpoint, and older than the checkpoint: not its score.
    assert "test data" not in told(command, copied, "models/epoch_3")
    os.utime(copied / layout.EVALUATE_NUMBERS, (1, 1))
    assert "test data" not in told(command, copied, "models/best_model")


def told(command, copied, checkpoint):
    assert command("export", checkpoint)[0] == 0
    return (copied / "exported/MODEL_CARD.md").read_text(encoding="utf-8")


def test_a_network_that_disagrees_is_not_written_and_the_bundle_before_stays(exported, command, monkeypatch):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    true = onnx_model.run

    def wrong(session, features, lengths):
        return [logs + np.float32(0.01) for logs in true(session, features, lengths)]

    monkeypatch.setattr(onnx_model, "run", wrong)
    code, _, err = command("export")
    assert (code, "nothing was written: the exported network's log-probabilities differ" in err) == (1, True)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    assert sorted(path.name for path in exported.parent.glob(".exported*")) == []


def test_a_failure_while_writing_leaves_the_bundle_before(exported, command, monkeypatch):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device", "model.onnx")

    monkeypatch.setattr(bundle, "write_config", full)
    code, _, err = command("export", "--fp16")  # which would be another file
    assert code == 1
    assert err.splitlines()[-1].startswith("error: model.onnx cannot be written")
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["models/best_model", "models"], "models holds best_model, which is no part of a bundle"),
        (["models/best_model", "params.yaml"], "params.yaml is a file: name a folder"),
        (["none"], "none does not exist"),
        (["exported"], "exported does not exist"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(arguments, part, copied, command):
    before = sorted(copied.rglob("*"))
    code, _, err = command("export", *arguments)
    assert (code, part in err.splitlines()[-1]) == (1, True), err
    assert sorted(copied.rglob("*")) == before


def test_texts_are_compared_one_by_one():
    heard = [parity.Heard("a", "a", "b" if i < 2 else "a", None, 1.0) for i in range(100)]
    with pytest.raises(UserError, match="texts differ from the checkpoint's for 2 of 100 recordings"):
        parity.Parity(0.0, 0.0, heard).require(1e-3)
    parity.Parity(0.0, 0.0, heard[1:]).require(1e-3)
    with pytest.raises(UserError, match=r"log-probabilities differ .* by up to nan"):
        parity.Parity(float("nan"), 0.0, []).require(1e-3)


def test_recordings_that_cannot_be_read_are_left_out(copied, root):
    manifest = Manifest(copied / layout.manifest_path("dev"))
    model = opening.load(copied / "models" / "best_model", False)
    export = exporting.prepare(copied / "models" / "best_model", copied / "x", np.float32)
    assert len(export.agreed.heard) == len(manifest) == len(tiny.TEXTS)
    lines = (copied / layout.manifest_path("dev")).read_text().splitlines()
    gone = json.loads(lines[0]) | {"audio_filepath": "none.wav"}
    path = copied / "gone.manifest"
    path.write_text("\n".join([json.dumps(gone), *lines[1:]]))
    agreed = parity.measure(model, onnx_model.session(export.network), Greedy(), Manifest(path))
    assert len(agreed.heard) == len(manifest) - 1
    assert agreed.other_texts == 0
    assert agreed.largest < 1e-4
