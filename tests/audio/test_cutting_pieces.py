"""A piece that is read of a file is the same samples as the same slice of the whole file, in every container."""

import os

import av
import numpy as np
import pytest
import soundfile
import soxr

from ds2.audio import decoding, reading
from ds2.audio.piece import Piece, PieceError

RATE = 16000
SECONDS = 4.0
# Written by libsndfile: suffix, subtype.
SNDFILE = [
    ("wav", "PCM_16"),
    ("wav", "PCM_24"),
    ("wav", "FLOAT"),
    ("wav", "ULAW"),
    ("wav", "IMA_ADPCM"),
    ("wav", "MS_ADPCM"),
    ("wav", "GSM610"),
    ("wav", "G721_32"),
    ("flac", "PCM_16"),
    ("aiff", "PCM_16"),
    ("au", "PCM_16"),
    ("caf", "ALAC_16"),
    ("w64", "PCM_16"),
    ("rf64", "PCM_16"),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
]
AV = [("m4a", "aac", "fltp"), ("mka", "ac3", "fltp"), ("webm", "libopus", "flt"), ("mov", "pcm_s16le", "s16")]
PIECES = [(0.0, 0.5), (0.25, 1.0), (1.23456789, 1.3), (2.71828, 0.777), (3.0, None), (3.2, 0.3), (0.0001, 3.6)]


def sound(channels=1):
    random = np.random.default_rng(channels)
    time = np.arange(int(RATE * SECONDS)) / RATE
    noise = 0.05 * random.standard_normal((len(time), channels))
    return (noise + 0.2 * np.sin(2 * np.pi * (300 + 200 * time[:, None]) * time[:, None])).astype(np.float32)


def write_av(path, codec, kind, samples, rate):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        values = samples.T if kind == "fltp" else samples.reshape(1, -1)
        values = (values * 32767).astype(np.int16) if kind == "s16" else values
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values), format=kind, layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size, partial=True):
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def container(folder, suffix, codec, kind=None):
    path = folder / f"a.{suffix}"
    if kind is not None:
        rate = 48000 if codec in ("libopus", "ac3") else RATE
        write_av(path, codec, kind, np.tile(sound(), (rate // RATE, 1)), rate)
    elif codec in ("GSM610", "G721_32"):
        soundfile.write(path, sound()[::2], RATE // 2, subtype=codec)
    else:
        soundfile.write(path, sound(), RATE, subtype=codec)
    return path


@pytest.mark.parametrize("kind", [*SNDFILE, *AV], ids=lambda kind: "-".join(kind[:2]))
def test_a_piece_is_the_slice_of_the_whole(tmp_path, kind):
    path = container(tmp_path, *kind)
    whole, rate = reading.read(path)
    for offset, duration in PIECES:
        start = round(offset * rate)
        stop = len(whole) if duration is None else start + round(duration * rate)
        piece = Piece(offset, duration)
        found, found_rate = reading.read(path, piece)
        assert found_rate == rate
        np.testing.assert_array_equal(found, whole[start:stop])
        info = reading.inspect(path, piece)
        assert (info.rate, info.samples, info.channels) == (rate, len(found), 1)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_piece_deep_in_a_long_recording_is_the_slice_of_the_whole(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", np.tile(sound(), (20, 1)), RATE)
    whole, _ = reading.read(tmp_path / f"a.{suffix}")
    for start in np.random.default_rng(0).integers(0, len(whole) - 20000, 40).tolist():
        found, _ = reading.read(tmp_path / f"a.{suffix}", Piece(start / RATE, 1.25))
        np.testing.assert_array_equal(found, whole[start : start + 20000])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_piece_is_cut_first_and_then_resampled(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", sound(2), RATE)
    whole, _ = reading.read(tmp_path / f"a.{suffix}")
    piece = Piece(1.5, 1.0)
    expected = soxr.resample(whole[24000:40000], RATE, 8000, quality="HQ")
    np.testing.assert_array_equal(reading.load(tmp_path / f"a.{suffix}", 8000, piece), expected)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_blocks_of_a_streamed_piece_are_what_loading_gives(tmp_path, monkeypatch, suffix, channels):
    monkeypatch.setattr(decoding, "BLOCK", 5000)
    soundfile.write(tmp_path / f"a.{suffix}", sound(channels), RATE)
    for piece in (Piece(0.7, 2.3), Piece(0.7), Piece(None, 2.3), Piece(None, 3.98), Piece(0.7, 2.3, channels - 1)):
        for rate in (RATE, 8000):
            blocks = list(reading.stream(tmp_path / f"a.{suffix}", rate, piece))
            assert len(blocks) > 2
            expected = reading.load(tmp_path / f"a.{suffix}", rate, piece)
            np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_a_piece_takes_the_channel_it_names(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(3), RATE, subtype="FLOAT")
    for channel in range(3):
        found, _ = reading.read(tmp_path / "a.wav", Piece(1.0, 1.0, channel))
        np.testing.assert_array_equal(found, sound(3)[16000:32000, channel])
        assert reading.inspect(tmp_path / "a.wav", Piece(channel=channel)).channels == 3


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
@pytest.mark.parametrize(
    ("piece", "sentence"),
    [
        (Piece(5.0, 1.0), "the piece begins at 5 s"),
        (Piece(5.0), "the piece begins at 5 s"),
        (Piece(3.0, 1.2), "ends"),
        (Piece(channel=1), "there is no channel 1: it has 1, counted from 0"),
    ],
)
def test_a_piece_that_is_not_there_is_refused_by_every_reader(tmp_path, suffix, piece, sentence):
    soundfile.write(tmp_path / f"a.{suffix}", sound(), RATE)
    readers = (reading.inspect, reading.read, lambda path, piece: list(reading.stream(path, RATE, piece)))
    for reader in readers:
        with pytest.raises(PieceError, match=sentence):
            reader(tmp_path / f"a.{suffix}", piece)


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_a_piece_may_end_50_ms_behind_the_recording(tmp_path, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", sound(), RATE)
    found, _ = reading.read(tmp_path / f"a.{suffix}", Piece(3.0, 1.04))
    assert len(found) == reading.inspect(tmp_path / f"a.{suffix}", Piece(3.0, 1.04)).samples == RATE


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
@pytest.mark.parametrize(("duration", "seconds"), [(4.0, 4.0), (3.96, 4.0), (4.04, 4.0), (9.0, 4.0), (3.94, 3.94)])
def test_a_measured_duration_means_the_whole_file_unless_that_is_much_longer(tmp_path, suffix, duration, seconds):
    """As a manifest's line without an offset has it, of ours, NeMo's or PaddlePaddle-DeepSpeech's."""
    soundfile.write(tmp_path / f"a.{suffix}", sound(), RATE)
    whole, _ = reading.read(tmp_path / f"a.{suffix}")
    found, _ = reading.read(tmp_path / f"a.{suffix}", Piece(None, duration))
    np.testing.assert_array_equal(found, whole[: round(seconds * RATE)])


def test_a_file_is_looked_at_anew_when_it_has_changed(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), RATE)
    assert reading.inspect(tmp_path / "a.wav", Piece(3.0)).samples == RATE
    soundfile.write(tmp_path / "a.wav", sound()[:56000], RATE)
    assert reading.inspect(tmp_path / "a.wav", Piece(3.0)).samples == RATE // 2


def test_of_a_cut_off_file_no_piece_is_accepted(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(), RATE)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(reading.AudioError, match="cut off"):
        reading.inspect(tmp_path / "a.wav", Piece(0.0, 1.0))


def test_the_samples_of_another_channel_do_not_matter(tmp_path):
    samples = np.stack([np.full(1600, 0.5), np.full(1600, np.nan)], axis=1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    found, _ = reading.read(tmp_path / "a.wav", Piece(channel=0))
    np.testing.assert_array_equal(found, samples[:, 0])
    with pytest.raises(reading.AudioError, match="not finite"):
        reading.read(tmp_path / "a.wav", Piece(channel=1))


def test_a_file_that_has_changed_is_looked_at_anew(tmp_path):
    path, piece = tmp_path / "a.wav", Piece(0.0, 0.5)
    for second, rate in enumerate((16000, 8000)):
        soundfile.write(path, np.zeros(16000, np.int16), rate)  # of one size
        os.utime(path, (second, second))
        assert reading.inspect(path, piece).rate == rate
