"""What a stranger can do to a bundle before giving it away, all hashes put right: one sentence each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ds2 import files
from ds2.errors import UserError
from ds2.recognition import onnx_file, onnx_model, opening

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[2]
BLOCKED = ("paddle", "dvc", "visualdl", "matplotlib", "onnx", "jinja2", "psutil", "rapidfuzz", "safetensors", "pandas")


def seal(folder, **changes):
    """Puts all hashes right after changes of config.json's values."""
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    values["files"] = {name: files.sha256(folder / name) for name in values["files"] if (folder / name).is_file()}
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def refused(folder, *parts):
    with pytest.raises(UserError) as raised:
        opening.load(folder, "auto")
    sentence = str(raised.value)
    assert "\n" not in sentence
    for part in parts:
        assert part in sentence
    return sentence


def changed(folder, change):
    """Changes the graph, puts the hashes right."""
    path = folder / "model.onnx"
    model = onnx.load_from_string(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    seal(folder)


def test_a_sealed_bundle_opens(bundle):
    changed(bundle, lambda model: None)
    assert opening.load(bundle, "auto").device == "cpu"


@pytest.mark.parametrize("place", ["../secret.bin", "secret.bin", "/etc/hostname"])
def test_weights_in_another_file_are_not_read(place, bundle, monkeypatch):
    monkeypatch.chdir(bundle)
    (bundle.parent / "secret.bin").write_bytes(bytes(4096))
    (bundle / "secret.bin").write_bytes(bytes(4096))

    def move(model):
        tensor = next(one for one in model.graph.initializer if one.name == "mean")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", str(4 * tensor.dims[0]))):
            tensor.external_data.add(key=key, value=value)

    changed(bundle, move)
    assert "secret" not in refused(bundle, "is not a network that python -m ds2 export has made", "in another file")


def within_an_attribute(model):
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["zero"], ["x"], then_branch=inner, else_branch=inner))


def a_node_of_another_domain(model):
    model.graph.node.append(helper.make_node("EPContext", [], ["x"], domain="com.microsoft"))


def another_domain(model):
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def with_a_function(model):
    function = helper.make_function("own", "f", ["x"], ["x"], [], [helper.make_opsetid("", 13)])
    model.functions.append(function)


def with_a_constant(model):
    value = helper.make_tensor("c", TensorProto.FLOAT, [1], [0.0])
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))


def of_a_type_with_texts(model):
    model.graph.initializer.append(helper.make_tensor("texts", TensorProto.STRING, [1], [b"x"]))


def of_a_larger_shape(model):
    next(one for one in model.graph.initializer if one.name == "mean").dims[0] = 1 << 40


def of_a_smaller_shape(model):
    next(one for one in model.graph.initializer if one.name == "mean").dims[0] = 3


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (within_an_attribute, "field 6 of a attribute"),
        (a_node_of_another_domain, "field 7 of a node"),
        (another_domain, "operators of another domain"),
        (with_a_function, "field 25 of a model"),
        (with_a_constant, "field 5 of a attribute"),
        (of_a_type_with_texts, "field 6 of a tensor"),
        (of_a_larger_shape, "weights whose shape does not fit their data"),
        (of_a_smaller_shape, "weights whose shape does not fit their data"),
    ],
)
def test_what_export_does_not_write_is_refused(change, part, bundle):
    changed(bundle, change)
    refused(bundle, "model.onnx is not a network that python -m ds2 export has made", part)


def test_weights_that_do_not_fit_each_other_are_refused(bundle):
    def narrow(model):
        tensor = next(one for one in model.graph.initializer if one.name == "output.bias")
        tensor.dims[0] -= 1
        tensor.raw_data = tensor.raw_data[:-4]

    changed(bundle, narrow)
    refused(bundle, "model.onnx")


def test_a_vocabulary_that_does_not_fit_is_refused(bundle):
    with open(bundle / "vocabulary.txt", "a", encoding="utf-8") as file:
        file.write("呢\n")
    seal(bundle)
    refused(bundle, "model.onnx gives outputs of the sizes", "vocabulary.txt", "they are of different models")


def test_features_that_do_not_fit_are_refused(bundle):
    values = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    seal(bundle, features=values["features"] | {"num_mel_bins": 21})
    refused(bundle, "model.onnx does not fit config.json beside it")


def test_steps_that_do_not_fit_are_refused(bundle):
    seal(bundle, frames_a_step=2, step_seconds=0.02)
    refused(bundle, "they are of different models")


def test_a_network_larger_than_the_memory_is_refused_before_it_is_read(bundle, monkeypatch):
    os.truncate(bundle / "model.onnx", 1 << 43)  # a hole: it takes no room
    refused(bundle, "model.onnx needs 8,388,608 MiB of memory and ", " MiB are available")


def test_what_a_network_needs_besides_its_file_counts(bundle, monkeypatch):
    size = (bundle / "model.onnx").stat().st_size
    monkeypatch.setattr(onnx_model, "_available", lambda: size + 1000)
    refused(bundle, "model.onnx needs ")
    monkeypatch.setattr(onnx_model, "_available", lambda: 4 * size)
    assert opening.load(bundle, "auto")


@pytest.mark.parametrize("name", ["model.onnx", "vocabulary.txt", "config.json"])
@pytest.mark.parametrize("harm", ["removed", "changed", "a link", "a folder"])
def test_a_damaged_part_is_named(name, harm, bundle):
    path = bundle / name
    content = path.read_bytes()
    path.unlink()
    if harm == "changed":
        path.write_bytes(content[:-3] + b"x" + content[-2:])
    elif harm == "a link":
        elsewhere = bundle.parent / "elsewhere"
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif harm == "a folder":
        path.mkdir()
    refused(bundle, "given is damaged", name, "run python -m ds2 export")


def test_a_weight_that_was_changed_is_a_damage(bundle):
    path = bundle / "model.onnx"
    model = onnx.load_from_string(path.read_bytes())
    tensor = next(one for one in model.graph.initializer if one.name == "output.bias")
    tensor.raw_data = tensor.raw_data[:-4] + np.float32(0.5).tobytes()
    path.write_bytes(model.SerializeToString())
    refused(bundle, "given is damaged (model.onnx is not what was written)")


def test_the_links_that_dvc_makes_are_followed(bundle):
    cached = bundle.parent / "files" / "md5" / "ab" / ("c" * 30)
    cached.parent.mkdir(parents=True)
    (bundle / "model.onnx").rename(cached)
    (bundle / "model.onnx").symlink_to(cached)
    assert opening.load(bundle, "auto")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"format": 2}, "exported by another version of ds2"),
        ({"frames_a_step": "3"}, "config.json: frames_a_step"),
        ({"step_seconds": 0.04}, "step_seconds and frames_a_step do not fit together"),
        ({"step_seconds": -1.0}, "config.json: step_seconds"),
        ({"features": {"sample_rate": 1}}, "features.sample_rate"),
        ({"features": 3}, "config.json: features"),
        ({"evaluate": {"decoder": "none"}}, "evaluate.decoder"),
        ({"evaluate": {"decoder": "ctc_beam_search"}}, "ctc_beam_search and no language model"),
        ({"calibration": {"temperature": "hot"}}, "config.json: calibration"),
        ({"calibration": {"word": {"temperature": 0.0}}}, "config.json: calibration"),
        ({"calibration": {"text": {"bias": -1e308}}}, "config.json: calibration"),
        ({"calibration": {"offset": -9.9}}, "config.json: calibration"),
        ({"calibration": 3}, "config.json: calibration"),
        ({"chosen_on": "train"}, "config.json: chosen_on"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changes, part, bundle):
    seal(bundle, **changes)
    refused(bundle, part)


@pytest.mark.parametrize(
    "content", ["", "[]", "null", '{"format": 1}', '{"format": 1, "files": 3}', "[" * 100_000, "\ud800"]
)
def test_a_config_that_is_none_is_refused(content, bundle):
    (bundle / "config.json").write_bytes(content.encode(errors="surrogatepass"))
    refused(bundle, "given is damaged", "config.json")


def test_other_files_are_not_looked_for(bundle):
    values = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    seal(bundle, files=values["files"] | {"../secret.bin": "0"})
    values = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    values["files"]["../secret.bin"] = "0"
    (bundle / "config.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    refused(bundle, "config.json: files must name")


def test_bytes_changed_anywhere_end_in_a_sentence(bundle):
    path = bundle / "model.onnx"
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        harmed = bytearray(content)
        for place in random.integers(0, len(content), 3):
            harmed[place] = random.integers(0, 256)
        path.write_bytes(harmed[: random.integers(1, len(harmed) + 1)] if random.random() < 0.3 else harmed)
        seal(bundle)
        try:
            opening.load(bundle, "auto")
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x0a", b"\x0b", b"\x08\x80\x00", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x3a\xff\xff\x03"],
)
def test_what_is_no_protocol_buffer_is_refused(data):
    with pytest.raises(onnx_file.ForeignError):
        onnx_file.check(data)


def test_a_gpu_is_not_promised(bundle):
    with pytest.raises(UserError, match="given is a bundle, which runs on the CPU: set runtime"):
        opening.load(bundle, True)


def without(packages, *arguments):
    """Runs a command in an environment that lacks packages."""
    script = f"""
import sys
sys.modules.update(dict.fromkeys({packages}))  # to import one of them raises ModuleNotFoundError
from ds2.__main__ import main
sys.argv = ["ds2", *{tuple(map(str, arguments))}]
main()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)


def test_no_package_of_the_training_is_needed(made, root):
    done = without(BLOCKED, "transcribe", "--model", made, root / "audio")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(list((root / "audio").iterdir()))


def test_what_needs_a_package_that_is_missing_says_so(made, root, model_folder):
    for packages, arguments, part in (
        (BLOCKED, ("transcribe", "--model", model_folder, "a.wav"), "a checkpoint, which needs the package "),
        (("onnxruntime",), ("transcribe", "--model", made, "a.wav"), "a bundle, which needs the package onnxruntime"),
        (BLOCKED, ("export", model_folder), "export needs the package "),
    ):
        done = without(packages, *arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert part in done.stderr


def test_a_bundle_is_named_where_there_is_no_checkpoint(made, monkeypatch):
    monkeypatch.chdir(made.parent)
    with pytest.raises(UserError, match="none does not exist: train first, or name the bundle that is there, exported"):
        opening.load(Path("none"), "auto")
