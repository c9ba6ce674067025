"""Of every container: a whole file has its length, a part of one, or two joined, is read whole or refused."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ds2.audio import reading
from ds2.containers import kinds
from ds2.containers.extent import SLACK_S, AudioError
from tests.containers import samples

SECONDS = 2.0
# Of these no header says how long they are; of `webm live` it is a film that a browser was recording.
STATE_NOTHING = {
    "ircam", "pvf", "paf", "ts", "mpg", "aac", "ac3", "eac3", "mp2", "mp3 without Xing", "amr", "latm", "webm live",
}  # fmt: skip
# Read by libsndfile alone and of no known length, or by FFmpeg, which does not tell it.
REFUSED = {"mat4", "mat5", "mpc2k", "sds", "wve", "nut"}
STATED = [kind for kind in samples.KINDS if kind not in STATE_NOTHING | REFUSED]
# Frames of AAC and AC3 have 64 ms at 16 kHz: encoders begin and end with a part of one.
TOLERANCE_S = 0.13


@functools.cache
def made(kind: str, seconds: float = SECONDS, seed: int = 0, rate: int = 16000) -> bytes:
    """The bytes of a recording of noise."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)).clip(-1, 1).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.bin")
        samples.write(kind, path, noise, rate)
        return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds") / "a.bin"


def seconds_of(path: Path, content: bytes) -> float:
    """Seconds, the same by each way of reading; AudioError only if no way accepts it."""
    path.write_bytes(content)
    found = []
    for way in (
        lambda: reading.inspect(path).duration,
        lambda: (lambda read: len(read[0]) / read[1])(reading.read(path)),
        lambda: sum(map(len, reading.stream(path, 16000))) / 16000,
    ):
        try:
            found.append(way())
        except AudioError as error:
            found.append(str(error))
    if isinstance(found[0], str):
        assert set(found) == {found[0]}
        raise AudioError(found[0])
    assert found[1] == found[0]
    assert found[2] == pytest.approx(found[0], abs=1e-3)
    return found[0]


def refuses(path: Path, content: bytes, why: str = "") -> None:
    with pytest.raises(AudioError, match=why or None):
        seconds_of(path, content)


def with_bytes(content: bytes, *patches: tuple[int, bytes]) -> bytes:
    changed = bytearray(content)
    for at, new in patches:
        changed[at : at + len(new)] = new
    return bytes(changed)


@pytest.mark.parametrize("kind", [*STATED, *sorted(STATE_NOTHING)])
def test_a_whole_file_has_its_length(path, kind):
    assert seconds_of(path, made(kind)) == pytest.approx(SECONDS, abs=TOLERANCE_S)


@pytest.mark.parametrize("kind", STATED)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_what_is_cut_off_is_refused(path, kind, share):
    content = made(kind)
    refuses(path, content[: int(len(content) * share)])


@pytest.mark.parametrize("kind", STATED)
@pytest.mark.parametrize("missing", [1, 2, 100])
def test_what_lacks_a_few_bytes_is_refused_or_as_long_as_before(path, kind, missing):
    content = made(kind)
    try:
        found = seconds_of(path, content[:-missing])
    except AudioError:
        return
    assert found == pytest.approx(seconds_of(path, content), abs=SLACK_S)


@pytest.mark.parametrize("kind", STATED)
@pytest.mark.parametrize(("seconds", "seed"), [(SECONDS, 0), (SECONDS, 1), (1.0, 2)])
def test_of_joined_files_none_is_lost(path, kind, seconds, seed):
    both = made(kind) + made(kind, seconds, seed)
    path.write_bytes(both)
    with pytest.raises(AudioError):
        reading.read(path)
    with pytest.raises(AudioError):
        list(reading.stream(path, 16000))
    with pytest.raises(AudioError):
        reading.inspect(path)


@pytest.mark.parametrize("kind", sorted(STATE_NOTHING))
def test_where_nothing_is_stated_all_that_is_there_is_read(path, kind):
    content = made(kind)
    found = seconds_of(path, content[: len(content) // 2])
    assert found == pytest.approx(SECONDS / 2, abs=0.2)
    if kind in ("amr", "webm live"):  # these begin with a mark
        refuses(path, content + content, "second recording")
    else:
        assert seconds_of(path, content + content) == pytest.approx(2 * seconds_of(path, content), abs=0.1)


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_cannot_be_known_is_refused(path, kind):
    refuses(path, made(kind))


@pytest.mark.parametrize("kind", [kind for kind in STATED if kind != "htk"])
@pytest.mark.parametrize("tag", ["zeros", "ID3v1", "APE", "ID3v1 and APE"])
def test_tags_and_padding_behind_the_audio_are_none_of_it(path, kind, tag):
    ape = b"APETAGEX" + (2000).to_bytes(4, "little") + (36).to_bytes(4, "little") + (1).to_bytes(4, "little")
    ape = ape + b"\0\0\0\xa0" + bytes(8) + b"\4\0\0\0" + ape + b"\0\0\0\x80" + bytes(8)
    tags = {"zeros": bytes(100), "ID3v1": b"TAG" + b"x" * 125, "APE": ape, "ID3v1 and APE": ape + b"TAG" + b"x" * 125}
    found = seconds_of(path, made(kind) + tags[tag])
    assert found == pytest.approx(seconds_of(path, made(kind)), abs=SLACK_S)


@pytest.mark.parametrize("kind", ["flac", "mp3", "mp3 without Xing"])
def test_a_tag_in_front_is_none_of_it_either(path, kind):
    tag = b"ID3\4\0\0\0\0\1\x48" + b"x" * 200
    assert seconds_of(path, tag + made(kind)) == seconds_of(path, made(kind))
    refuses(path, tag + made("wav"), "ID3")
    content = made(kind)
    if kind != "mp3 without Xing":
        refuses(path, tag + content[: len(content) // 2])


@pytest.mark.parametrize("kind", ["wav", "au", "aiff", "w64", "caf", "sphere", "voc", "flac", "mp3", "vorbis", "opus",
                                  "m4a fast start", "webm", "wma", "avi", "flv", "wavpack"])  # fmt: skip
def test_no_cut_shortens_in_silence(path, kind):
    @given(st.integers(0, len(made(kind)) - 1))
    def cut(end):
        path.write_bytes(made(kind)[:end])
        try:
            found = reading.inspect(path).duration
        except AudioError:
            return
        assert found >= SECONDS - SLACK_S

    cut()


# The size of WAV's audio, that of the whole, and what programs write that cannot seek back, or that crashed.
@pytest.mark.parametrize("kind", [kind for kind in STATED if kind.startswith("wav ") and "ms" not in kind])
@pytest.mark.parametrize("size", ["00000000", "ffffffff", "ffffff7f", "00f0ff7f", "00000080", "00f0ffff"])
@pytest.mark.parametrize("whole", [None, "00000000", "24000000", "ffffffff"])
def test_a_wav_that_was_never_finished_is_read_whole(path, kind, size, whole):
    content = made(kind)
    at = content.index(b"data") + 4
    streamed = with_bytes(content, (at, bytes.fromhex(size)), *([] if whole is None else [(4, bytes.fromhex(whole))]))
    assert seconds_of(path, streamed) == pytest.approx(seconds_of(path, content), abs=0.021)
    path.write_bytes(content)
    right, _ = reading.read(path)
    path.write_bytes(streamed)
    found, _ = reading.read(path)
    np.testing.assert_array_equal(found[: len(right)], right[: len(found)])
    cut = streamed[: len(streamed) // 2]
    assert seconds_of(path, cut) == pytest.approx(SECONDS / 2, abs=0.05)


def unfinished(kind: str, mark: bytes, at: int, size: bytes, *more: tuple[int, bytes]) -> bytes:
    content = made(kind)
    return with_bytes(content, (content.index(mark) + at, size), *more)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("au", lambda: unfinished("au", b".snd", 8, bytes(4))),
        ("au", lambda: unfinished("au", b".snd", 8, b"\xff" * 4)),
        ("aiff", lambda: unfinished("aiff", b"SSND", 4, bytes(4), (22, bytes(4)))),
        ("aiff", lambda: unfinished("aiff", b"SSND", 4, b"\0\0\0\x08", (22, bytes(4)), (4, bytes(4)))),
        ("aifc float", lambda: unfinished("aifc float", b"SSND", 4, b"\0\0\0\x08", (34, bytes(4)))),
        ("w64", lambda: unfinished("w64", b"data\xf3", 16, bytes(8))),
        ("w64", lambda: unfinished("w64", b"data\xf3", 16, b"\xff" * 8)),
        ("w64 float", lambda: unfinished("w64 float", b"data\xf3", 16, b"\x18" + bytes(7))),
        ("caf", lambda: unfinished("caf", b"data", 4, b"\xff" * 8)),
        ("caf", lambda: unfinished("caf", b"data", 4, bytes(8))),
        ("caf of ffmpeg", lambda: unfinished("caf of ffmpeg", b"data", 4, b"\xff" * 8)),
        ("rf64", lambda: with_bytes(made("rf64"), (20, bytes(24)))),
        ("rf64", lambda: with_bytes(made("rf64"), (28, b"\xff" * 8))),
        ("voc", lambda: with_bytes(made("voc"), (27, bytes(3)))),
        ("svx", lambda: unfinished("svx", b"BODY", 4, bytes(4))),
        ("flac", lambda: with_bytes(made("flac"), (21, bytes([made("flac")[21] & 0xF0])), (22, bytes(4)))),
    ],
)
def test_a_header_that_was_never_finished_does_not_shorten(path, kind, content):
    assert seconds_of(path, content()) == pytest.approx(SECONDS, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "mark", "at", "number"),
    [
        ("wav", b"data", 4, (32000).to_bytes(4, "little")),
        ("aiff", b"SSND", 4, (32008).to_bytes(4, "big")),
        ("aiff", b"COMM", 10, (16000).to_bytes(4, "big")),
        ("au", b".snd", 8, (32000).to_bytes(4, "big")),
        ("au", b".snd", 4, (16024).to_bytes(4, "big")),
        ("w64", b"data\xf3", 16, (32024).to_bytes(8, "little")),
        ("caf", b"data", 4, (32004).to_bytes(8, "big")),
        ("sphere", b"sample_count -i ", 16, b"16000"),
        ("voc", b"\x1f\x11\x09", 3, (32012).to_bytes(3, "little")),
        ("avr", b"2BIT", 26, (16000).to_bytes(4, "big")),
        ("htk", b"", 0, (16000).to_bytes(4, "big")),
        ("flac", b"fLaC", 22, (16000).to_bytes(4, "big")),
        ("flac", b"fLaC", 22, (31000).to_bytes(4, "big")),
        ("mp3", b"Xing", 8, (20).to_bytes(4, "big")),
        ("mp3", b"Xing", 142, b"\xff\xff"),
        ("m4a", b"mdhd", 20, (16000).to_bytes(4, "big")),
        ("m4a", b"elst", 12, (1000).to_bytes(4, "big")),
        ("wma", bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 40, (9000).to_bytes(8, "little")),
        ("avi pcm", b"auds", 32, (16000).to_bytes(4, "little")),
        ("wavpack", b"wvpk", 12, (16000).to_bytes(4, "little")),
    ],
)
def test_a_header_that_states_less_than_there_is_is_refused(path, kind, mark, at, number):
    content = made(kind)
    changed = with_bytes(content, (content.index(mark) + at, number))
    assert changed != content
    refuses(path, changed)


def test_an_mp4_whose_first_box_lost_its_name_states_its_length(path):
    content = with_bytes(made("m4a"), (7, b"\0"))
    cut = content[: len(content) // 2]
    assert seconds_of(path, content) == pytest.approx(seconds_of(path, made("m4a")), abs=0.001)
    refuses(path, cut, "cut off|index")


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("kind", ["mp3", "mp3 of ffmpeg"])
def test_how_much_an_mp3_was_padded_is_believed_only_with_its_checksum(path, kind, rate):
    """Delay and padding together are 144 ms at 16 kHz: a changed one made the recording so much longer."""
    content = made(kind, rate=rate)
    at = max(content.find(b"Xing"), content.find(b"Info"))
    assert seconds_of(path, content) == pytest.approx(SECONDS, abs=0.001)
    for place in (141, 142, 143):
        refuses(path, with_bytes(content, (at + place, bytes([content[at + place] ^ 0x31]))), "damaged")
    frame = content.rindex(b"\xff", 0, at)
    for head in (bytes(2), b"\xff\x00", b"\x00"):
        refuses(path, with_bytes(content, (frame, head)), "damaged|no audio track")
    other_channels = content[frame + 3] ^ 0xC0  # so that the header would stand in another place
    refuses(path, with_bytes(content, (frame + 3, bytes([other_channels]))), "damaged")
    without = with_bytes(content, (at + 154, bytes(2)))  # as FFmpeg wrote it before it had one
    path.write_bytes(without)
    extent = kinds.look(path)
    assert extent.least < SECONDS < extent.most
    assert extent.most - extent.least == pytest.approx(4 * (1152 if rate == 44100 else 576) / rate)


def test_chunks_around_the_audio_of_a_wav_are_none_of_it(path):
    content = made("wav")
    whole = seconds_of(path, content)
    note = b"LIST\5\0\0\0INFOx"  # of odd size
    at = content.index(b"data")
    assert seconds_of(path, content + note + b"\0") == whole
    assert seconds_of(path, content + note + note) == whole  # without the byte that fills it
    assert seconds_of(path, content[:at] + note + b"\0" + content[at:]) == whole
    for size in (0, 36, 1 << 20, 0xFFFFFFFF):  # of the whole file: many programs write it wrongly
        assert seconds_of(path, with_bytes(content, (4, size.to_bytes(4, "little")))) == whole
    refuses(path, content + content[at:], "second recording")
    refuses(path, content + note[:4] + b"\x80" + note[5:], "chunk")
    refuses(path, content[:at], "no chunk with audio")
    refuses(path, with_bytes(content[: at + 8], (at + 4, bytes(4))) + note + b"\0", "no audio")


def test_an_ogg_file_lacks_no_page(path):
    for kind in ("vorbis", "opus", "ogg flac"):
        pages = [b"OggS" + page for page in made(kind, 6.0).split(b"OggS")[1:]]
        assert len(pages) > 4
        assert seconds_of(path, b"".join(pages)) == pytest.approx(6.0, abs=0.01)
        refuses(path, b"".join(pages[:-1]), "last page")
        refuses(path, b"".join(pages[:3] + pages[4:]), "missing")
        refuses(path, b"".join(pages) + made(kind, rate=48000), "second recording")
        refuses(path, b"".join(pages) + b"x" * 5000, "after its end")
        refuses(path, with_bytes(b"".join(pages), (len(pages[0]) + 60, b"xx")), "damaged")


def test_mp3_files_without_a_header_that_were_joined_are_read_whole_or_refused(path):
    bare = made("mp3 without Xing")
    one = seconds_of(path, bare)
    tag = b"ID3\4\0\0\0\0\1\x48" + b"x" * 200
    assert seconds_of(path, bare + made("mp3 without Xing", 1.0, 1)) == pytest.approx(one + 1.1, abs=SLACK_S)
    assert seconds_of(path, bare + tag + bare) == pytest.approx(2 * one, abs=SLACK_S)
    refuses(path, bare + made("mp3"), "second recording")
    refuses(path, bare + made("mp3 without Xing", rate=44100), "another sample rate")
    refuses(path, bare[: len(bare) // 2] + b"x" * 300 + bare[len(bare) // 2 :], "damaged")


def test_the_beginning_of_a_broadcast_is_left_out(path):
    bare = made("mp3 without Xing")
    assert seconds_of(path, bare[100:]) == pytest.approx(seconds_of(path, bare), abs=0.08)
    adts = made("aac")
    assert seconds_of(path, adts[100:]) == pytest.approx(seconds_of(path, adts), abs=0.08)


def test_the_frames_that_a_header_of_fraunhofers_states_are_counted(path):
    bare = made("mp3 without Xing")
    count = round(seconds_of(path, bare) / 0.036)
    frame = bare[: bare.index(bare[:2], 2)]
    for stated, right in ((count, True), (count + 10, False), (count - 10, False)):
        vbri = frame[:4] + bytes(32) + b"VBRI" + bytes(10) + stated.to_bytes(4, "big")
        content = vbri.ljust(len(frame), b"\0") + bare
        if right:
            assert seconds_of(path, content) == pytest.approx(seconds_of(path, bare), abs=0.08)
        else:
            refuses(path, content, "states")


def test_flac_files_of_one_length_that_were_joined_are_refused(path):
    quiet, loud = (0.001, 0.9)
    both = []
    for seed, amplitude in enumerate((loud, quiet)):
        soundfile.write(path, np.random.default_rng(seed).uniform(-amplitude, amplitude, 40000), 16000, format="FLAC")
        both.append(path.read_bytes())
    path.write_bytes(both[0] + both[1])
    for way in (reading.read, lambda path: list(reading.stream(path, 16000))):
        with pytest.raises(AudioError, match="second recording"):
            way(path)


def test_damage_in_the_middle_of_what_states_nothing_is_refused(path):
    content = made("aac", 4.0)
    middle = len(content) // 2
    changed = bytearray(content)
    random = np.random.default_rng(0)
    at = middle
    while (at := changed.find(b"\xff\xf1", at)) >= 0 and at < middle + 2000:
        changed[at + 8 : at + 40] = random.bytes(32)
        at += 40
    refuses(path, bytes(changed), "damaged")


def test_what_is_proven_is_what_libsndfile_finds(path):
    for kind in samples.SNDFILE:
        path.write_bytes(made(kind))
        extent = kinds.look(path)
        if extent is not None and extent.proven is not None:
            found = soundfile.info(str(path))
            assert extent.proven == (found.samplerate, found.frames, found.channels), kind
