from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import hot_words

VOCABULARY = Vocabulary(["<blank>", "<unk>", "北", "京", "<space>"])
letters = st.text("北京 ", max_size=12)


def walk(words, text):
    """The score after every prefix of a text."""
    state, total, all_totals = 0, 0.0, [0.0]
    for token in VOCABULARY.encode(text):
        gain, state = hot_words.advance(words, state, token)
        assert gain <= words.most + 1e-9
        total += gain
        all_totals.append(total)
    return all_totals, state


def occurrences(boosts, text):
    return sum(boost * (text[i : i + len(word)] == word) for word, boost in boosts.items() for i in range(len(text)))


@settings(deadline=None)
@given(st.dictionaries(st.text("北京 ", min_size=1, max_size=5), st.floats(0.1, 10), max_size=5), letters)
def test_what_remains_are_the_boosts_of_the_words_in_a_text(boosts, text):
    words = hot_words.build(boosts, VOCABULARY)
    totals, state = walk(words, text)
    assert abs(totals[-1] - words.lent[state] - occurrences(boosts, text)) < 1e-6
    assert words.lent[0] == 0
    # Lending helps a word and costs nobody: no prefix has less than its words are worth.
    assert all(total >= occurrences(boosts, text[:i]) - 1e-6 for i, total in enumerate(totals))


def test_a_word_is_lent_its_boost_evenly_and_it_is_taken_back():
    totals, _ = walk(hot_words.build({"北京北": 6.0}, VOCABULARY), "北京 北京北")
    assert [round(total, 9) for total in totals] == [0, 2, 4, 0, 2, 4, 8]  # 8: the word, and 北 may begin another


def test_a_word_with_an_unknown_character_is_left_out_and_said(log):
    words = hot_words.build({"上海": 5.0, "北京": 2.0}, VOCABULARY)
    assert walk(words, "北京")[0][-1] == 2.0
    assert len(log) == 1
    assert "上海" in log[0]


def test_without_words_nothing_changes():
    words = hot_words.build({}, VOCABULARY)
    assert walk(words, "北京 北") == ([0.0] * 5, 0)
    assert words.most == 0
