import math
import re

import pytest

from ds2.audio import piece
from ds2.audio.piece import WHOLE, Piece, PieceError


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        (WHOLE, (0, 16000)),
        (Piece(0.25), (4000, 16000)),
        (Piece(0.25, 0.5), (4000, 12000)),
        (Piece(0.25, 0.75), (4000, 16000)),
        (Piece(0.25, 0.8), (4000, 16000)),  # 50 ms behind the end
        (Piece(0.0, 0.97), (0, 15520)),
        (Piece(0.00003, 0.00006), (0, 1)),  # to the nearest sample
        # The duration of a whole file, as measured by somebody: it counts where the file is much longer.
        (Piece(None, 1.0), (0, 16000)),
        (Piece(None, 0.96), (0, 16000)),
        (Piece(None, 1.04), (0, 16000)),
        (Piece(None, 0.94), (0, 15040)),
    ],
)
def test_a_piece_is_these_samples_of_a_second(asked, span):
    assert asked.span(16000, 16000) == span


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Piece(1.0), "the piece begins at 1 s, but the recording has 1.000 s"),
        (Piece(2.5, 1.0), "the piece begins at 2.5 s, but the recording has 1.000 s"),
        (Piece(0.25, 0.801), "the piece ends at 1.051 s, but the recording has 1.000 s"),
    ],
)
def test_a_piece_outside_of_the_recording_is_refused(asked, sentence):
    with pytest.raises(PieceError, match=sentence):
        asked.span(16000, 16000)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, WHOLE),
        ({"offset": None, "duration": None, "channel": None}, WHOLE),
        ({"offset": 1, "duration": 2.5, "channel": 0}, Piece(1.0, 2.5, 0)),
        ({"duration": 2.5}, Piece(None, 2.5)),
        ({"offset": 0, "duration": 0.5}, Piece(0.0, 0.5)),
        ({"offset": 0.25}, Piece(0.25)),
        ({"start_time": 0, "end_time": 0.5}, Piece(0.0, 0.5)),
        ({"offset": 1e9, "channel": 3}, Piece(1e9, None, 3)),
        ({"start_time": 1.5, "end_time": 4.0, "duration": 9.0}, Piece(1.5, 2.5)),
        ({"start_time": 1.5}, Piece(1.5)),
        ({"offset": 1.0, "duration": 3.0, "start_time": 1.5, "end_time": 4.0}, Piece(1.0, 3.0)),
    ],
)
def test_the_keys_of_a_piece_are_taken_and_others_left(values, expected):
    values = values | {"lang": "zh"}
    assert piece.take(values) == expected
    assert values == {"lang": "zh"}


@pytest.mark.parametrize(
    "value", ["1.0", True, [1], -0.001, math.nan, math.inf, -math.inf, 1e10, 10**400], ids=lambda value: str(value)[:9]
)
@pytest.mark.parametrize("key", ["offset", "duration", "start_time", "end_time"])
def test_what_are_no_seconds_is_refused(key, value):
    with pytest.raises(ValueError, match=f"^{key} is .{{1,40}}, but should be seconds"):
        piece.take({key: value})


def test_a_duration_is_more_than_nothing_and_an_end_behind_its_beginning():
    with pytest.raises(ValueError, match="duration is 0, but should be seconds, more than 0"):
        piece.take({"duration": 0})
    with pytest.raises(ValueError, match=r"end_time is 1, but should be after start_time, 1.5"):
        piece.take({"start_time": 1.5, "end_time": 1.0})
    with pytest.raises(ValueError, match=r"end_time is 1.5, but should be after start_time, 1.5"):
        piece.take({"start_time": 1.5, "end_time": 1.5})


@pytest.mark.parametrize("value", ["0", 1.0, -1, True, [0, 1]])
def test_a_channel_is_a_whole_number(value):
    with pytest.raises(ValueError, match=re.escape(f"channel is {value!r}, but should be a whole number, from 0 up")):
        piece.take({"channel": value})


def test_in_a_line_a_duration_alone_counts_from_the_beginning():
    assert Piece(None, 2.0).placed() == Piece(0.0, 2.0)
    assert Piece(1.0, 2.0, 1).placed() == Piece(1.0, 2.0, 1)
    assert Piece(None, None, 1).placed() == Piece(None, None, 1)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (WHOLE, WHOLE, True),
        (WHOLE, Piece(5.0, 1.0), True),
        (WHOLE, Piece(0.0, 0.5), True),
        (Piece(1.0, 2.0), Piece(3.0, 1.0), False),
        (Piece(1.0, 2.0), Piece(2.96, 1.0), False),  # they touch
        (Piece(1.0, 2.0), Piece(2.9, 1.0), True),
        (Piece(1.0, 9.0), Piece(2.0, 1.0), True),
        (Piece(1.0), Piece(0.0, 1.0), False),
        (Piece(1.0), Piece(5.0), True),
        (Piece(0.0, 2.0, 0), Piece(0.0, 2.0, 1), False),
        (Piece(0.0, 2.0, 0), Piece(1.0, 2.0, 0), True),
        (Piece(0.0, 2.0, 0), Piece(0.0, 2.0), True),  # a channel is in the mean of all
    ],
)
def test_pieces_overlap_that_share_sound(one, other, overlap):
    assert one.overlaps(other) == other.overlaps(one) == overlap


def test_a_piece_is_called_by_its_place():
    assert WHOLE.of("a.wav") == Piece(None, 2.0).of("a.wav") == "a.wav"
    assert Piece(12.5, 2.0).of("a.wav") == "a.wav (from 12.5 s)"
    assert Piece(0.0, 2.0, 1).of("a.wav") == "a.wav (from 0 s, channel 1)"
    assert Piece(channel=0).of("a.wav") == "a.wav (channel 0)"
