import json
import shutil
import sys

import numpy as np
import pytest
import soundfile

from ds2 import __main__ as command_line
from ds2.data.manifest import Manifest

pytestmark = pytest.mark.wheel


@pytest.fixture
def here(workspace, root, model_folder, monkeypatch):
    """A working directory with a checkpoint and recordings, the first of which is a.wav."""
    shutil.copytree(model_folder, workspace / "moved")
    monkeypatch.chdir(workspace)
    shutil.copy(utterances(root)[0].audio_filepath, workspace / "a.wav")
    return workspace


def utterances(root):
    return list(Manifest(root / "dataset/manifest.test"))


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["ds2", "align", "--model", "moved", *map(str, arguments)])
        if code:
            with pytest.raises(SystemExit) as ended:
                command_line.main()
            assert ended.value.code == code
        else:
            command_line.main()
        return capsys.readouterr()

    return run


def test_json_has_every_word_of_the_text_in_order_within_the_recording(here, root, run):
    said = utterances(root)[0].text
    line = json.loads(run("a.wav", said).out)
    assert list(line) == ["path", "text", "duration", "confidence", "words"]
    assert (line["path"], line["text"]) == ("a.wav", said)
    assert line["duration"] == round(soundfile.info("a.wav").duration, 3)
    assert "".join(word["word"] for word in line["words"]) == said.replace(" ", "")
    times = [word[key] for word in line["words"] for key in ("start", "end")]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= line["duration"]
    assert all(0 <= word["confidence"] <= 1 for word in line["words"])


def test_the_text_is_normalised_as_transcripts_are(here, root, run):
    said = utterances(root)[0].text
    assert json.loads(run("a.wav", f"“{said}”!").out) == json.loads(run("a.wav", said).out)


def test_ctm_has_a_line_a_word_with_the_same_times(here, root, run):
    said = utterances(root)[0].text
    words = json.loads(run("a.wav", said).out)["words"]
    rows = [line.split() for line in run("a.wav", said, "--format", "ctm").out.splitlines()]
    assert [(name, channel, word) for name, channel, _, _, word, _ in rows] == [
        ("a.wav", "1", word["word"]) for word in words
    ]
    for row, word in zip(rows, words, strict=True):
        assert float(row[2]) == pytest.approx(word["start"], abs=0.001)
        assert float(row[2]) + float(row[3]) == pytest.approx(word["end"], abs=0.002)


def test_a_recording_cut_at_silence_has_all_words_too(here, root, run):
    some = utterances(root)[:3]
    samples = [soundfile.read(one.audio_filepath) for one in some]
    rate = samples[0][1]
    gap = np.zeros(rate)
    whole = np.concatenate([part for one, _ in samples for part in (gap, one, gap)])
    soundfile.write("long.wav", whole, rate)
    line = json.loads(run("long.wav", "".join(one.text for one in some), "--max-duration", "2").out)
    times = [word[key] for word in line["words"] for key in ("start", "end")]
    assert times == sorted(times)
    assert times[-1] <= line["duration"] == round(len(whole) / rate, 3)


def test_a_list_is_an_annotation_and_its_mistakes_stop_nothing(here, root, run):
    first, second = utterances(root)[:2]
    lines = [
        f"a.wav\t{first.text}",
        "without a tab",
        f"missing.wav\t{first.text}",
        f"a.wav\t{first.text}☃ 龘",
        f"{second.audio_filepath}\t{second.text}",
    ]
    (here / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    done = run("list.txt", code=1)
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == [first.text, second.text]
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert [error.split(": ")[1] for error in errors] == ["list.txt line 2", "missing.wav", "a.wav"]
    assert "the model's vocabulary lacks" in errors[2]
    assert "龘" in errors[2]
    assert "☃" not in errors[2]  # no letter, so no part of a text


def test_the_text_of_another_recording_is_warned_about(here, root, run):
    own, *others = (one.text for one in utterances(root))
    assert "WARNING" not in run("a.wav", own).err
    another = next(text for text in others if not set(text) & set(own))
    done = run("a.wav", another)
    count = len(json.loads(done.out)["words"])
    assert done.err.endswith(
        f"a.wav: the model does not hear {count} of the {count} words of the text: is it the text of this recording?\n"
    )


def test_a_piece_of_a_list_counts_from_its_beginning_and_in_ctm_from_that_of_the_file(here, root, run):
    said = utterances(root)[0].text
    piece = {"audio_filepath": "a.wav", "text": said, "offset": 0.01}
    (here / "list.jsonl").write_text(json.dumps(piece), encoding="utf-8")
    line = json.loads(run("list.jsonl").out)
    assert line["offset"] == 0.01
    start = float(run("list.jsonl", "--format", "ctm").out.split()[2])
    assert start == pytest.approx(line["words"][0]["start"] + 0.01, abs=0.002)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a.wav", "…"), "a.wav: its text has no letter or digit"),
        (("a.wav",), "a.wav needs the text that is said in it"),
        (("list.txt", "text"), "list.txt is a list, which has its texts in it"),
        (("none.txt",), "none.txt does not exist"),
        (("a.wav", "今\udcff天"), "a.wav: its text is not UTF-8"),
    ],
)
def test_mistakes_end_on_a_sentence(arguments, sentence, here, run):
    assert sentence in run(*arguments, code=1).err


def test_no_word_ends_after_the_recording(here, root, run):
    samples, rate = soundfile.read("a.wav")
    soundfile.write("short.wav", samples[: rate // 40], rate)
    (word,) = json.loads(run("short.wav", utterances(root)[0].text[0]).out)["words"]
    assert word["start"] < word["end"] <= 0.025


def test_a_text_that_does_not_fit_ends_on_a_sentence(here, root, run):
    said = utterances(root)[0].text * 100
    assert "output steps of the network, and the recording has" in run("a.wav", said, code=1).err
