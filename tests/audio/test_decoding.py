import os
import socket
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from ds2.audio import decoding, ffmpeg, reading
from ds2.audio.reading import AudioError
from tests.conftest import tone

# Codecs that libsndfile cannot seek in or refuses: suffix, subtype.
CODECS = [
    ("wav", "GSM610"),
    ("w64", "GSM610"),
    ("aiff", "GSM610"),
    ("wav", "G721_32"),
    ("au", "G721_32"),
    ("au", "G723_24"),
    ("wav", "NMS_ADPCM_24"),
    ("wav", "MS_ADPCM"),
    ("aiff", "IMA_ADPCM"),
]
# By PyAV: the name, codec, format of samples, rate.
AV_CODECS = [
    ("mp3.wav", "libmp3lame", "s16p", 8000),
    ("g726.wav", "g726", "s16", 8000),
    ("yamaha.wav", "adpcm_yamaha", "s16", 8000),
    ("ima.caf", "adpcm_ima_qt", "s16p", 8000),
    ("alac.m4a", "alac", "s16p", 8000),
]


def readers(path):
    yield lambda: reading.inspect(path)
    yield lambda: reading.read(path)
    yield lambda: list(reading.stream(path, 16000))
    yield lambda: decoding.header(path)


def refused(path) -> str:
    """By every reader, for the same reason."""
    sentences = set()
    for reader in readers(path):
        with pytest.raises(AudioError) as error:
            reader()
        sentences.add(str(error.value))
    (sentence,) = sentences
    assert "\n" not in sentence
    return sentence


def heard(path, rate=8000):
    """That every reader hears the tone."""
    samples, found = reading.read(path)
    assert found == rate
    assert reading.inspect(path).samples == len(samples) == pytest.approx(rate * 2, abs=rate // 4)
    assert np.array_equal(np.concatenate(list(reading.stream(path, rate))), samples)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(440, abs=3)


def write_av(path, codec, kind, rate):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray((tone(2.0, rate=rate) * 32767).astype(np.int16)[None], kind, "mono")
        frame.sample_rate, frame.pts = rate, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        while piece := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
            for packet in stream.encode(piece):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@pytest.mark.parametrize(("suffix", "subtype"), CODECS)
def test_a_codec_without_seeking_is_read(tmp_path, suffix, subtype):
    soundfile.write(tmp_path / f"a.{suffix}", tone(2.0, rate=8000), 8000, subtype=subtype)
    heard(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(("name", "codec", "kind", "rate"), AV_CODECS)
def test_a_codec_that_libsndfile_does_not_know_is_read(tmp_path, name, codec, kind, rate):
    write_av(tmp_path / name, codec, kind, rate)
    heard(tmp_path / name)


@pytest.mark.parametrize("name", ["a.raw", "a.RAW", "a.pcm", "a", "a.sw", "a.vox", "a.txt"])
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_what_a_file_holds_counts_not_its_name(tmp_path, name, kind):
    soundfile.write(tmp_path / f"b.{kind}", tone(2.0, rate=8000), 8000)
    expected, _ = reading.read(tmp_path / f"b.{kind}")
    (tmp_path / f"b.{kind}").rename(tmp_path / name)
    heard(tmp_path / name)
    np.testing.assert_array_equal(reading.read(tmp_path / name)[0], expected)


@pytest.mark.parametrize("name", ["a.raw", "a.pcm", "a.sw", "a.ul", "a.al", "a.g722", "a.vox", "a.dat"])
@pytest.mark.parametrize("silence", [0, 1000])
def test_samples_without_a_header_are_refused_since_nobody_knows_their_rate(tmp_path, name, silence):
    (np.pad(tone(2.0), (silence, 0)) * 32767).astype(np.int16).tofile(tmp_path / name)
    told = ("it has no header that says what it holds", "it has no audio track", "it cannot be decoded (Invalid data")
    assert refused(tmp_path / name).startswith(told)


def test_an_unknown_codec_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.aiff", tone(1.0), 16000, subtype="DWVW_16")
    assert refused_by_all_but_a_look_at_the_header(tmp_path / "a.aiff").startswith("it cannot be decoded")


def refused_by_all_but_a_look_at_the_header(path) -> str:
    sentences = set()
    for reader in list(readers(path))[:3]:
        with pytest.raises(AudioError) as error:
            reader()
        sentences.add(str(error.value))
    (sentence,) = sentences
    return sentence


def test_a_name_that_ffmpeg_takes_for_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_av(tmp_path / "a.m4a", "alac", "s16p", 8000)
    for name in ("pipe:0", "concat:a.m4a", "data:,x"):
        os.link("a.m4a", name)
        heard(Path(name))


WAITING = """
import sys
from pathlib import Path
from ds2.audio import reading
for read in (reading.inspect, reading.read, lambda path: list(reading.stream(path, 16000))):
    try:
        read(Path(sys.argv[1]))
    except reading.AudioError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("pipe", "it is no regular file but a pipe"),
        ("link to a pipe", "it is no regular file but a pipe"),
        ("socket", "it is no regular file but a socket"),
        ("/dev/zero", "it is no regular file but a device"),
        ("/dev/null", "it is no regular file but a device"),
    ],
)
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path, kind, sentence):
    path = tmp_path / "a.wav"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    elif kind == "socket":
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.close()
    else:
        path = kind
    done = subprocess.run([sys.executable, "-c", WAITING, path], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [sentence] * 3, done.stderr


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (100.5, "its samples reach 100.5, where full scale is 1: they seem to be integers in a floating-point file; "
                "divide them by 32768"),
        (-32768.0, "its samples reach 32768, where full scale is 1: they seem to be integers in a floating-point file; "
                   "divide them by 32768"),
        (8388607.0, "its samples reach 8.38861e+06, where full scale is 1: they seem to be integers in a "
                    "floating-point file; divide them by 8388608"),
        (1e30, "its samples reach 1e+30, where full scale is 1"),
        (-3e38, "its samples reach 3e+38, where full scale is 1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_out_of_all_range_are_refused(tmp_path, value, sentence, channels):
    samples = np.stack([tone(1.0)] * channels, axis=1)
    samples[5000, -1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert refused_by_all_but_a_look_at_the_header(tmp_path / "a.wav") == sentence


def test_two_channels_whose_mean_is_in_range_are_refused_if_they_are_not(tmp_path):
    samples = np.stack([tone(1.0), tone(1.0)], axis=1)
    samples[5000] = (3e38, -3e38)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert "its samples reach 3e+38" in refused_by_all_but_a_look_at_the_header(tmp_path / "a.wav")


@pytest.mark.parametrize("gain", [20.0, 1e-30, 1e-42])
def test_loud_and_very_quiet_samples_are_read_as_they_are(tmp_path, gain):
    samples = tone(1.0) * np.float32(gain)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(reading.read(tmp_path / "a.wav")[0], samples)


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2_000_000_000])
def test_a_sample_rate_that_cannot_be_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(1.0), 16000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    assert refused(tmp_path / "a.wav") == f"its sample rate is {rate} Hz"


@pytest.mark.parametrize(
    "error", [TypeError, ValueError, RuntimeError, AttributeError, KeyError, soundfile.SoundFileError]
)
def test_whatever_a_decoder_raises_is_a_sentence(tmp_path, monkeypatch, error):
    """As soundfile has raised TypeError at a name and ValueError at a codec."""

    def raises(*arguments, **options):
        raise error("the reason")

    soundfile.write(tmp_path / "a.wav", tone(1.0), 16000, subtype="FLOAT")
    monkeypatch.setattr(soundfile.SoundFile, "read", raises)
    monkeypatch.setattr(av, "open", raises)
    assert "the reason" in refused_by_all_but_a_look_at_the_header(tmp_path / "a.wav")


def test_a_file_without_permission_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(1.0), 16000)
    (tmp_path / "a.wav").chmod(0)
    if os.access(tmp_path / "a.wav", os.R_OK):
        pytest.skip("root may read everything")
    assert refused_by_all_but_a_look_at_the_header(tmp_path / "a.wav") == "no permission to read it"


@pytest.mark.parametrize("channels", [1, 8, 9, 17])
def test_ffmpeg_reads_any_number_of_channels(tmp_path, channels):
    """PyAV ended the process on a changed WAV that stated 17."""
    samples = np.random.default_rng(channels).normal(0, 0.1, (4000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    read = np.concatenate([block for block, _ in ffmpeg.blocks(tmp_path / "a.wav", 0.0, stated=True)])
    np.testing.assert_allclose(read, samples, atol=2**-15)
