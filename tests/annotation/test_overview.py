import itertools
import unicodedata
from pathlib import Path

import pytest

from ds2 import params
from ds2.annotation.files import Line, Source
from ds2.annotation.overview import Overview
from ds2.data import text
from ds2.data.manifest import Utterance

SOURCE = Source(Path("dataset/annotation/my.txt"), "train")


def seen(raws, numbers="keep", seconds=lambda i: 2.0, parts=lambda i: "train"):
    """The overview of transcripts, and its lines."""
    rules = params.TextSettings(numbers=numbers)
    found = Overview(len(raws), rules)
    accepted = {"train": [], "dev": [], "test": []}
    for i, raw in enumerate(raws):
        normal = text.normalize(raw, rules)
        found.add(Line(SOURCE, i + 1, f"a/{i}.wav", raw, None), normal)
        accepted[parts(i)].append(Utterance(f"a/{i}.wav", seconds(i), normal, None))
    return found, found.lines(accepted)


def columns(line):
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)


def test_five_examples_are_spread_over_the_lines_and_say_what_was_changed():
    raws = [f"第{'一' * (i + 1)}句" if i != 4 else "Hello,  World！" for i in range(20)]
    _, lines = seen(raws)
    assert lines[0] == "transcripts as the model learns them, 5 of 20:"
    assert lines[1:6] == [f"  {raws[0]}", "  Hello,  World！ -> hello world", *(f"  {raws[i]}" for i in (8, 12, 16))]


def test_what_is_special_is_counted_with_the_first_line_that_has_it():
    raws = [
        "你好",
        "下午3:30",
        "好的(笑声)",
        "[NOISE]打开WiFi",
        "<unk>好",
        "【三】五６",
        "今天天气",
        "{笑}",
        "&lt;unk&gt;",
    ]
    found, lines = seen(raws)
    told = dict(itertools.pairwise(lines))
    assert told["2 lines with digits (text.numbers: keep):"] == "  first my.txt line 2: 下午3:30 -> 下午3 30"
    assert told["2 lines with brackets (their words stay):"] == "  first my.txt line 3: 好的(笑声) -> 好的笑声"
    assert told["4 lines with tags (dropped):"] == "  first my.txt line 4: [NOISE]"
    assert told["1 line with Latin letters:"] == "  first my.txt line 4: 打开wifi"
    assert found.numbers() == {"lines_with_digits": 2, "lines_with_tags": 4}


def test_spoken_numbers_are_shown_and_those_that_cannot_be_said_too():
    _, lines = seen(["下午3:30", "3時です", "你好"], numbers="spoken")
    assert "2 lines with digits (text.numbers: spoken):" in lines
    assert "  first my.txt line 1: 下午3:30 -> 下午三点三十分" in lines
    assert "1 line with digits that cannot be said:" in lines
    assert "  first my.txt line 2: 3時です -> 3时です" in lines


def test_repeated_texts_are_counted_across_the_parts_too():
    raws = ["打开空调"] * 12 + ["关上空调"] * 9 + ["今天天气", "你好"]
    _, lines = seen(raws, parts=lambda i: "test" if i in (0, 1, 21) else "train")
    assert (
        lines[lines.index("12 lines with a text of 10 lines or more,") + 1] == "  the most frequent 12 times: 打开空调"
    )
    assert "2 of 3 test texts are trained on too" in lines


def test_characters_a_second_far_off_are_counted_with_the_first():
    _, lines = seen(["你好你好你好"] * 9, seconds=lambda i: {3: 0.5, 7: 20.0}.get(i, 2.0))
    assert lines[-3:] == [
        "characters a second: 3.0 (median)",
        "2 lines with 3 times more or less:",
        "  first 12.0 in a/3.wav",
    ]


@pytest.mark.parametrize("raw", ["长" * 200, "a " * 200, "\x1b[31m红\u202e色" * 30, "(3)[x]<b>é" * 40, "سلام " * 60])
def test_the_screen_fits_a_terminal_whatever_the_transcripts(raw):
    _, lines = seen(
        [raw + str(i % 3) for i in range(30)], "spoken", lambda i: 0.1 + i, lambda i: "test" if i % 2 else "train"
    )
    assert len(lines) <= 22
    assert max(map(columns, lines)) <= 52
    assert not any(unicodedata.category(character) in ("Cc", "Cf") for line in lines for character in line)


def test_without_accepted_lines_there_is_nothing_to_show():
    assert seen([])[1] == []
