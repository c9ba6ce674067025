import pytest

from ds2.data import parts
from ds2.data.manifest import Utterance
from ds2.data.parts import Size


def spoken(seconds, *speakers):
    """One utterance for each speaker, with its duration in seconds."""
    return [Utterance("a.wav", seconds, "你好", speaker) for speaker in speakers]


PARTS = {"train": spoken(7200, "a", "b", "c", "d"), "dev": spoken(3600, "e", None), "test": spoken(3600, "f", "g")}


def test_a_part_has_its_utterances_hours_speakers_and_shares_of_the_hours():
    lines = parts.table(PARTS, PARTS, {"train": 0.85, "dev": 0.05, "test": 0.1})
    assert [line.split() for line in lines] == [
        ["part", "utterances", "hours", "speakers", "share", "asked"],
        ["train", "4", "8.000", "4", "66.7%", "85%"],
        ["dev", "2", "2.000", "1", "16.7%", "5%"],
        ["test", "2", "2.000", "2", "16.7%", "10%"],
        ["share", "and", "asked:", "of", "the", "hours", "that", "are", "divided"],
    ]


def test_files_of_dev_and_test_data_count_for_the_part_and_not_for_the_share():
    divided = {"train": PARTS["train"], "dev": PARTS["dev"][:1], "test": []}
    lines = parts.table(PARTS, divided, {"train": 0.9, "dev": 0.1, "test": 0.0})
    assert [line.split()[1:] for line in lines[1:4]] == [
        ["4", "8.000", "4", "88.9%", "90%"],
        ["2", "2.000", "1", "11.1%", "10%"],
        ["2", "2.000", "2", "0.0%", "none"],
    ]


@pytest.mark.parametrize("asked", [{}, {"train": 0.9, "dev": 0.1, "test": 0.0}])
def test_without_what_is_divided_or_asked_for_there_are_no_shares(asked):
    nothing = {part: [] for part in PARTS}
    lines = parts.table(PARTS, nothing if asked else PARTS, asked)
    assert [len(line.split()) for line in lines] == [4, 4, 4, 4]


def test_a_part_whose_speakers_are_not_named_says_so():
    assert parts.table(PARTS | {"test": spoken(1, None)}, {}, {})[-1].split() == ["test", "1", "0.000", "unnamed"]


def test_the_lines_fit_a_terminal_behind_the_time_of_the_log():
    large = {part: spoken(2e4, *(str(i) for i in range(2000))) for part in PARTS}
    lines = parts.table(large, large, {"train": 0.785, "dev": 0.105, "test": 0.11})
    for line in lines:
        assert len("2026-01-01 12:00:00 INFO    ") + len(line) <= 80
    assert lines[1].split() == ["train", "2,000", "11,111.111", "2,000", "33.3%", "78.5%"]


@pytest.mark.parametrize(
    ("utterances", "small"),
    [
        (spoken(200, "a", "b", "c"), False),
        (spoken(199, "a", "b", "c"), True),
        (spoken(1000, "a", "b", "a"), True),
        (spoken(1000, None), False),
        (spoken(1000, None, "a"), False),
        (spoken(599, None), True),
        ([], True),
    ],
)
def test_fewer_than_three_speakers_or_ten_minutes_are_too_small_and_where_some_are_unknown_only_minutes_count(
    utterances, small
):
    size = Size.of(utterances)
    assert size.too_small == small
    assert (parts.doubt(size) is not None) == small


def test_what_is_too_small_is_said_with_what_is_there():
    assert parts.doubt(Size.of(spoken(90, "a", "b"))) == (
        "the test data is too small to rely on its error rate: 2 speakers and 3.0 minutes; it should have 3 speakers "
        "and 10 minutes or more"
    )
    assert "error rate: 1.5 minutes; it" in parts.doubt(Size.of(spoken(90, None)))


def test_voices_of_the_test_data_that_were_trained_on_are_told():
    assert parts.shared_voices(PARTS) is None
    assert parts.shared_voices({"train": spoken(1, None), "test": spoken(1, None)}) is None
    both = parts.shared_voices(PARTS | {"test": spoken(1, "b", "a", "x")})
    assert both.startswith("the test data shares 2 speakers with the training data (first: a)")
