import numpy as np
import pytest

from ds2.evaluation import bootstrap
from ds2.evaluation.error_rate import Errors


def utterances(rates, length=10):
    return [Errors(correct=length - wrong, substitutions=wrong) for wrong in rates]


def test_the_interval_holds_the_rate_and_narrows_with_the_root_of_the_number():
    random = np.random.default_rng(1)
    few, many = (utterances(random.binomial(10, 0.2, count)) for count in (100, 1600))
    widths = []
    for errors in (few, many):
        low, high = bootstrap.interval(errors, [None] * len(errors))
        assert low < sum(errors, Errors()).rate < high
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.25)


def test_it_covers_the_true_rate_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    intervals = [bootstrap.interval(utterances(random.binomial(10, 0.3, 80)), [None] * 80) for _ in range(60)]
    assert 0.85 < np.mean([low <= 0.3 <= high for low, high in intervals]) <= 1


def test_speakers_who_differ_make_it_wider_than_utterances_would():
    rates = [0] * 50 + [1] * 50 + [4] * 50 + [8] * 50
    speakers = [name for name in "abcd" for _ in range(50)]
    by_speaker = bootstrap.interval(utterances(rates), speakers)
    by_utterance = bootstrap.interval(utterances(rates), [None] * 200)
    assert by_speaker[1] - by_speaker[0] > 4 * (by_utterance[1] - by_utterance[0])


@pytest.mark.parametrize("speakers", [["a"] * 200, ["a"] * 199 + [None]])
def test_one_speaker_or_an_unnamed_one_means_utterances(speakers):
    errors = utterances([i % 5 for i in range(200)])
    assert bootstrap.interval(errors, speakers) == bootstrap.interval(errors, [None] * 200)


def test_two_speakers_are_drawn_whole():
    low, high = bootstrap.interval(utterances([0] * 50 + [4] * 50), ["a"] * 50 + ["b"] * 50)
    assert (low, high) == (0.0, 0.4)  # a quarter of the draws is one of them twice


def test_at_either_side_two_and_a_half_percent_are_left_out():
    # One interval is a random one; the mean over many tells 95 % (1.960 deviations) from 94 % (1.881) and 96 % (2.054).
    below, above = [], []
    for count in range(300, 330):
        wrong = np.random.default_rng(count).binomial(1, 0.5, count)
        low, high = bootstrap.interval(utterances(wrong, length=1), [None] * count)
        deviation = wrong.std() / np.sqrt(count)
        below.append((wrong.mean() - low) / deviation)
        above.append((high - wrong.mean()) / deviation)
    assert np.mean(below) == pytest.approx(1.960, abs=0.04)
    assert np.mean(above) == pytest.approx(1.960, abs=0.04)


def test_a_rate_without_doubt_has_no_width():
    assert bootstrap.interval(utterances([0] * 20), [None] * 20) == (0.0, 0.0)
    assert bootstrap.interval(utterances([10]), ["a"]) == (1.0, 1.0)
    assert bootstrap.interval([Errors(insertions=1), Errors(insertions=1)], [None, None]) == (1.0, 1.0)
    assert bootstrap.interval([Errors(), Errors()], [None, None]) == (0.0, 0.0)


def test_the_interval_is_as_wide_as_the_normal_distributions_95_percent():
    wrong = np.random.default_rng(3).binomial(1, 0.3, 2000)
    low, high = bootstrap.interval(utterances(wrong, length=1), [None] * 2000)
    assert high - low == pytest.approx(2 * 1.96 * wrong.std() / np.sqrt(2000), rel=0.08)
