import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ds2.audio import reading
from ds2.audio.piece import Piece
from ds2.containers import flac
from ds2.containers.extent import AudioError, Source


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("flac") / "a.flac"


def length(path):
    """Sample rate, samples and channels as the file states them; None if it is refused."""
    source = Source(path)
    try:
        return flac.extent(source).proven
    except AudioError:
        return None
    finally:
        source.close()


def write(path, samples: int, rate: int = 16000, channels: int = 1, subtype: str = "PCM_16", amplitude: float = 0.1):
    """Noise of a seed of its own."""
    values = np.random.default_rng(samples).normal(0, amplitude, (samples, channels)).clip(-1, 1)
    soundfile.write(path, values, rate, subtype=subtype)


@given(
    st.integers(1, 30000),
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.integers(1, 3),
    st.sampled_from(["PCM_S8", "PCM_16", "PCM_24"]),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_rate_and_length_are_those_of_the_decoder(path, samples, rate, channels, subtype, amplitude):
    write(path, samples, rate, channels, subtype, amplitude)
    assert length(path) == (rate, samples, channels)


@pytest.mark.parametrize("samples", [127 * 4096, 128 * 4096, 128 * 4096 + 1, 2048 * 4096 + 7])
def test_long_recordings_whose_frames_have_longer_numbers(path, samples):
    write(path, samples, amplitude=0.001)
    assert length(path) == (16000, samples, 1)


@given(st.integers(0, 0x10FFFF).filter(lambda number: not 0xD800 <= number < 0xE000))
def test_numbers_are_read_as_utf_8_has_them(number):
    assert flac._number(chr(number).encode("utf-8"), 0) == (number, len(chr(number).encode("utf-8")))


@given(st.data())
def test_no_file_that_was_cut_off_is_taken(path, data):
    write(path, 9000)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert length(path) is None


@given(st.integers(1, 6000), st.integers(1, 255))
def test_no_file_with_a_wrong_byte_in_its_last_frame_is_taken(path, back, change):
    write(path, 8192 + 4096)
    damaged = bytearray(path.read_bytes())
    damaged[-back] ^= change
    path.write_bytes(damaged)
    assert length(path) is None


@pytest.mark.parametrize("content", [b"fLaC", b"fLaC" + bytes(100)])
def test_what_has_no_header_is_refused(path, content):
    path.write_bytes(content)
    assert length(path) is None


def test_a_tag_at_the_end_is_none_of_it(path):
    write(path, 9000)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert length(path) == (16000, 9000, 1)
    assert reading.inspect(path).samples == 9000


@given(st.integers(1, 8191))
def test_a_wrong_number_of_samples_in_the_header_is_refused_even_within_the_last_block(path, missing):
    write(path, 16384)
    changed = bytearray(path.read_bytes())
    changed[22:26] = (16384 - missing).to_bytes(4, "big")
    path.write_bytes(changed)
    assert length(path) == (None if missing > 800 else (16000, 16384 - missing, 1))


@pytest.mark.parametrize("first", [0.0004, 0.003])
def test_files_of_one_length_that_compress_well_are_seen_to_be_joined(tmp_path, first):
    parts = []
    for seed, amplitude in enumerate((first, 0.0002)):
        samples = np.random.default_rng(seed).normal(0, amplitude, 16000)
        soundfile.write(tmp_path / "part.flac", samples, 16000, subtype="PCM_16")
        parts.append((tmp_path / "part.flac").read_bytes())
    (tmp_path / "a.flac").write_bytes(parts[0])
    piece = Piece(None, 1.0)  # as the manifest has it
    accepted, _ = reading.read(tmp_path / "a.flac", piece)
    assert len(accepted) == 16000
    (tmp_path / "a.flac").write_bytes(b"".join(parts))
    for look in (reading.inspect, reading.read, lambda path: list(reading.stream(path, 16000))):
        with pytest.raises(reading.AudioError, match="separate files that were joined"):
            look(tmp_path / "a.flac")
    # What was joined to it after the stage manifest does not change what is read by the manifest's line.
    np.testing.assert_array_equal(reading.read(tmp_path / "a.flac", piece)[0], accepted)
