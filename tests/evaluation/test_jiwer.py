"""The error rates are those of jiwer, which knows nothing of ds2, and follow sclite's rules for Mandarin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2 import metrics
from ds2.evaluation import error_rate
from ds2.evaluation.error_rate import Errors

jiwer = pytest.importorskip("jiwer")

PAIRS = [
    ("今天天气怎么样", "今天天汽怎么样"),
    ("打开 客厅 的 灯", "打开客厅灯"),
    ("播放 yesterday once more", "播放 yesterday one more more"),
    ("把空调调到二十六度", ""),
    ("是", "四十四是四十四"),
    ("我在看NBA比赛", "我在看 n b a 比赛"),
]
# jiwer folds runs of spaces by its own rules; texts are those that ds2 normalises to: single spaces, none at the ends.
texts = st.lists(st.text("今天气ab", min_size=1, max_size=4), max_size=6).map(" ".join)
references = texts.filter(bool)


def total(metric, pairs):
    tokens = metrics.TOKENS[metric]
    return sum((error_rate.compare(tokens(left), tokens(right)) for left, right in pairs), Errors())


def same(ours, theirs):
    assert ours.rate == pytest.approx(getattr(theirs, "wer", None) or getattr(theirs, "cer", 0.0))
    assert ours.total == theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.reference_length == theirs.hits + theirs.substitutions + theirs.deletions


@given(st.lists(st.tuples(references, texts), min_size=1, max_size=6))
def test_wer(pairs):
    left, right = map(list, zip(*pairs, strict=True))
    same(total("wer", pairs), jiwer.process_words(left, right))


@given(st.lists(st.tuples(references, texts), min_size=1, max_size=6))
def test_cer_is_that_of_the_characters_without_spaces(pairs):
    left, right = ([text.replace(" ", "") for text in side] for side in zip(*pairs, strict=True))
    same(total("cer", pairs), jiwer.process_characters(left, right))


@pytest.mark.parametrize("metric", ["cer", "wer"])
def test_sentences_as_people_say_them(metric):
    left, right = map(list, zip(*PAIRS, strict=True))
    if metric == "wer":
        same(total("wer", PAIRS), jiwer.process_words(left, right))
    else:
        # sclite's character scoring: every character is a word of its own, and spaces do not count.
        spread = [[" ".join(text.replace(" ", "")) for text in side] for side in (left, right)]
        same(total("cer", PAIRS), jiwer.process_words(*spread))
