import os

import av
import numpy as np
import pytest
import soundfile

from ds2.audio import decoding, reading
from ds2.audio.reading import AudioError
from tests.conftest import tone

KINDS = {
    "wav": {},
    "wav 24 bits": {"suffix": "wav", "subtype": "PCM_24"},
    "wav 8 bits": {"suffix": "wav", "subtype": "PCM_U8"},
    "wav float": {"suffix": "wav", "subtype": "FLOAT"},
    "wav double": {"suffix": "wav", "subtype": "DOUBLE"},
    "wav a-law": {"suffix": "wav", "subtype": "ALAW"},
    "wav adpcm": {"suffix": "wav", "subtype": "IMA_ADPCM"},
    "flac": {},
    "ogg": {},
    "opus": {"suffix": "ogg", "subtype": "OPUS"},
    "mp3": {},
}
LOSSY = ("ogg", "opus", "mp3", "wav adpcm")
needs_mp3 = pytest.mark.skipif("MP3" not in soundfile.available_formats(), reason="libsndfile without MP3")


def pitch(samples: np.ndarray, rate: int) -> float:
    """The frequency of the strongest bin of the spectrum."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def write_m4a(path, samples, rate=16000, **tags):
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata.update(tags)
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


@pytest.fixture
def write(write_audio):
    """write(kind, ...) writes one of KINDS and returns its path."""

    def write(kind, seconds=1.0, **options):
        options = {**KINDS[kind], **options}
        return write_audio(f"a.{options.pop('suffix', kind)}", seconds, **options)

    return write


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs_mp3) if kind == "mp3" else kind for kind in KINDS])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_file_of_any_kind_reads_as_the_mono_samples_that_were_written(write, kind, channels, rate):
    path = write(kind, channels=channels, rate=rate)
    samples, found = reading.read(path)
    assert found == rate
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    written = tone(1.0, rate=rate, name=path.stem)
    if kind in LOSSY:
        assert abs(len(samples) - rate) <= 0.1 * rate
        assert pitch(samples, rate) == pytest.approx(440, abs=2)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean(written**2)), rel=0.1)
    else:
        np.testing.assert_allclose(samples, written, atol=0.02)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs_mp3) if kind == "mp3" else kind for kind in KINDS])
@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.2345])
def test_inspection_finds_the_length_that_reading_gives(write, kind, seconds):
    path = write(kind, seconds)
    samples, rate = reading.read(path)
    assert length(path) == (rate, len(samples))


def test_channels_are_averaged(workspace):
    left, right = tone(0.5, 300), tone(0.5, 700)
    soundfile.write("a.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    samples, _ = reading.read(workspace / "a.wav")
    np.testing.assert_allclose(samples, (left + right) / 2, atol=1e-6)


def test_an_m4a_file_is_decoded(workspace):
    write_m4a(workspace / "a.m4a", tone(1.0))
    samples, rate = reading.read(workspace / "a.m4a")
    assert rate == 16000
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16000) < 3200
    assert pitch(samples, rate) == pytest.approx(440, abs=2)
    assert length(workspace / "a.m4a") == (rate, len(samples))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_keeps_a_tone_its_pitch_strength_and_length(write_audio, rate):
    samples = reading.load(write_audio("a.wav", 1.0, rate=rate), 16000)
    assert samples.dtype == np.float32
    assert abs(len(samples) - 16000) <= 1
    assert pitch(samples, 16000) == pytest.approx(440, abs=1.5)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.1 / np.sqrt(2), rel=0.02)


def test_resampling_down_leaves_no_alias(workspace):
    soundfile.write("a.wav", 0.5 * np.sin(2 * np.pi * 6000 * np.arange(16000) / 16000), 16000, subtype="FLOAT")
    samples = reading.load(workspace / "a.wav", 8000)
    assert np.abs(samples[400:-400]).max() < 1e-3


def test_audio_at_the_wanted_rate_stays_as_it_is(write_audio):
    path = write_audio("a.wav", subtype="FLOAT")
    np.testing.assert_array_equal(reading.load(path, 16000), tone(1.0, name=path.stem))


def length(path) -> tuple[int, int]:
    found = reading.inspect(path)
    return found.rate, found.samples


def refuses(path) -> str:
    """Both ways of looking refuse the file for the same reason, which is one line."""
    with pytest.raises(AudioError) as by_inspect:
        reading.inspect(path)
    with pytest.raises(AudioError) as by_read:
        reading.read(path)
    assert str(by_inspect.value) == str(by_read.value)
    assert "\n" not in str(by_read.value)
    return str(by_read.value)


def test_a_missing_file_is_refused(workspace):
    assert refuses(workspace / "none.wav") == "there is no such file"


def test_a_name_too_long_for_any_file_is_refused(workspace):
    assert refuses(workspace / ("长" * 100)) == "there is no such file"


def test_a_folder_is_refused(workspace):
    (workspace / "a.wav").mkdir()
    assert refuses(workspace / "a.wav") == "it is a folder"


def test_a_title_that_is_not_utf8_is_no_obstacle(workspace):
    write_m4a(workspace / "a.m4a", tone(1.0), title="TITLE...")
    content = (workspace / "a.m4a").read_bytes()
    assert b"TITLE..." in content
    (workspace / "a.m4a").write_bytes(content.replace(b"TITLE...", "中文标题".encode("gbk")))
    assert reading.inspect(workspace / "a.m4a").rate == 16000
    samples, _ = reading.read(workspace / "a.m4a")
    assert np.array_equal(np.concatenate(list(reading.stream(workspace / "a.m4a", 16000))), samples)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a"])
def test_an_empty_file_is_refused(workspace, name):
    (workspace / name).touch()
    assert refuses(workspace / name) == "the file is empty (0 bytes)"


@pytest.mark.parametrize("kind", ["wav", "wav float"])
def test_a_file_without_samples_is_refused(write, kind):
    assert refuses(write(kind, 0.0)) == "it holds no audio"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(workspace, value):
    samples = tone(1.0)
    samples[8000] = value
    soundfile.write("a.wav", samples, 16000, subtype="FLOAT")
    assert "not finite" in refuses(workspace / "a.wav")


def test_text_under_the_name_of_audio_is_refused(workspace):
    (workspace / "a.wav").write_text("你好\n" * 100, encoding="utf-8")
    assert "cannot be decoded" in refuses(workspace / "a.wav")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["wav", "wav float", "flac"])
def test_a_file_that_is_cut_off_is_refused_by_inspection(write, kind, share):
    path = write(kind, 3.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AudioError):
        reading.inspect(path)


def test_a_flac_file_whose_end_is_damaged_is_refused_by_inspection(write):
    path = write("flac", 3.0)
    content = path.read_bytes()
    path.write_bytes(content[:-2000] + bytes(2000))
    with pytest.raises(AudioError):
        reading.inspect(path)


# What ffmpeg and sox write for a length they do not know.
@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_streamed_wav_whose_header_does_not_know_the_length_is_read(write, size):
    path = write("wav")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert reading.inspect(path).samples == len(reading.read(path)[0]) == 16000


def test_a_streamed_flac_whose_header_does_not_know_the_length_is_read(write):
    path = write("flac")
    content = bytearray(path.read_bytes())
    # STREAMINFO's 36 bits of total samples: 0 stands for unknown, as encoders write that cannot seek back.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert reading.inspect(path).samples == len(reading.read(path)[0]) == 16000


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=needs_mp3) if kind == "mp3" else kind for kind in KINDS])
@pytest.mark.parametrize(("rate", "channels", "wanted"), [(16000, 1, 16000), (48000, 2, 16000), (8000, 1, 16000)])
def test_the_blocks_of_a_stream_are_what_loading_gives(write, monkeypatch, kind, rate, channels, wanted):
    monkeypatch.setattr(decoding, "BLOCK", 4096)
    path = write(kind, 1.2345, rate=rate, channels=channels)
    blocks = list(reading.stream(path, wanted))
    assert len(blocks) > 2
    streamed, loaded = np.concatenate(blocks), reading.load(path, wanted)
    assert len(streamed) == len(loaded)
    assert np.abs(streamed - loaded).max() <= (1e-6 if kind == "mp3" else 0.0)


@pytest.mark.parametrize("wanted", [16000, 8000])
def test_the_blocks_of_a_streamed_m4a_are_what_loading_gives(workspace, wanted):
    write_m4a(workspace / "a.m4a", tone(3.0))
    blocks = list(reading.stream(workspace / "a.m4a", wanted))
    assert len(blocks) > 5
    assert np.array_equal(np.concatenate(blocks), reading.load(workspace / "a.m4a", wanted))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["wav", "wav float", "flac"])
def test_a_file_that_is_cut_off_is_refused_by_streaming(write, monkeypatch, kind, share):
    monkeypatch.setattr(decoding, "BLOCK", 1000)
    path = write(kind, 3.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AudioError):
        list(reading.stream(path, 16000))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_of_unknown_length_is_streamed(write, size):
    path = write("wav")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert sum(map(len, reading.stream(path, 16000))) == 16000


def test_streaming_refuses_what_reading_refuses(write, workspace):
    (workspace / "text.wav").write_text("你好\n" * 100, encoding="utf-8")
    (workspace / "empty.m4a").touch()
    samples = tone(1.0)
    samples[5000] = np.nan
    soundfile.write(workspace / "nan.wav", samples, 16000, subtype="FLOAT")
    nothing = write("wav", 0.0)
    paths = [workspace / name for name in ("none.wav", "text.wav", "empty.m4a", "nan.wav", "a\0b.wav", "x" * 300)]
    for path in (*paths, workspace, nothing):
        with pytest.raises(AudioError) as refused:
            list(reading.stream(path, 16000))
        with pytest.raises(AudioError) as expected:
            reading.read(path)
        assert str(refused.value) == str(expected.value)


def test_a_name_that_is_not_utf8_is_read_as_any_other(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.0), 16000)
    named = tmp_path / os.fsdecode("中文.wav".encode("gbk"))
    (tmp_path / "a.wav").rename(named)
    samples, rate = reading.read(named)
    assert (len(samples), rate) == (16000, 16000)
    assert length(named) == (16000, 16000)
    assert np.array_equal(np.concatenate(list(reading.stream(named, 16000))), samples)
    with pytest.raises(AudioError, match="there is no such file"):
        reading.read(tmp_path / os.fsdecode("没有.wav".encode("gbk")))
