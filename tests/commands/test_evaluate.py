import json
import re

import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from ds2 import layout, params
from ds2.checkpoint import disk
from ds2.evaluation import session
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
    assert new.keys() == stage.keys() == {"predictions.jsonl", "errors.txt", "evaluate.json", "report.html"}
    for name in ("predictions.jsonl", "errors.txt"):
        assert new[name] == stage[name]
    scores, expected = (
        {k: v for k, v in json.loads(one["evaluate.json"]).items() if "real" not in k} for one in (new, stage)
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
