import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.evaluation import bootstrap, breakdown
from ds2.evaluation.error_rate import Errors
from ds2.evaluation.evaluator import Prediction

pytestmark = pytest.mark.wheel

TEXT = st.text("你好吗a ", max_size=8)
PREDICTIONS = st.builds(
    Prediction,
    st.just("a.wav"),
    TEXT,
    TEXT,
    st.none() | st.sampled_from(["li", "zhang", "wang", ""]),
    st.floats(0, 40),
    st.just(0.5),
    st.none() | st.floats(0, 60),
)


def scored(*pairs, metric="cer", **fields):
    return breakdown.score([Prediction(f"{i}.wav", *pair, **fields) for i, pair in enumerate(pairs)], metric)


def group(groups, name):
    return next(one for one in groups if one.name == name)


@given(st.lists(PREDICTIONS, min_size=1, max_size=30), st.integers(0, 4))
def test_every_grouping_counts_every_utterance_once(predictions, most):
    all_scored = breakdown.score(predictions, "cer")
    speakers, others = breakdown.by_speaker(all_scored, most)
    whole = sum((errors for _, errors in all_scored), Errors())
    for groups in (
        breakdown.by_duration(all_scored),
        breakdown.by_snr(all_scored),
        speakers + ([others] if others else []),
    ):
        assert sum(one.utterances for one in groups) == len(predictions)
        assert sum((one.errors for one in groups), Errors()) == whole
        assert sum(one.seconds for one in groups) == pytest.approx(sum(p.duration for p in predictions))
    assert len(speakers) <= most


@pytest.mark.parametrize(
    ("duration", "name"),
    [(0.0, "< 1 s"), (0.999, "< 1 s"), (1.0, "1 – 2 s"), (4.99, "3 – 5 s"), (20.0, "≥ 20 s"), (500.0, "≥ 20 s")],
)
def test_an_utterance_is_in_the_range_of_its_duration(duration, name):
    assert [one.name for one in breakdown.by_duration(scored(("好", "好"), duration=duration))] == [name]


def test_speakers_of_equal_rates_come_by_errors_then_by_name_and_the_unnamed_last():
    said = {"b": "好好", "a": "好好", "z": "好好好好", None: "好好", "": "好好", "c": "你你"}
    predictions = [
        Prediction("a.wav", text, "你" * (len(text) // 2) + "好" * (len(text) // 2), name, 1.0)
        for name, text in said.items()
    ]
    groups, others = breakdown.by_speaker(breakdown.score(predictions, "cer"), 10)
    assert [one.name for one in groups] == ["z", "", "a", "b", "c", None]
    assert others is None


def test_equally_frequent_confusions_come_in_code_point_order_with_five_columns_around():
    long = "一二三四五六七八九十百千万"
    found = breakdown.confusions(
        scored(("甲", "丙"), ("乙", "丙"), ("丁", "丙"), ("丁", "丙"), (long, long.replace("七", "零"))), "cer", 10
    )["S"]
    assert [(one.reference, one.count) for one in found] == [("丁", 2), ("七", 1), ("乙", 1), ("甲", 1)]
    (middle,) = [one for one in found if one.reference == "七"]
    assert "".join(left for left, *_ in middle.example) == long[1:12]


def test_ranges_go_up_and_the_unknown_come_last():
    predictions = [Prediction("a.wav", "好", "好", snr=ratio) for ratio in (None, 55.0, 3.0, 12.0, 12.0)]
    groups = breakdown.by_snr(breakdown.score(predictions, "cer"))
    assert [(one.name, one.utterances) for one in groups] == [
        ("< 5 dB", 1),
        ("10 – 15 dB", 2),
        ("≥ 50 dB", 1),
        (None, 1),
    ]


def test_the_worst_speaker_comes_first_and_the_best_are_put_together():
    predictions = [
        Prediction("1.wav", "一二三四", "一二三四", "right"),
        Prediction("2.wav", "一二三四", "一二三", "one of four"),
        Prediction("3.wav", "一二", "一", "one of two"),
        Prediction("4.wav", "一二三四", "四三", None),
    ]
    groups, others = breakdown.by_speaker(breakdown.score(predictions, "cer"), 2)
    assert [one.name for one in groups] == [None, "one of two"]
    assert (others.utterances, others.errors.total, others.errors.reference_length) == (2, 1, 8)
    assert breakdown.by_speaker(breakdown.score(predictions, "cer"), 4)[1] is None


def test_the_interval_is_the_bootstraps_and_small_groups_have_none():
    pairs = [("你好", "你好"), ("你好", "你")] * 5
    (ten,) = breakdown.by_duration(scored(*pairs, duration=1.5))
    assert ten.interval == bootstrap.interval([errors for _, errors in scored(*pairs)], [None] * 10)
    (nine,) = breakdown.by_duration(scored(*pairs[:9], duration=1.5))
    assert nine.interval is None
    (right,) = breakdown.by_duration(scored(*([("好", "好")] * 10), duration=1.5))
    assert right.interval is None


def test_most_errors_come_first_then_the_highest_rate_then_the_manifests_order():
    ones = scored(("一二", "三四"), ("好", "好"), ("一二三四五", "四五"), ("一二三", ""), ("一", "二"), ("三", "四"))
    assert [prediction.audio_filepath for prediction, _ in breakdown.worst_first(ones)] == [
        "3.wav",
        "2.wav",
        "0.wav",
        "4.wav",
        "5.wav",
    ]


def test_confusions_are_counted_and_have_an_example():
    found = breakdown.confusions(
        scored(("一二三四五六七八", "一二三死五六七八"), ("四", "死"), ("四", "四"), ("好的", "好"), ("好", "你好")),
        "cer",
        5,
    )
    (substitution,) = found["S"]
    assert (substitution.reference, substitution.hypothesis) == ("四", "死")
    assert (substitution.count, substitution.occurrences) == (2, 3)
    assert substitution.example[substitution.place] == ("四", "死", "S")
    assert [left for left, _, _ in substitution.example] == list("一二三四五六七八")
    (deletion,), (insertion,) = found["D"], found["I"]
    assert (deletion.reference, deletion.hypothesis, deletion.count, deletion.occurrences) == ("的", "", 1, 1)
    assert (insertion.reference, insertion.hypothesis, insertion.count, insertion.occurrences) == ("", "你", 1, 1)


@given(st.lists(PREDICTIONS, min_size=1, max_size=20), st.sampled_from(["cer", "wer"]))
def test_the_confusions_are_all_the_errors(predictions, metric):
    all_scored = breakdown.score(predictions, metric)
    whole = sum((errors for _, errors in all_scored), Errors())
    found = breakdown.confusions(all_scored, metric, 10**6)
    assert [sum(one.count for one in found[mark]) for mark in "SDI"] == [
        whole.substitutions,
        whole.deletions,
        whole.insertions,
    ]
    for mark, ones in found.items():
        assert [one.count for one in ones] == sorted((one.count for one in ones), reverse=True)
        assert all(one.example[one.place] == (one.reference, one.hypothesis, mark) for one in ones)
        assert all(one.count <= one.occurrences for one in ones)
    few = breakdown.confusions(all_scored, metric, 2)
    assert few == {mark: ones[:2] for mark, ones in found.items()}


def test_words_are_confused_with_words():
    found = breakdown.confusions(scored(("turn the light on", "turn a light on"), metric="wer"), "wer", 5)
    assert [(one.reference, one.hypothesis) for one in found["S"]] == [("the", "a")]
