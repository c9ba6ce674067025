"""Every kind of bad input that users are known to bring: none may stop the rest, and each is told apart."""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from ds2 import params
from ds2.annotation import files, screening
from ds2.errors import UserError
from tests.conftest import tone
from tests.process import assert_one_sentence, run_stage


@dataclass(frozen=True)
class Kind:
    """A bad line, or a whole bad file, and what is to be said about it.

    Attributes:
        content: the bytes of the annotation; "\\n" is added to a line.
        reason: the code in dataset/rejected.jsonl; None: any of those for lines.
        details: parts of the detail of each rejection.
        make: puts files in place, given a folder below the workspace.
        lines: how many lines are rejected.
    """

    content: bytes | str
    reason: str | None
    details: tuple[str, ...] = ()
    make: Callable[[Path], None] = lambda folder: None
    lines: int | None = 1

    def raw(self, folder: str) -> bytes:
        """The content with the kind's own folder in place of the word HERE."""
        content = self.content.encode("utf-8") if isinstance(self.content, str) else self.content
        return content.replace(b"HERE", folder.encode())


def audio(name: str, seconds: float = 1.0, **options) -> Callable[[Path], None]:
    return lambda folder: soundfile.write(folder / name, tone(seconds, name=name), 16000, **options)


def cut(name: str, share: float) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        audio(name, 3.0)(folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return make


def with_sample(value: float) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        samples = tone(1.0)
        samples[5000] = value
        soundfile.write(folder / "a.wav", samples, 16000, subtype="FLOAT")

    return make


def content(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data)


def silent_video(folder: Path) -> None:
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for i in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * i, np.uint8), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def beside_the_list(folder: Path) -> None:
    clips = folder.parent.parent / "dataset" / "annotation" / "clips"
    clips.mkdir(exist_ok=True)
    audio("a.wav")(clips)


NOISE = np.random.default_rng(1).bytes(20000)
LONG = "今天天气怎么样" * 20

KINDS = {
    "spaces instead of a tab": Kind("HERE/a.wav 你好", "no_tab", ("spaces where the tab",), audio("a.wav")),
    "full-width space instead of a tab": Kind("HERE/a.wav　你好", "no_tab", ("spaces where the tab",), audio("a.wav")),
    "comma instead of a tab": Kind("HERE/a.wav,你好", "no_tab", ("a ',' where the tab",), audio("a.wav")),
    "no transcript at all": Kind("HERE/a.wav", "no_tab", ("there is no tab",), audio("a.wav")),
    "gbk": Kind("HERE/a.wav\t你好".encode("gbk"), "not_utf8", ("UTF-8", "GB18030"), audio("a.wav")),
    "latin-1": Kind(b"HERE/a.wav\tcaf\xe9", "not_utf8", ("save the file as UTF-8",), audio("a.wav")),
    "utf-16": Kind("a.wav\t你好\nb.wav\t今天天气\n".encode("utf-16"), None, ("UTF-16",), lines=None),
    "zero bytes": Kind("HERE/a.wav\t你\0好", "malformed_line", ("zero bytes",), audio("a.wav")),
    "blank line": Kind("", "blank_line", ("blank",)),
    "line of spaces and tabs": Kind(" \t \t", "blank_line", ("blank",)),
    "too many tabs": Kind("HERE/a.wav\t你好\ts1\t1.0", "malformed_line", ("3 tabs",), audio("a.wav")),
    "nothing before the tab": Kind("\t你好", "malformed_line", ("nothing before the tab",)),
    "empty transcript": Kind("HERE/a.wav\t", "empty_text", ("no transcript",), audio("a.wav")),
    "only punctuation": Kind("HERE/a.wav\t……！？", "empty_text", ("……！？",), audio("a.wav")),
    "only emoji": Kind("HERE/a.wav\t😀👍", "empty_text", ("😀👍",), audio("a.wav")),
    "missing file": Kind("HERE/none.wav\t你好", "missing_audio", ("HERE/none.wav", "there is no such file")),
    "path relative to the list": Kind(
        "clips/a.wav\t你好",
        "missing_audio",
        ("clips/a.wav", "dataset/annotation/clips/a.wav exists", "relative to the repository's root"),
        beside_the_list,
    ),
    "windows path": Kind("HERE\\a.wav\t你好", "missing_audio", ("HERE\\a.wav",), audio("a.wav")),
    "address instead of a path": Kind("https://x.org/a.wav\t你好", "missing_audio", ("https://x.org/a.wav",)),
    "path through a file": Kind("HERE/a.wav/b.wav\t你好", "missing_audio", ("HERE/a.wav/b.wav",), audio("a.wav")),
    "dangling link": Kind(
        "HERE/a.wav\t你好", "missing_audio", ("HERE/a.wav",), lambda folder: os.symlink("none.wav", folder / "a.wav")
    ),
    "columns swapped": Kind("你好\tHERE/a.wav", "missing_audio", ("你好",), audio("a.wav")),
    "columns swapped, long transcript": Kind(f"{LONG}\tHERE/a.wav", "missing_audio", (LONG,), audio("a.wav")),
    "folder instead of a file": Kind("HERE\t你好", "unreadable_audio", ("it is a folder",)),
    "empty file": Kind("HERE/a.wav\t你好", "unreadable_audio", ("0 bytes",), content("a.wav", b"")),
    "text under the name of audio": Kind(
        "HERE/a.wav\t你好",
        "unreadable_audio",
        ("it cannot be decoded (Invalid data found when processing input)",),
        content("a.wav", "你好\n".encode() * 500),
    ),
    "archive under the name of audio": Kind(
        "HERE/a.wav\t你好", "unreadable_audio", ("cannot be decoded",), content("a.wav", b"PK\x03\x04" + NOISE)
    ),
    "corrupt mp3": Kind(
        "HERE/a.mp3\t你好", "unreadable_audio", ("HERE/a.mp3", "cannot be decoded"), content("a.mp3", NOISE)
    ),
    "video without an audio track": Kind("HERE/a.mp4\t你好", "unreadable_audio", ("no audio track",), silent_video),
    "wav of a header only": Kind("HERE/a.wav\t你好", "unreadable_audio", ("no audio",), audio("a.wav", 0.0)),
    "wav cut off": Kind("HERE/a.wav\t你好", "unreadable_audio", ("HERE/a.wav", "cut off"), cut("a.wav", 0.5)),
    "flac cut off": Kind("HERE/a.flac\t你好", "unreadable_audio", ("HERE/a.flac", "cut off"), cut("a.flac", 0.5)),
    "flac cut off at its end": Kind("HERE/a.flac\t你好", "unreadable_audio", ("cut off",), cut("a.flac", 0.99)),
    "flac of a header only": Kind("HERE/a.flac\t你好", "unreadable_audio", ("HERE/a.flac",), cut("a.flac", 0.003)),
    "samples that are not numbers": Kind("HERE/a.wav\t你好", "unreadable_audio", ("not finite",), with_sample(np.nan)),
    "infinite samples": Kind("HERE/a.wav\t你好", "unreadable_audio", ("not finite",), with_sample(-np.inf)),
    "too short": Kind("HERE/a.wav\t你", "too_short", ("0.400 s", "min_duration (0.5 s)"), audio("a.wav", 0.4)),
    "too long": Kind("HERE/a.flac\t你", "too_long", ("20.500 s", "max_duration (20 s)"), audio("a.flac", 20.5)),
    "too many labels": Kind(
        "HERE/a.wav\t一二三四五六七八九十百千万你我他们",
        "too_many_labels",
        ("17 characters need 17", "16"),
        audio("a.wav", 0.5),
    ),
    "equal labels that do not fit": Kind(
        "HERE/a.wav\t哈哈哈哈哈哈哈哈哈", "too_many_labels", ("9 characters need 17", "16"), audio("a.wav", 0.5)
    ),
    "same path twice": Kind("good/0.wav\t再见", "duplicate_audio", ("good", "line 1")),
    "same path in another spelling": Kind("./good/../good/1.wav\t再见", "duplicate_audio", ("line 2",)),
}


@pytest.fixture
def good(workspace):
    """Twelve good lines, their audio in place."""
    (workspace / "good").mkdir()
    for i in range(12):
        soundfile.write(workspace / "good" / f"{i}.wav", tone(0.6, name=str(i)), 16000)
    return [f"good/{i}.wav\t你好\n".encode() for i in range(12)]


def folder_of(workspace: Path, kind: Kind, number: int) -> str:
    """Makes the kind's folder and files."""
    folder = workspace / "bad" / str(number)
    folder.mkdir(parents=True)
    kind.make(folder)
    return f"bad/{number}"


def assert_told_apart(kind: Kind, folder: str, rejections: list[dict]) -> None:
    assert len(rejections) == kind.lines if kind.lines is not None else rejections
    for rejection in rejections:
        if kind.reason is None:
            assert rejection["reason"] in ("not_utf8", "malformed_line")
        else:
            assert rejection["reason"] == kind.reason
        detail = rejection["detail"]
        assert "\n" not in detail
        for part in kind.details:
            assert part.replace("HERE", folder) in detail


@pytest.mark.parametrize("name", KINDS)
def test_a_bad_line_is_told_apart_and_harms_no_good_one(workspace, good, name):
    kind = KINDS[name]
    folder = folder_of(workspace, kind, 0)
    raw = kind.raw(folder)
    list_of_good = workspace / "dataset" / "annotation" / "good.txt"
    if kind.lines is None:
        list_of_good.write_bytes(b"".join(good))
        (workspace / "dataset" / "annotation" / "whole.txt").write_bytes(raw)
    else:
        list_of_good.write_bytes(b"".join([*good[:6], raw + b"\n", *good[6:]]))
    sources = files.sources(workspace / "dataset" / "annotation", [], ["demo"])
    screened = screening.screen(sources, params.Params(), 1)
    assert_told_apart(kind, folder, [rejection.as_json() for rejection in screened.rejected])
    accepted = [u.audio_filepath for utterances in screened.accepted.values() for u in utterances]
    assert sorted(accepted) == sorted(f"good/{i}.wav" for i in range(12))
    assert len(accepted) + len(screened.rejected) == screened.lines
    if kind.lines is not None:
        assert [rejection.number for rejection in screened.rejected] == [7]


def test_wrong_encodings_are_not_mistaken_for_each_other(workspace, good):
    text = "".join(f"good/{i}.wav\t今天天气怎么样\n" for i in range(12))
    for encoding, name, other in (("utf-16", "UTF-16", "GB18030"), ("gbk", "GB18030", "UTF-16")):
        path = workspace / "dataset" / "annotation" / "my.txt"
        path.write_bytes(text.encode(encoding))
        lines = list(files.read(files.Source(path, "train")))
        assert len(lines) >= 12
        assert {line.reason for line in lines} <= {"not_utf8", "malformed_line"}
        assert name in lines[0].detail
        assert not [line.detail for line in lines if other in line.detail]


def test_a_broken_file_that_exists_is_not_said_to_be_missing(workspace, good):
    folder = folder_of(workspace, KINDS["corrupt mp3"], 0)
    path = workspace / "dataset" / "annotation" / "my.txt"
    path.write_bytes(KINDS["corrupt mp3"].raw(folder) + b"\n")
    screened = screening.screen([files.Source(path, "train")], params.Params(), 1)
    assert "does not exist" not in screened.rejected[0].detail


def test_the_stage_tells_all_kinds_apart_in_one_run(workspace, good):
    annotations = workspace / "dataset" / "annotation"
    (annotations / "good.txt").write_bytes(b"".join(good[:8]))
    (annotations / "good.dev.txt").write_bytes(b"".join(good[8:10]))
    (annotations / "good.test.txt").write_bytes(b"".join(good[10:]))
    folders = {}
    for number, (name, kind) in enumerate(KINDS.items()):
        folders[name] = folder_of(workspace, kind, number)
        # After "good.txt" by name: of the same audio the first line wins.
        (annotations / f"kind {number}.txt").write_bytes(kind.raw(folders[name]) + b"\n" * (kind.lines is not None))
    done = run_stage(
        "manifest", workspace, "manifest: {max_rejected_fraction: 1, dev_fraction: 0}\nruntime: {num_workers: 1}\n"
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "transcripts as the model learns them, " in done.stderr
    rejected = [json.loads(line) for line in (workspace / "dataset" / "rejected.jsonl").read_text("utf-8").splitlines()]
    for number, (name, kind) in enumerate(KINDS.items()):
        mine = [rejection for rejection in rejected if rejection["file"].endswith(f"/kind {number}.txt")]
        assert_told_apart(kind, folders[name], mine)
    metrics = json.loads((workspace / "results" / "data.json").read_text())
    assert (metrics["train_utterances"], metrics["dev_utterances"], metrics["test_utterances"]) == (8, 2, 2)
    assert metrics["lines_accepted"] + metrics["rejected"] == metrics["lines"]
    assert metrics["rejected"] == len(rejected)
    by_reason = Counter(rejection["reason"] for rejection in rejected)
    assert {f"rejected_{reason}": count for reason, count in by_reason.items()}.items() <= metrics.items()


def test_too_many_bad_lines_end_the_stage_with_a_sentence_and_leave_the_old_manifests(workspace, good):
    (workspace / "dataset" / "annotation" / "my.txt").write_bytes(b"".join(good) + "good/12.wav\t你好\n".encode())
    for split in ("train", "dev", "test"):
        (workspace / "dataset" / f"manifest.{split}").write_text("old\n")
    done = run_stage("manifest", workspace, "runtime: {num_workers: 1}\n")
    assert_one_sentence(done, "1 of 13 lines are rejected (1 missing_audio)", "my.txt line 13", "good/12.wav")
    for split in ("train", "dev", "test"):
        assert (workspace / "dataset" / f"manifest.{split}").read_text() == "old\n"
    assert not (workspace / "results").exists()
    (rejected,) = map(json.loads, (workspace / "dataset" / "rejected.jsonl").read_text("utf-8").splitlines())
    assert (rejected["line"], rejected["reason"]) == (13, "missing_audio")


def test_a_path_that_is_absolute_is_not_said_to_be_relative(workspace):
    path = workspace / "dataset" / "annotation" / "my.txt"
    path.write_text("/none/a.wav\t你好\nnone/a.wav\t你好\n", encoding="utf-8")
    absolute, relative = screening.screen([files.Source(path, "train")], params.Params(), 1).rejected
    assert absolute.detail == "/none/a.wav: there is no such file"
    assert relative.detail.endswith("paths are relative to the repository's root")


@pytest.mark.parametrize(("name", "mixed"), [("demo", False), ("my", True)])
def test_the_demo_left_beside_ones_own_data_is_told(workspace, good, name, mixed):
    for split, lines in (("train", good[:8]), ("dev", good[8:10]), ("test", good[10:])):
        (workspace / "dataset" / "annotation" / f"demo.{split}.txt").write_bytes(b"".join(lines))
    (workspace / "dataset" / "annotation" / f"{name}.train.txt").write_bytes(b"".join(good[:8]))
    done = run_stage("manifest", workspace, "corpora: [demo]\nmanifest: {max_rejected_fraction: 1}\n")
    assert done.returncode == 0, done.stderr
    assert ("the demo's sentences are mixed with dataset/annotation/my.train.txt" in done.stderr) == mixed


def test_a_file_beside_the_annotation_that_is_not_read_is_told(workspace, good):
    (workspace / "dataset" / "annotation" / "my.txt").write_bytes(b"".join(good))
    (workspace / "dataset" / "annotation" / "more.csv").write_bytes(b"".join(good))
    done = run_stage("manifest", workspace, "manifest: {dev_fraction: 0.3, test_fraction: 0.3}\n")
    assert "dataset/annotation/more.csv is not read: its name does not end in .txt" in done.stderr


def test_speakers_in_the_place_of_transcripts_are_told(workspace, good):
    lines = [b"\t".join([line.split(b"\t")[0], b"s2", "你好".encode()]) + b"\n" for line in good]
    for part, count in (("train", 8), ("dev", 2), ("test", 2)):
        (workspace / "dataset" / "annotation" / f"my.{part}.txt").write_bytes(b"".join(lines[:count]))
        del lines[:count]
    done = run_stage("manifest", workspace, "corpora: []\n")
    assert done.returncode == 0, done.stderr
    assert "12 of 12 transcripts look like speakers (s2) and the speakers like transcripts (你好)" in done.stderr


PARAMETERS = {
    "text for an integer": ("train: {num_epoch: abc}\n", "train.num_epoch: 'abc' is not an integer"),
    "mistyped name": ("train: {num_epochs: 5}\n", "did you mean train.num_epoch?"),
    "mistyped section": ("modle: {dropout: 0.5}\n", "did you mean model?"),
    "parameter outside its section": ("num_epoch: 5\n", "num_epoch: there is no such parameter"),
    "out of range": ("model: {dropout: 2}\n", "model.dropout: 2"),
    "negative": ("train: {learning_rate: -0.001}\n", "train.learning_rate: -0.001"),
    "crossed durations": ("manifest: {min_duration: 30}\n", "min_duration (30) must not be greater than max_duration"),
    "not a number": ("train: {grad_clip: .nan}\n", "train.grad_clip: nan is not a finite number"),
    "duplicate key": ("train: {seed: 1}\ntrain: {seed: 2}\n", "line 2"),
    "tab for indentation": ("train:\n\tseed: 1\n", "line 2"),
    "unclosed bracket": ("corpora: [demo\ntrain: {seed: 1}\n", "not valid YAML"),
    "template left unfilled": ("train: {seed: {{seed}}}\n", ""),
    "merge conflict": ("<<<<<<< HEAD\ntrain: {seed: 1}\n=======\n>>>>>>> main\n", ""),
    "other encoding": ("train: {seed: 1} # 种子\n".encode("gbk"), "is not UTF-8"),
    "utf-16": ("train: {seed: 1}\n".encode("utf-16"), "is not UTF-8"),
    "empty": ("", "holds no sections"),
    "list": ("- train\n", "holds no sections"),
    "one value for a section": ("train: 100\n", "train: 100 is not a section"),
    "section without parameters": ("train:\n", "train: None is not a section"),
    "text for a list": ("corpora: demo\n", "corpora: 'demo' is not a list"),
    "unknown choice": ("evaluate: {metrics_type: mer}\n", "evaluate.metrics_type: 'mer'"),
}


@pytest.mark.parametrize(("content", "part"), PARAMETERS.values(), ids=PARAMETERS)
def test_bad_parameters_are_one_sentence(workspace, content, part):
    path = workspace / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(UserError) as caught:
        params.load(path)
    assert len(str(caught.value).splitlines()) == 1
    assert part in str(caught.value)


@pytest.mark.parametrize("name", ["text for an integer", "duplicate key"])
def test_the_training_refuses_bad_parameters_before_any_work(workspace, name):
    content, part = PARAMETERS[name]
    assert_one_sentence(run_stage("train", workspace, content), part)
    assert sorted(path.name for path in workspace.iterdir()) == ["dataset", "params.yaml"]


def test_the_training_says_which_input_is_missing(workspace):
    done = run_stage("train", workspace, "train: {num_epoch: 1}\n")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == ["error: dataset/manifest.train does not exist: run dvc repro manifest"]
    assert done.stderr.splitlines()[-1] == errors[0]
