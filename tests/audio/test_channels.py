import av
import numpy as np
import pytest
import soundfile

from ds2.audio import channels, decoding, reading
from ds2.audio.piece import Piece

RATE = 16000


def voice(seconds=2.0, seed=0):
    """A tone that swells and falls, float32 [n]."""
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 150 * seed) * time) * np.sin(2 * np.pi * 1.5 * time)).astype(np.float32)


def write(path, *columns):
    """Writes channels; m4a by PyAV, without loss (ALAC), the rest by libsndfile."""
    samples = np.stack(columns, axis=1)
    if path.suffix != ".m4a":
        soundfile.write(path, samples, RATE, subtype={".wav": "FLOAT"}.get(path.suffix))
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream("alac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray((samples.T * 32767).astype(np.int16).copy(), "s16p", "stereo")
        frame.sample_rate, frame.pts = RATE, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        while piece := fifo.read(4096, partial=True):
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def read(path, piece=Piece()):  # noqa: B008
    """What every reader hears: the samples and the channel that was taken instead of the mean."""
    samples, _ = reading.read(path, piece)
    assert np.array_equal(np.concatenate(list(reading.stream(path, RATE, piece))), samples)
    assert np.array_equal(reading.load(path, RATE, piece), samples)
    info = reading.inspect(path, piece)
    assert info.samples == len(samples)
    assert info.instead == reading.instead(path, piece)
    return samples, info.instead


KINDS = ["wav", "flac", "mp3", "ogg", "m4a"]


@pytest.mark.parametrize("kind", KINDS)
def test_of_channels_in_opposite_phase_the_louder_is_read(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", -0.9 * voice(), voice())
    samples, instead = read(path)
    assert instead == 1
    assert np.std(samples) == pytest.approx(np.std(voice()), rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "second",
    [voice(), voice(seed=1), 0 * voice(), 0.5 * voice(), -0.4 * voice(), np.roll(voice(), 8)],
    ids=["the same", "another", "silent", "quieter", "a quieter echo", "later"],
)
def test_of_all_other_channels_the_mean_is_read(tmp_path, kind, second):
    path = write(tmp_path / f"a.{kind}", voice(), second)
    samples, instead = read(path)
    assert instead is None
    if kind in ("wav", "flac"):
        np.testing.assert_allclose(samples, (voice() + second) / 2, atol=1e-4)
    assert np.std(samples) > 0.25 * np.std(voice())


def test_the_one_that_speaks_among_five_silent_ones_is_heard_in_the_mean(tmp_path):
    silent = 0 * voice()
    samples, instead = read(write(tmp_path / "a.wav", silent, silent, voice(), silent, silent, silent))
    assert instead is None
    np.testing.assert_allclose(samples, voice() / 6, atol=1e-6)


def test_a_constant_part_of_the_mean_hides_nothing(tmp_path):
    samples, instead = read(write(tmp_path / "a.wav", voice() + 0.3, 0.3 - voice()))
    assert instead is not None
    assert np.std(samples) == pytest.approx(np.std(voice()), rel=0.01)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_silence_has_no_louder_channel(tmp_path, value):
    silent = np.full(RATE, value, np.float32)
    assert read(write(tmp_path / "a.wav", silent, -silent))[1] is None


def test_each_piece_decides_for_itself(tmp_path):
    path = write(tmp_path / "a.wav", np.tile(voice(), 2), np.concatenate([voice(), -voice()]))
    assert read(path, Piece(0.0, 2.0))[1] is None
    assert read(path, Piece(2.0, 2.0))[1] is not None
    assert read(path, Piece(2.0, 2.0, 1))[1] is None
    np.testing.assert_allclose(read(path, Piece(2.0, 2.0, 1))[0], -voice(), atol=1e-6)


def test_the_end_of_a_long_recording_counts_as_much_as_its_beginning(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "BLOCK", 5000)
    path = write(tmp_path / "a.wav", np.tile(voice(), 3), np.concatenate([0 * voice(), -voice(), -voice()]))
    assert read(path)[1] is None  # a third of the time the mean is only 6 dB below
    silence = 0 * voice()
    path = write(tmp_path / "b.wav", np.concatenate([silence, voice()]), np.concatenate([silence, -0.9 * voice()]))
    assert read(path)[1] == 0


@pytest.mark.parametrize("share", [0.48, 0.52])
def test_the_limit_is_half_of_what_one_channel_alone_would_leave(share):
    levels = channels.Levels()
    levels.add(np.stack([voice(), -(1 - share) * voice()], axis=1).astype(np.float32))
    assert levels.instead() == (0 if share < 0.5 else None)
