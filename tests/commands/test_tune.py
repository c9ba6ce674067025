import json

import pytest

from ds2 import layout, params
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.decoding import beam
from ds2.evaluation.evaluator import evaluate
from ds2.recognition import paddle_model
from tests.decoding import arpa
from tests.training import tiny

pytestmark = pytest.mark.wheel


def test_it_tunes_on_the_dev_set_and_prints_the_command_that_adopts_the_weights(copied, command):
    vocabulary = tiny.data(copied).vocabulary
    arpa.write(layout.LANGUAGE_MODEL, [[token] for token in vocabulary.tokens[2:]], 2)
    values = json.loads(layout.PARAMS.read_text())
    values["evaluate"] |= {"checkpoint": "epoch_3", "beam_size": 2, "cutoff_top_n": 2}
    layout.PARAMS.write_text(json.dumps(values))
    (copied / layout.manifest_path("test")).unlink()  # the weights are not chosen on what they are judged by
    code, out, _ = command("tune")
    assert code == 0
    words = out.split()
    assert words[:3] == ["dvc", "exp", "run"]
    assert words[3::2] == ["-S"] * 3
    adopted = dict(option.removeprefix("evaluate.").split("=") for option in words[4::2])
    rows = [line.split("\t") for line in layout.TUNING.read_text().splitlines()[1:]]
    assert (adopted["alpha"], adopted["beta"]) in {(row[0], row[1]) for row in rows}
    assert layout.TUNING_PICTURE.read_bytes().startswith(b"\x89PNG")
    # What the table says of the weights is what the evaluation with them finds.
    assert all(float(row[0]) >= 0 for row in rows)
    model = paddle_model.load(layout.MODELS / "epoch_3", False)
    adopted = {"decoder": adopted["decoder"], "alpha": float(adopted["alpha"]), "beta": float(adopted["beta"])}
    settings = params.from_dict(values | {"evaluate": values["evaluate"] | adopted})
    assert settings.evaluate.decoder == "ctc_beam_search"
    manifest = Manifest(layout.manifest_path("dev"))
    with Loader(manifest, Assembler(model.features, model.statistics), 0) as loader:
        search = beam.search(settings.evaluate, vocabulary, settings.text, layout.LANGUAGE_MODEL)
        found = evaluate(model, manifest, loader, 4, search)
    rates = {(float(row[0]), float(row[1])): float(row[2]) for row in rows}
    assert rates[adopted["alpha"], adopted["beta"]] == pytest.approx(found.errors("cer").rate, abs=1e-6)
    assert found.errors("cer").rate < 1


def test_without_a_language_model_it_says_what_to_run(copied, command):
    (copied / layout.PARAMS).write_text("{evaluate: {checkpoint: epoch_3}, runtime: {use_gpu: false}}")
    code, out, err = command("tune")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: dataset/lm.arpa does not exist")
    assert not layout.TUNING.exists()
