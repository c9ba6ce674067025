import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.evaluation.error_rate import Errors, alignment, columns, compare
from ds2.metrics import TOKENS, characters, words

texts = st.lists(st.sampled_from("abc你好"), max_size=12)
counts = st.integers(0, 50)
errors = st.builds(Errors, counts, counts, counts, counts)
tokens = st.lists(st.sampled_from(["a", "b", "你", "好", "the", "你好", "wide你"]), max_size=10)


def distance(left, right):
    """Levenshtein's, by the textbook."""
    rows = [list(range(len(right) + 1))]
    for i, one in enumerate(left, start=1):
        row = [i]
        for j, other in enumerate(right, start=1):
            row.append(min(rows[-1][j] + 1, row[j - 1] + 1, rows[-1][j - 1] + (one != other)))
        rows.append(row)
    return rows[-1][-1]


@given(texts, texts)
def test_the_errors_are_the_fewest_that_explain_the_difference(reference, hypothesis):
    assert compare(reference, hypothesis).total == distance(reference, hypothesis)


@given(texts, texts)
def test_the_counts_add_up_to_both_lengths(reference, hypothesis):
    found = compare(reference, hypothesis)
    assert found.correct + found.substitutions + found.deletions == found.reference_length == len(reference)
    assert found.correct + found.substitutions + found.insertions == len(hypothesis)
    assert min(found.correct, found.substitutions, found.deletions, found.insertions) >= 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("你好", "你好", Errors(2, 0, 0, 0)),
        ("你好", "你号", Errors(1, 1, 0, 0)),
        ("你好", "你", Errors(1, 0, 1, 0)),
        ("你好", "你好吗", Errors(2, 0, 0, 1)),
        ("", "你好", Errors(0, 0, 0, 2)),
        ("你好", "", Errors(0, 0, 2, 0)),
        ("", "", Errors(0, 0, 0, 0)),
    ],
)
def test_errors_are_counted_by_their_kind(reference, hypothesis, expected):
    assert compare(reference, hypothesis) == expected


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=6))
def test_the_rate_of_a_corpus_is_all_errors_by_all_references(pairs):
    total = sum((compare(*pair) for pair in pairs), Errors())
    length = sum(len(reference) for reference, _ in pairs)
    assert total.total == sum(distance(*pair) for pair in pairs)
    if length:
        assert total.rate == total.total / length


def test_the_rate_of_a_corpus_is_not_the_mean_of_its_utterances_rates():
    total = compare("你", "好") + compare("一二三四五六七八九", "一二三四五六七八九")
    assert total.rate == pytest.approx(0.1)


@given(errors, errors)
def test_sums_add_every_count(one, other):
    assert (one + other).total == one.total + other.total
    assert (one + other).correct == one.correct + other.correct
    assert (one + other).reference_length == one.reference_length + other.reference_length


def test_without_a_reference_the_rate_is_0_or_1():
    assert compare("", "").rate == 0.0
    assert compare("", "你好吗").rate == 1.0


def test_a_rate_can_exceed_one():
    assert compare("你", "abc").rate == 3.0


def test_spaces_do_not_count_for_the_cer():
    assert characters(" 你好 ab\u3000c\t") == ["你", "好", "a", "b", "c"]
    assert TOKENS["cer"] is characters


def test_words_are_what_stands_between_spaces():
    assert words(" the  cat\u3000你好 ") == ["the", "cat", "你好"]
    assert TOKENS["wer"] is words


def by_columns(line):
    """The line as a terminal shows it, one entry a column; the second half of a wide character is empty."""
    columns = []
    for character in line:
        if unicodedata.category(character) in ("Mn", "Me"):
            columns[-1] += character
        else:
            columns.append(character)
            if unicodedata.east_asian_width(character) in "WF":
                columns.append("")
    return columns


def cells(text):
    """(reference, hypothesis, mark) of every column of an alignment, cut where the display has gaps in all rows."""
    lines = text.split("\n")
    assert [line[:5].rstrip() for line in lines] == ["REF:", "HYP:", "Eval:"]
    rows = [by_columns(line)[6:] for line in lines]
    longest = max(map(len, rows))
    rows = [row + [" "] * (longest - len(row)) for row in rows]
    gaps = [i for i in range(longest) if rows[0][i] == rows[1][i] == " "]
    bounds = [-1, *gaps, longest]
    cut = [tuple("".join(row[start + 1 : end]).strip() for row in rows) for start, end in itertools.pairwise(bounds)]
    return [cell for cell in cut if any(cell)]


@given(tokens, tokens)
def test_an_alignment_shows_every_token_in_its_column_with_the_right_mark(reference, hypothesis):
    found = cells(alignment(reference, hypothesis))
    assert [left for left, _, _ in found if set(left) != {"*"}] == reference
    assert [right for _, right, _ in found if set(right) != {"*"}] == hypothesis
    for left, right, mark in found:
        if set(left) == {"*"}:
            assert mark == "I"
        elif set(right) == {"*"}:
            assert mark == "D"
        else:
            assert mark == ("" if left == right else "S")


@given(tokens, tokens)
def test_the_columns_of_an_alignment_are_what_it_shows(reference, hypothesis):
    found = columns(reference, hypothesis)
    assert [left for left, _, _ in found if left] == reference
    assert [right for _, right, _ in found if right] == hypothesis
    shown = [cell[2] for cell in cells(alignment(reference, hypothesis))]
    assert [mark for _, _, mark in found] == shown


@given(tokens, tokens)
def test_an_alignment_has_as_many_marks_as_errors(reference, hypothesis):
    marks = [mark for _, _, mark in cells(alignment(reference, hypothesis))]
    found = compare(reference, hypothesis)
    expected = (found.substitutions, found.deletions, found.insertions, found.correct)
    assert tuple(marks.count(mark) for mark in ("S", "D", "I", "")) == expected


def test_an_alignment_looks_as_sclite_shows_it():
    assert alignment(list("我们今天上海好"), list("我今天去上海号")).split("\n") == [
        "REF:  我 们 今 天 ** 上 海 好",
        "HYP:  我 ** 今 天 去 上 海 号",
        "Eval:    D        I        S",
    ]


@pytest.mark.parametrize("token", ["\u00e9tude", "e\u0301tude", "ที่นี่", "हिन्दी"])
def test_characters_without_a_width_of_their_own_do_not_shift_the_columns(token):
    assert cells(alignment([token, "a", "b"], ["longer", "a", "c"])) == [
        (token, "longer", "S"),
        ("a", "a", ""),
        ("b", "c", "S"),
    ]
