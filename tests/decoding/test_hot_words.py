from hypothesis import given, settings
from hypothesis import strategies as st

from ds2 import params
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


def test_words_are_spelled_as_the_models_transcripts(log):
    boosts = {"WiFi": 5.0, "銀行": 4.0, "下午3:30": 3.0, "well-known": 2.0, "we’ll": 1.0}
    found = hot_words.normalized(boosts, params.TextSettings())
    assert found == {"wifi": 5.0, "银行": 4.0, "下午3 30": 3.0, "well known": 2.0, "we'll": 1.0}
    as_they_are = params.TextSettings(lower_case=False, simplified=False, numbers="spoken")
    found = hot_words.normalized(boosts, as_they_are)
    assert found == {"WiFi": 5.0, "銀行": 4.0, "下午三点三十分": 3.0, "well known": 2.0, "we'll": 1.0}
    assert log == []


def test_of_words_that_become_the_same_the_greatest_boost_counts_and_it_is_said(log):
    assert hot_words.normalized({"WiFi": 2.0, "wifi": 5.0, "ＷＩＦＩ": 3.0}, params.TextSettings()) == {"wifi": 5.0}
    assert len(log) == 2
    assert "hot words WiFi and wifi are both wifi here: the boost 5 counts" in log[0]


def test_a_word_of_which_nothing_is_left_is_left_out_and_said(log):
    assert hot_words.normalized({"！？": 2.0, "北京": 5.0}, params.TextSettings()) == {"北京": 5.0}
    assert len(log) == 1
    assert "hot word ！？: there is no letter or digit in it; it is left out" in log[0]
