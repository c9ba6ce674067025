from pathlib import Path

import pytest

from ds2.annotation import columns
from ds2.annotation.files import Line, Source
from ds2.data.manifest import Utterance
from ds2.errors import UserError

SENTENCES = [f"今天{a}们去{b}看{c}了" for a in "我你他她" for b in "北京上海" for c in "电影书画"]
WORDS = ["打开", "关上", "yes", "stop", "go"]
ENGLISH = [
    (a, b) for a in ("see", "hear", "read", "find", "take", "buy", "sell") for b in [*WORDS, "map", "car", "sea"]
]
LETTERS = "一二三四五六七八九十百千"
NAMES = [f"{a}{b}" for a in "张李王赵" for b in ("三", "小明", "文静", "伟")]


def check(pairs):
    """Screens (transcript, speaker) pairs; whether they are refused, and the warning otherwise."""
    named = [Utterance(f"a/{i}.wav", 2.0, transcript, speaker) for i, (transcript, speaker) in enumerate(pairs)]
    first = Line(Source(Path("dataset/annotation/my.txt"), "train"), 1, "a/0.wav", *pairs[0])
    columns.check(named, first)
    return columns.doubt(named)


REFUSED = {
    "identifiers": [(f"s000{i % 7}", sentence) for i, sentence in enumerate(SENTENCES)],
    "identifiers of several words": [(f"speaker {i % 7}", sentence) for i, sentence in enumerate(SENTENCES)],
    "one identifier": [("bac009s0002", sentence) for sentence in SENTENCES],
    "english": [(f"spk{i % 9}", f"we will {a} the {b} again") for i, (a, b) in enumerate(ENGLISH)],
    "a few lines of another kind": [("s2", s) for s in SENTENCES[1:]] + [(SENTENCES[0], "s2")],
}
# What may be a corpus of commands, or is: it goes on with a warning.
WARNED = {
    "three lines": [("bac009s0002", sentence) for sentence in SENTENCES[:3]],
    "prompts that many speak": [(f"spk{i % 30}", SENTENCES[i % 5]) for i in range(200)],
    "han names": [(NAMES[i % 6], sentence) for i, sentence in enumerate(SENTENCES)],
    "latin names": [("John Smith" if i % 2 else "mary", f"this is sentence {i}") for i in range(30)],
    "commands by long han names": [("打开" if i % 2 else "关闭", f"阿卜杜拉·买买提{a}") for i, a in enumerate(LETTERS)],
    "words by long latin names": [
        ("sí" if i % 2 else "no", f"Maria del Carmen Lopez{a}") for i, a in enumerate("abcdefghijkl")
    ],
    "a wake word": [("你好米雅", f"speaker {i} female Beijing 25") for i in range(90)],
    "a wake word with a digit": [("r2d2", f"speaker {i} female Beijing 25") for i in range(90)],
    "digits": [(f"{1380 + i % 3}", f"caller {i} mobile north") for i in range(90)],
    "numbers of two words": [(f"channel {i % 9}", f"Maria del Carmen {a} {b}") for i, (a, b) in enumerate(ENGLISH)],
}


@pytest.mark.parametrize("pairs", REFUSED.values(), ids=REFUSED)
def test_columns_that_are_nearly_certainly_exchanged_are_refused_with_the_first_line(pairs):
    with pytest.raises(UserError, match=r"my\.txt line 1: transcript and speaker are exchanged") as caught:
        check(pairs)
    assert repr(pairs[0][0]) in str(caught.value)
    assert repr(pairs[0][1]) in str(caught.value)
    assert "or leave the speakers out" in str(caught.value)


@pytest.mark.parametrize("pairs", WARNED.values(), ids=WARNED)
def test_what_is_likely_and_may_be_right_goes_on_with_a_warning(pairs):
    assert "a line is audio path, tab, transcript, tab, speaker" in check(pairs)


@pytest.mark.parametrize("pairs", [[(b, a) for a, b in pairs] for pairs in REFUSED.values()], ids=REFUSED)
def test_the_same_lines_the_right_way_round_are_neither_refused_nor_doubted(pairs):
    assert check(pairs) is None


ACCEPTED = {
    "words of command, few han names": [(WORDS[i % 5], NAMES[i % 8]) for i in range(100)],
    "words of command, every speaker once": [(WORDS[i % 2], name) for i, name in enumerate(NAMES)],
    "one word, every speaker once": [("你好", name) for name in NAMES],
    "digits to say": [(f"t{i % 4}", NAMES[i % 8]) for i in range(40)],
    "a speaker for every utterance": [("打开", f"BAC009S{i:04}W") for i in range(40)],
    "three names": [("打开", f"Juan Carlos García{i}") for i in range(40)],
    "long names, texts that differ": [(sentence, f"北京朝阳区说话人{i}") for i, sentence in enumerate(SENTENCES)],
    "long names, few of them": [(WORDS[i % 5], f"北京朝阳区说话人{i % 8}") for i in range(100)],
    "exchanged, but short": [("s0002", "你好世界")] * 30,
}


@pytest.mark.parametrize("pairs", ACCEPTED.values(), ids=ACCEPTED)
def test_what_may_be_right_is_not_refused(pairs):
    check(pairs)


def test_what_is_only_likely_is_doubted():
    assert "30 of 30 transcripts look like speakers (s0002)" in check([("s0002", "你好世界")] * 30)
    assert "transcripts look like speakers (speaker 12)" in check([("speaker 12", "你好世界")] * 30)
    assert check([("你好", "s0002")] * 30) is None


def test_without_speakers_there_is_nothing_to_exchange():
    columns.check([], None)
    assert columns.doubt([]) is None
