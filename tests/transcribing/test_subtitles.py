"""Subtitles of every recording can be read: narrow enough, long enough on the screen, one after the other."""

import html
import io
import itertools
import re
import unicodedata

import av
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ds2.transcribing import subtitles
from ds2.transcribing.subtitles import Cue
from ds2.transcribing.transcript import Spoken, in_a_row

HAN = st.text("今天气怎么样打开客厅的灯", min_size=1, max_size=1)
LATIN = st.text("abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=60)
THAI = st.text("กขคงจ\u0e34\u0e48", min_size=1, max_size=80)


@st.composite
def spoken(draw, texts=HAN | LATIN | THAI, longest=9.0, pauses=(-0.5, 5.0)):
    """Words with times that may even overlap a little, and the recording's duration."""
    found, now = [], draw(st.floats(0.0, 3.0))
    for text in draw(st.lists(texts, max_size=60)):
        now += draw(st.floats(*pauses))
        end = now + draw(st.floats(0.0, longest))
        found.append(Spoken(text, max(0.0, now), max(0.0, end), 0.5, draw(st.booleans()) and bool(found)))
        now = end
    return found, max(0.0, now + draw(st.floats(-0.5, 3.0)))


def is_wide(character):
    return unicodedata.east_asian_width(character) in "WF"


def shares(text):
    """Narrow and wide characters, without the marks above and below others."""
    seen = [one for one in text if unicodedata.category(one) not in ("Mn", "Me")]
    wide = sum(map(is_wide, seen))
    return len(seen) - wide, wide


def check(words, duration, found):
    letters = "".join(cue.text for cue in found).replace(" ", "")
    assert letters == in_a_row(words).replace(" ", "")
    least = min(1000, int(duration * 1000) // max(1, len(found)))
    for cue in found:
        narrow, wide = shares(cue.text)
        assert narrow / 42 + wide / 22 <= 1 + 1e-9
        assert cue.text == cue.text.strip() != ""
        assert least <= cue.end - cue.start <= 7000
        assert cue.start >= 0
        assert cue.end <= duration * 1000
    for before, after in itertools.pairwise(found):
        assert before.end <= after.start


@given(spoken())
@example(([Spoken("今", 0.0, 8.0, 0.5, False), Spoken("天", 8.0, 8.1, 0.5, False)], 8.1))
def test_every_cue_is_narrow_and_shown_long_enough_and_none_overlaps(case):
    words, duration = case
    check(words, duration, subtitles.cues(words, duration))


@given(spoken(HAN, 0.4, (0.0, 3.0)))
def test_speech_at_an_ordinary_rate_is_shown_for_a_second_at_least_and_while_it_is_said(case):
    words, duration = case
    found = subtitles.cues(words, duration)
    assert all(cue.end - cue.start >= 1000 for cue in found) or duration < max(1, len(found))
    at = 0
    for cue in found:
        part = words[at : at + len(cue.text.replace(" ", ""))]
        at += len(part)
        assert cue.start <= round(part[0].start * 1000) + 1000
        assert cue.end >= min(round(part[0].start * 1000) + 900, int(duration * 1000))


def row(text, start=0.0, each=0.2, pauses=()):
    """Han characters said one after the other; `pauses`: seconds behind the characters of these positions."""
    found, now = [], start
    for i, one in enumerate(text):
        found.append(Spoken(one, now, now + each, 0.9, False))
        now += each + dict(pauses).get(i, 0.0)
    return found


def test_lines_break_at_pauses():
    words = row("今天天气怎么样打开客厅的灯现在几点了", pauses=[(6, 0.8), (12, 1.2)])
    assert [cue.text for cue in subtitles.cues(words, 10.0)] == ["今天天气怎么样", "打开客厅的灯", "现在几点了"]


def test_a_short_pause_breaks_no_line_that_fits():
    words = row("今天天气怎么样打开客厅的灯", pauses=[(6, 0.2)])
    assert [cue.text for cue in subtitles.cues(words, 10.0)] == ["今天天气怎么样打开客厅的灯"]


def test_without_pauses_lines_are_of_similar_length_and_full_ones_are_22_wide_or_42_narrow():
    assert [len(cue.text) for cue in subtitles.cues(row("天" * 22), 10.0)] == [22]
    assert [len(cue.text) for cue in subtitles.cues(row("天" * 23), 10.0)] in ([11, 12], [12, 11])
    letters = [Spoken("abcdef", i * 0.5, i * 0.5 + 0.5, 0.9, i > 0) for i in range(6)]
    assert [cue.text for cue in subtitles.cues(letters, 3.0)] == ["abcdef abcdef abcdef abcdef abcdef abcdef"]
    assert len(subtitles.cues([*row("天" * 22), Spoken("a", 4.4, 4.5, 0.9, False)], 10.0)) == 2
    assert len(subtitles.cues([*row("天" * 21), Spoken("a", 4.4, 4.5, 0.9, False)], 10.0)) == 1
    assert len(subtitles.cues([*letters, Spoken("a", 3.0, 3.2, 0.9, True)], 4.0)) == 2
    letters.append(Spoken("ab", 3.0, 3.2, 0.9, True))
    assert [len(cue.text) for cue in subtitles.cues(letters, 4.0)] in ([27, 16], [20, 23])


def test_a_word_that_is_too_wide_for_a_line_is_divided_and_its_time_with_it():
    found = subtitles.cues([Spoken("a" * 100, 0.0, 9.0, 0.9, False)], 9.0)
    assert [len(cue.text) for cue in found] == [33, 33, 34]
    assert [cue.start for cue in found] == [0, 2970, 5940]


def test_a_short_word_stays_on_the_screen_for_a_second_and_a_long_one_for_seven():
    assert subtitles.cues([Spoken("好", 4.0, 4.2, 0.9, False)], 9.0) == [Cue(4000, 5000, "好")]
    assert subtitles.cues([Spoken("好", 8.9, 9.0, 0.9, False)], 9.0) == [Cue(8000, 9000, "好")]
    assert subtitles.cues([Spoken("好", 0.0, 9.0, 0.9, False)], 9.0) == [Cue(0, 7000, "好")]
    assert subtitles.cues([Spoken("好", 0.1, 0.3, 0.9, False)], 0.5) == [Cue(0, 500, "好")]
    assert subtitles.cues([], 9.0) == []


CUES = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1000, 7000), st.text("今天 ab<&>'", min_size=1, max_size=20)).filter(
        lambda cue: cue[2].strip()
    ),
    max_size=9,
)


def laid(cues):
    """Cues one after the other, after these pauses and of these lengths, up to some hours."""
    found, now = [], 0
    for pause, length, text in cues:
        found.append(Cue(now + pause * 400, now + pause * 400 + length, text.strip()))
        now = found[-1].end
    return found


def milliseconds(clock):
    hours, minutes, seconds, rest = map(int, re.fullmatch(r"(\d\d+):([0-5]\d):([0-5]\d)[,.](\d{3})", clock).groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + rest


def blocks(text):
    assert text.endswith("\n\n") or not text
    return text.split("\n\n")[:-1]


@given(CUES)
def test_srt_is_read_back(cues):
    cues = laid(cues)
    found = []
    for number, block in enumerate(blocks(subtitles.srt(cues)), start=1):
        first, times, text = block.split("\n")
        start, end = re.fullmatch(r"(\S+,\d+) --> (\S+,\d+)", times).groups()
        assert int(first) == number
        found.append(Cue(milliseconds(start), milliseconds(end), text))
    assert found == cues


@given(CUES)
def test_webvtt_is_read_back(cues):
    cues = laid(cues)
    head, *rest = blocks(subtitles.vtt(cues))
    assert head == "WEBVTT"
    found = []
    for block in rest:
        times, text = block.split("\n")
        assert "<" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
        start, end = re.fullmatch(r"(\S+\.\d+) --> (\S+\.\d+)", times).groups()
        found.append(Cue(milliseconds(start), milliseconds(end), html.unescape(text)))
    assert found == cues


@given(CUES, st.sampled_from([(subtitles.srt, "srt"), (subtitles.vtt, "webvtt")]))
def test_ffmpeg_reads_the_same_times(cues, made):
    write, kind = made
    with av.open(io.BytesIO(write(cues := laid(cues)).encode()), format=kind) as container:
        packets = [packet for packet in container.demux(container.streams[0]) if packet.size]
    assert [(packet.pts, packet.pts + packet.duration) for packet in packets] == [(cue.start, cue.end) for cue in cues]


@given(CUES)
def test_the_table_is_read_back(cues):
    cues = laid(cues)
    head, *rows = subtitles.tsv(cues).splitlines()
    assert head == "start\tend\ttext"
    assert [Cue(int(start), int(end), text) for start, end, text in (row.split("\t") for row in rows)] == cues


@pytest.mark.parametrize(
    ("clock", "expected"), [(0, "00:00:00,000"), (3_661_005, "01:01:01,005"), (360_000_000, "100:00:00,000")]
)
def test_times_are_written_as_subtitles_have_them(clock, expected):
    assert subtitles.srt([Cue(clock, clock + 1000, "a")]).split("\n")[1].split(" ")[0] == expected
