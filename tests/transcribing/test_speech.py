import numpy as np
import pytest

from ds2.transcribing import cutting, speech


def in_blocks(samples, size=50_000):
    return (samples[start : start + size] for start in range(0, len(samples), size))


def inside(heard, places):
    """Which of the frames lie in one of the places."""
    middle = (np.arange(len(heard.speech)) + 0.5) / speech.FRAMES_A_SECOND
    return np.logical_or.reduce([(start <= middle) & (middle < end) for start, end in places])


def test_sentences_are_speech_and_the_pauses_between_them_are_not(with_pauses):
    samples, places = with_pauses(1.5)
    heard = speech.listen(in_blocks(samples))
    assert heard.speech[inside(heard, places)].mean() > 0.8
    far = ~inside(heard, [(start - 0.3, end + 0.3) for start, end in places])
    assert far.sum() > 100
    assert heard.speech[far].mean() < 0.02
    assert heard.duration == len(samples) / speech.SAMPLE_RATE


@pytest.mark.parametrize("gain", [1e-3, 0.1, 3.0])
def test_the_level_hardly_matters(gain, with_pauses):
    samples, _ = with_pauses(1.0)
    expected = speech.listen([samples]).speech
    assert (speech.listen([samples * np.float32(gain)]).speech == expected).mean() > 0.97


def test_what_is_heard_does_not_depend_on_the_blocks_and_windows(with_pauses, monkeypatch):
    samples, _ = with_pauses(0.7)
    whole = speech.listen([samples])
    monkeypatch.setattr(speech, "_WINDOW", 300)
    for size in (160, 7001, 50_000):
        parts = speech.listen(in_blocks(samples, size))
        assert np.array_equal(parts.speech, whole.speech)
        assert np.array_equal(parts.power, whole.power)


@pytest.mark.parametrize("amplitude", [0.0, 0.01, 0.2])
def test_silence_and_noise_are_no_speech(amplitude):
    samples = np.random.default_rng(3).normal(0, amplitude, 30 * speech.SAMPLE_RATE).astype(np.float32)
    heard = speech.listen(in_blocks(samples))
    assert heard.speech.mean() < 0.01
    assert cutting.plan(heard.speech, heard.power, 20.0, 5.0) == []


@pytest.mark.parametrize("count", [0, 1, 399, 400, 559, 560, 1000])
def test_recordings_shorter_than_a_word_are_no_error(count):
    heard = speech.listen([np.full(count, 0.1, np.float32)])
    assert len(heard.speech) == len(heard.power) == max(0, 1 + (count - 400) // 160)


def test_the_power_is_that_of_the_frames_samples():
    samples = np.repeat(np.array([0.0, 0.1, 0.5], np.float32), 160 * 10)
    power = speech.listen(in_blocks(samples)).power
    assert power[5] == 0.0
    assert power[15] == pytest.approx(0.01, rel=1e-4)
    assert power[25] == pytest.approx(0.25, rel=1e-4)


def test_the_pieces_hold_all_that_yeaudios_own_detector_calls_speech_but_its_pauses(with_pauses):
    samples, _ = with_pauses(1.2, repeat=2)
    heard = speech.listen(in_blocks(samples))
    network = speech._network()
    values, _ = network.extract_feat([samples])
    scores, _ = network.infer([values, *network.prepare_cache([])])
    (found,) = network.vad_scorer(scores, samples[None], is_final=True, max_end_sil=800, online=False)
    assert len(found) >= 5
    covered = inside(heard, cutting.plan(heard.speech, heard.power, 20.0, 3.0))
    theirs = inside(heard, [(start / 1000, end / 1000) for start, end in found])
    missed = theirs & ~covered
    # It looks back 0.4 s and ahead 0.1 s at the ends of speech: there may be silence there, but nothing loud.
    assert not (missed & (heard.speech | (heard.power > 1e-5))).any()
