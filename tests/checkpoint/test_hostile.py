"""Folders that somebody has made to do harm: one sentence each, nothing is executed, nothing hangs or takes memory."""

import hashlib
import json
import os
import pickle
import resource
import shutil
import struct
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ds2.checkpoint import disk, trained
from ds2.errors import UserError
from tests.checkpoint import hostile
from tests.training import tiny

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(120)]

FILES = hostile.FILES


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The tiny data, and a training of one epoch on it."""
    folder = tmp_path_factory.mktemp("place")
    tiny.write_data(folder)
    tiny.train(folder, folder, tiny.settings(num_epoch=1))
    return folder


@pytest.fixture
def folder(place, tmp_path):
    """A copy of its checkpoint, to be made hostile."""
    return shutil.copytree(place / "models" / "epoch_1", tmp_path / "given")


@contextmanager
def little_memory():
    """Only so much more than there is now."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refusal(folder: Path) -> str:
    """The sentence that loading a folder ends with."""
    with pytest.raises(UserError) as error, little_memory():
        trained.load(folder)
    sentence = str(error.value)
    assert str(folder) in sentence
    assert sentence.isprintable()
    assert len(sentence) < 600
    return sentence


def test_what_is_changed_and_sealed_again_without_harm_is_loaded(folder):
    # Else the tests below would prove nothing.
    hostile.seal(folder, lambda values: values["cost"].update(note=[[1, None], "x"]))
    with little_memory():
        assert trained.load(folder).state.cost["note"] == [[1, None], "x"]


def test_a_pickle_of_the_format_before_is_not_read(folder, tmp_path):
    (folder / "model.pdparams").write_bytes(pickle.dumps(hostile.Attack(tmp_path / "mark")))
    assert "git checkout ece99fa83a" in refusal(folder)
    assert not (tmp_path / "mark").exists()


def test_the_commit_that_reads_the_format_before_is_named_before_anything_is_touched(folder, tmp_path):
    (folder / "model.pdparams").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"git checkout ece99fa83a .*move models/ and \.ds2/ away"):
        disk.refuse_pickles(tmp_path / "nothing", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_under_another_name_is_not_unpickled(folder, tmp_path, protocol):
    hostile.put_a_pickle_for_weights(folder, tmp_path / "mark", protocol)
    assert "is not a safetensors file" in refusal(folder)
    assert not (tmp_path / "mark").exists()
    pickle.loads((folder / disk.MODEL).read_bytes())
    assert (tmp_path / "mark").exists()  # it would have done it


def changed_arrays(change):
    """A hostile change of the model's arrays."""

    def apply(path: Path) -> None:
        arrays = dict(load_file(path))
        change(arrays)
        save_file(arrays, path)

    return apply


def cast(kind):
    return changed_arrays(lambda arrays: arrays.update({"output.bias": arrays["output.bias"].astype(kind)}))


def header(change):
    """A hostile change of the header's bytes; their length is that of what comes out."""

    def apply(path: Path) -> None:
        content = path.read_bytes()
        size = struct.unpack("<Q", content[:8])[0]
        spoilt = change(content[8 : 8 + size])
        path.write_bytes(struct.pack("<Q", len(spoilt)) + spoilt + content[8 + size :])

    return apply


def entry(**values):
    """A hostile change of what the header tells of one array."""

    def change(text: bytes) -> bytes:
        arrays = json.loads(text)
        arrays["output.bias"] |= values
        return json.dumps(arrays).encode()

    return header(change)


def length(number: int):
    return lambda path: path.write_bytes(struct.pack("<Q", number) + path.read_bytes()[8:])


FLOOD = "\x1b[2J\a\n" * 10_000

HOSTILE_ARRAYS = {
    "a shape": changed_arrays(lambda arrays: arrays.update({"output.weight": arrays["output.weight"].T.copy()})),
    "one dimension more": changed_arrays(lambda arrays: arrays.update({"output.bias": arrays["output.bias"][None]})),
    "no dimension": changed_arrays(lambda arrays: arrays.update({"output.bias": np.array(1, np.float32)})),
    "nothing in it": changed_arrays(lambda arrays: arrays.update({"output.bias": np.zeros(0, np.float32)})),
    "float64": cast(np.float64),
    "float16": cast(np.float16),
    "int32": cast(np.int32),
    "bool": cast(bool),
    "bfloat16": entry(dtype="BF16"),
    "of eight bits": entry(dtype="F8_E5M2"),
    "no such dtype": entry(dtype="object"),
    "not a number": changed_arrays(lambda arrays: arrays["output.bias"].put(0, np.nan)),
    "infinite": changed_arrays(lambda arrays: arrays["output.weight"].put(3, -np.inf)),
    "missing": changed_arrays(lambda arrays: arrays.pop("output.bias")),
    "one more": changed_arrays(lambda arrays: arrays.update({"__class__": np.zeros(3, np.float32)})),
    "a name for the terminal": changed_arrays(lambda arrays: arrays.update({FLOOD: np.zeros(3, np.float32)})),
    "a dtype for the terminal": entry(dtype=FLOOD),
    "none at all": changed_arrays(lambda arrays: arrays.clear()),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "a header longer than the file": length(1 << 20),
    "a header of exabytes": length(1 << 62),
    "a header of a negative length": length((1 << 64) - 1),
    "no header": length(0),
    "a header that is not JSON": header(lambda text: b"cos\nsystem\n" + text),
    "a header that is not UTF-8": header(lambda text: text.replace(b"output", b"\xff\xfe\xfd\xfc\xfb\xfa")),
    "a header that is a list": header(lambda text: b"[" + text + b"]"),
    "a header of brackets": header(lambda text: b"[" * 1_000_000),
    "a header nested deeply": header(lambda text: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "offsets behind the end": entry(data_offsets=[1 << 40, (1 << 40) + 20]),
    "offsets that go back": entry(data_offsets=[40, 20]),
    "offsets below 0": entry(data_offsets=[-20, 0]),
    "offsets of another array": entry(data_offsets=[0, 20]),
    "a shape that overflows": entry(shape=[1 << 63, 1 << 63]),
    "a shape of exabytes": entry(shape=[1 << 60]),
}


@pytest.mark.parametrize("how", HOSTILE_ARRAYS)
def test_arrays_that_are_not_those_of_the_network_are_refused(how, folder):
    HOSTILE_ARRAYS[how](folder / disk.MODEL)
    hostile.seal(folder)
    refusal(folder)


def nested(depth: int):
    value = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def larger(**sizes):
    return lambda values: values["params"]["model"].update(sizes)


HOSTILE_STATES = {
    "no count": lambda values: values.update(epoch="1"),
    "a truth": lambda values: values.update(epoch=True),
    "half an epoch": lambda values: values.update(epoch=1.5),
    "below 0": lambda values: values.update(step=-1),
    "no epoch": lambda values: values.pop("epoch"),
    "an epoch of 30 digits": lambda values: values.update(epoch=10**30),
    "another format": lambda values: values.update(format=3),
    "a format that is none": lambda values: values.update(format={}),
    "no files": lambda values: values.update(files=None),
    "a file of no hash": lambda values: values["files"].update({disk.MODEL: ["x"]}),
    "not a number": lambda values: values["history"].update(loss=float("nan")),
    "infinity": lambda values: values["cost"].update(seconds=float("inf")),
    "no parameters": lambda values: values.update(params=[]),
    "a parameter that is none": lambda values: values["params"].update(model=7),
    "an unknown parameter": lambda values: values["params"]["model"].update(evil=7),
    "a parameter for the terminal": lambda values: values["params"]["model"].update({FLOOD: 7}),
    "a value for the terminal": lambda values: values["params"]["model"].update(type=FLOOD),
    "a network that is no name": lambda values: values["params"]["model"].update(type="../../evil"),
    "a network that is another module": lambda values: values["params"]["model"].update(type="device"),
    "a size that is none": larger(rnn_layer_size="many"),
    "a size without bounds": larger(rnn_layer_size=10**9),
    "parameters nested 200 times": lambda values: values["params"].update(model=nested(200)),
    "parameters nested 240 times": lambda values: values["params"].update(augment=nested(240)),
    "parameters nested 900 times": lambda values: values["params"].update(model=nested(900)),
    "77 gigabytes": larger(rnn_layer_size=8192, num_rnn_layers=16),
    "a wide layer": larger(rnn_layer_size=8192),
    "many channels": larger(conv_channels=512, num_conv_layers=3),
    "another architecture": larger(rnn_layer_size=23),
    "other features": lambda values: values["params"]["features"].update(sample_rate=16000),
}


@pytest.mark.parametrize("how", HOSTILE_STATES)
def test_a_state_that_tells_what_is_not_so_is_refused(how, folder):
    hostile.seal(folder, HOSTILE_STATES[how])
    refusal(folder)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"[" * 10_000_000, id="brackets"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="objects"),
        pytest.param(b'{"checksum": ' + b"9" * 1_000_000 + b"}", id="digits"),
        pytest.param(b'{"checksum": 1e999999999}', id="a great exponent"),
        pytest.param(b"\x80\x04cos\nsystem\n", id="a pickle"),
    ],
)
@pytest.mark.parametrize("name", [disk.STATE, disk.MEAN_ISTD])
def test_json_that_strains_its_reader_is_refused(name, content, folder):
    (folder / name).write_bytes(content)
    if name != disk.STATE:
        hostile.seal(folder)
    assert name in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"mean": [0.0]}, id="short"),
        pytest.param({"mean": [[]]}, id="empty"),
        pytest.param({"mean": [10**400] * 40}, id="huge numbers"),
        pytest.param({"istd": [float("nan")] * 40}, id="not a number"),
        pytest.param({"frames": float("inf")}, id="infinitely many frames"),
        pytest.param({"features": {}}, id="other features"),
        pytest.param({"features": nested(400)}, id="nested features"),
        pytest.param({"features": None}, id="no features"),
    ],
)
def test_statistics_that_are_none_or_of_other_features_are_refused(change, folder):
    path = folder / disk.MEAN_ISTD
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    hostile.seal(folder)
    assert f"damaged ({disk.MEAN_ISTD}" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"<blank>\n<unk>\nab\n", b"\xff", b"<blank>\n<unk>\na\na\n", bytes(1 << 20)])
def test_a_vocabulary_that_is_none_is_refused(content, folder):
    (folder / disk.VOCABULARY).write_bytes(content)
    hostile.seal(folder)
    assert f"damaged ({disk.VOCABULARY}" in refusal(folder)


def test_a_vocabulary_of_more_tokens_than_the_weights_have_is_refused(folder):
    tokens = [chr(0x4E00 + i) for i in range(20_000)]
    (folder / disk.VOCABULARY).write_text("\n".join(["<blank>", "<unk>", *tokens, ""]), encoding="utf-8")
    hostile.seal(folder)
    assert "smaller architecture" in refusal(folder)


@pytest.mark.parametrize("name", [disk.STATE, disk.VOCABULARY, disk.MEAN_ISTD])
def test_text_that_is_larger_than_any_is_refused_unread(name, folder):
    os.truncate(folder / name, 1 << 40)
    assert name in refusal(folder)


def link_out(path: Path) -> None:
    outside = path.parents[1] / "outside" / path.name
    outside.parent.mkdir()
    path.rename(outside)
    path.symlink_to(outside)


def no_file(make):
    """Puts something else in a file's place."""

    def apply(path: Path) -> None:
        path.unlink()
        make(path)

    return apply


NO_FILES = {
    "a link out of the folder": link_out,
    "a link to a device": no_file(lambda path: path.symlink_to("/dev/zero")),
    "a link to another file": no_file(lambda path: path.symlink_to(FILES[FILES.index(path.name) - 1])),
    "a pipe": no_file(os.mkfifo),
    "a folder": no_file(Path.mkdir),
    "a device": no_file(lambda path: os.mknod(path, 0o20600, os.makedev(1, 5))),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", NO_FILES)
def test_what_is_no_file_of_the_folder_is_refused(how, name, folder):
    try:
        NO_FILES[how](folder / name)
    except PermissionError:
        pytest.skip("only root can make a device")
    assert f"damaged ({name}" in refusal(folder)


@pytest.mark.parametrize("name", [name for name in FILES if name != disk.OPTIMIZER])  # which recognition does not need
@pytest.mark.parametrize("target", ["nothing", "itself"])
def test_a_link_to_nothing_is_a_missing_file(target, name, folder):
    (folder / name).unlink()
    (folder / name).symlink_to(name if target == "itself" else target)
    assert f"damaged ({name} is missing" in refusal(folder)


@pytest.mark.parametrize("how", ["a link", "a chain of links", "a link to a folder"])
def test_links_into_a_dvc_cache_are_followed(how, folder, tmp_path):
    cache = tmp_path / "shared" / "cache" / "files" / "md5"
    for name in FILES:
        digest = hashlib.md5((folder / name).read_bytes()).hexdigest()
        cached = cache / digest[:2] / digest[2:]
        cached.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(cached)
        if how == "a chain of links":
            (tmp_path / name).symlink_to(cached)
            cached = tmp_path / name
        if how == "a link to a folder":
            (tmp_path / "cache").exists() or (tmp_path / "cache").symlink_to(tmp_path / "shared" / "cache")
            cached = tmp_path / "cache" / cached.relative_to(tmp_path / "shared" / "cache")
        (folder / name).symlink_to(cached)
    before = trained.load(folder).state
    # And the autosave has files of its own: the cache may be cleaned.
    disk.duplicate(folder, tmp_path / "autosave" / "second", to_resume=True)
    shutil.rmtree(tmp_path / "shared")
    assert trained.load(tmp_path / "autosave" / "second").state == before
    refusal(folder)


def test_a_folder_that_is_a_link_is_read(folder, tmp_path):
    (tmp_path / "best").symlink_to(folder)
    assert trained.load(tmp_path / "best").state.epoch == 1


HOSTILE_MOMENTS = {
    "a shape": changed_arrays(lambda arrays: arrays.update({"output.bias/moment1_0": np.zeros(9, np.float32)})),
    "a place": changed_arrays(lambda arrays: arrays.update({"evil/beta1_pow_acc_0": np.ones(1, np.float32)})),
    "no place": changed_arrays(lambda arrays: arrays.update({"evil": np.zeros(9, np.float32)})),
    "two places": changed_arrays(lambda arrays: arrays.update({"a/b/c": np.zeros(9, np.float32)})),
    "a dtype": changed_arrays(lambda arrays: arrays.update({"output.bias/moment1_0": np.zeros(5, np.int8)})),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(hostile.Attack(path.parent / "mark"))),
}


@pytest.mark.parametrize("how", HOSTILE_MOMENTS)
def test_a_training_is_not_resumed_with_a_foreign_optimiser(how, place, folder, tmp_path):
    HOSTILE_MOMENTS[how](folder / disk.OPTIMIZER)
    hostile.seal(folder)
    with pytest.raises(UserError) as error:
        tiny.train(place, tmp_path / "new", tiny.settings(num_epoch=2, resume_model=str(folder), seed=4))
    assert str(folder) in str(error.value)
    assert not (folder / "mark").exists()
    assert not (tmp_path / "new" / "models").exists()


@pytest.mark.parametrize("how", ["a shape", "float64", "missing", "one more", "a header of exabytes"])
def test_a_training_does_not_resume_a_hostile_checkpoint(how, place, folder, tmp_path):
    HOSTILE_ARRAYS[how](folder / disk.MODEL)
    hostile.seal(folder)
    with pytest.raises(UserError, match=str(folder)):
        tiny.train(place, tmp_path / "new", tiny.settings(num_epoch=2, resume_model=str(folder), seed=4))


@pytest.mark.parametrize("how", ["float64", "of eight bits", "a header of brackets", "offsets behind the end"])
def test_a_training_does_not_begin_with_hostile_weights(how, place, folder, tmp_path):
    HOSTILE_ARRAYS[how](folder / disk.MODEL)
    hostile.seal(folder)
    with pytest.raises(UserError, match=str(folder)):
        tiny.train(place, tmp_path / "new", tiny.settings(pretrained_model=str(folder)))


@pytest.mark.parametrize("parameter", ["resume_model", "pretrained_model"])
@pytest.mark.parametrize(
    "how", ["no parameters", "77 gigabytes", "parameters nested 240 times", "an epoch of 30 digits"]
)
def test_a_training_does_not_begin_with_a_hostile_state(how, parameter, place, folder, tmp_path):
    hostile.seal(folder, HOSTILE_STATES[how])
    chosen = tiny.settings(num_epoch=2, seed=4, **{parameter: str(folder)})
    with pytest.raises(UserError, match=str(folder)), little_memory():
        tiny.train(place, tmp_path / "new", chosen)


def test_a_training_resumes_and_begins_with_what_is_harmless(place, folder, tmp_path):
    hostile.seal(folder)
    resumed = tiny.train(place, tmp_path / "a", tiny.settings(num_epoch=2, resume_model=str(folder), seed=4))
    assert resumed.epoch == 2
    tiny.train(place, tmp_path / "b", tiny.settings(num_epoch=1, pretrained_model=str(folder)))
