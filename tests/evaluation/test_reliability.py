import numpy as np
import pytest

from ds2.evaluation import reliability
from ds2.evaluation.evaluator import Evaluation, Prediction
from ds2.evaluation.reliability import Bin, Judged
from ds2.recognition.calibration import Calibration, Scale


def test_a_word_is_right_where_the_alignment_has_it_in_the_reference():
    one = Prediction("a.wav", "今天 turn on", "今大 turn 好", word_confidences=(0.9, 0.4, 0.8, 0.3))
    assert reliability.of_words([one]) == Judged((0.9, 0.4, 0.8, 0.3), (True, False, True, False))


def test_an_utterance_is_right_without_an_error():
    found = [Prediction("a.wav", "好", "好", confidence=0.7), Prediction("b.wav", "好", "", confidence=0.2)]
    assert reliability.of_utterances(found) == Judged((0.7, 0.2), (True, False))


def test_bins_hold_confidences_of_like_size():
    found = reliability.bins(Judged((0.01, 0.05, 0.95, 1.0), (False, True, True, True)))
    assert found == [Bin(2, pytest.approx(0.03), 0.5), Bin(2, pytest.approx(0.975), 1.0)]
    assert reliability.expected_calibration_error(found) == pytest.approx((0.47 + 0.025) / 2)
    assert reliability.expected_calibration_error([]) == 0.0


def test_what_means_what_it_says_has_no_calibration_error():
    random = np.random.default_rng(1)
    sure = random.random(50_000)
    right = random.random(50_000) < sure
    honest = reliability.bins(Judged(tuple(sure.tolist()), tuple(right.tolist())))
    boasting = reliability.bins(Judged(tuple((sure**0.2).tolist()), tuple(right.tolist())))
    assert reliability.expected_calibration_error(honest) < 0.02
    assert reliability.expected_calibration_error(boasting) > 0.2


def test_the_pictures_show_both_where_it_is_calibrated():
    one = Prediction("a.wav", "好", "好", confidence=0.75, word_confidences=(0.5,))
    plain = reliability.pictures(Evaluation([one], 1.0, 1.0))
    assert plain["words"].after is None
    assert plain["words"].before.error == pytest.approx(0.5)
    fitted = Evaluation([one], 1.0, 1.0).calibrated(Calibration(Scale(1.0, 100.0), Scale()))
    found = reliability.pictures(fitted)
    assert found["words"].before == plain["words"].before
    assert found["words"].after.error == pytest.approx(0.0, abs=1e-6)
    assert found["utterances"].after.line == found["utterances"].before.line
    assert reliability.pictures(Evaluation([], 1.0, 1.0))["words"].before is None
