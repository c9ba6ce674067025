import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import automaton, language_model, ngram
from ds2.errors import UserError
from tests.decoding import arpa, scoring

VOCABULARY = Vocabulary(["<blank>", "<unk>", "你", "好", "<space>", "吗", "早"])
SENTENCES = [["你", "好"], ["你", "好", "吗"], ["你", "<space>", "好"], ["吗"], ["好", "好", "你", "好", "甲"]]

texts = st.lists(st.integers(1, len(VOCABULARY) - 1), max_size=12)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@settings(deadline=None)
@given(ids=texts)
def test_the_scores_are_kenlms(order, ids, tmp_path_factory):
    kenlm_of = pytest.importorskip("flashlight.lib.text.decoder.kenlm").KenLM
    from flashlight.lib.text.dictionary import Dictionary

    path = tmp_path_factory.getbasetemp() / f"{order}.arpa"
    if not path.exists():
        arpa.write(path, SENTENCES, order)
    tokens = Dictionary()
    for token in VOCABULARY.tokens:
        tokens.add_entry(token)
    kenlm = kenlm_of(str(path), tokens)
    state, expected = kenlm.start(False), 0.0
    for i in ids:
        state, value = kenlm.score(state, i)
        expected += value
    expected += kenlm.finish(state)[1]
    found = scoring.score(ngram.read(path, VOCABULARY), np.array(ids, np.int32))
    assert found == pytest.approx(expected * np.log(10), abs=1e-4)


@njit
def advance(model, state, token, following):
    return automaton.advance(model, state, token, following)


@pytest.mark.parametrize("order", [1, 3])
def test_probabilities_sum_to_one_in_every_state(order, tmp_path):
    model = ngram.read(arpa.write(tmp_path / "lm.arpa", SENTENCES, order), VOCABULARY)
    # The words 早 and <unk> are asked for by one name, <unk>; 甲 of the file cannot be asked for.
    asked, following = [1, 2, 3, 4, 5, model.end], np.zeros(1, np.int32)
    for state in range(len(model.backoff)):
        total = sum(np.exp(advance(model, np.array([state], np.int32), token, following)) for token in asked)
        assert total < 1 + 1e-4
        if state == 0:
            assert total > 0.9


def test_a_model_without_unknown_words_gives_them_next_to_nothing(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1\t<s>\n-0.5\t</s>\n-0.2\t你\n\n\\end\\\n", encoding="utf-8")
    model = ngram.read(path, VOCABULARY)
    assert scoring.score(model, np.array([2])) == pytest.approx(-0.7 * np.log(10))
    assert scoring.score(model, np.array([3])) == pytest.approx(-100.5 * np.log(10))


def test_a_context_whose_suffix_was_pruned_backs_off_to_the_longest_that_is_there(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(
        "\\data\\\nngram 1=4\nngram 2=1\nngram 3=1\n\n"
        "\\1-grams:\n-9\t<s>\t0\n-1\t</s>\t0\n-0.3\t你\t-0.1\n-0.4\t好\t-0.2\n"
        "\n\\2-grams:\n-0.05\t你 你\t-0.3\n\n\\3-grams:\n-0.01\t你 你 好\n\n\\end\\\n",
        encoding="utf-8",
    )
    model = ngram.read(path, VOCABULARY)
    # After 你 你 好 the context 你 好 does not exist, so that of 好 decides.
    expected = (0 - 0.3) - 0.05 - 0.01 + (-0.2 - 0.4) + (-0.2 - 1)
    assert scoring.score(model, np.array([2, 2, 3, 3])) == pytest.approx(expected * np.log(10), abs=1e-5)


GOOD = (
    "\\data\\\nngram 1=3\nngram 2=1\n\n"
    "\\1-grams:\n-9\t<s>\t0\n-1\t</s>\n-0.3\t你\t-0.1\n\n"
    "\\2-grams:\n-1\t<s> 你\n\n\\end\\\n"
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\\data\\", "data", "is not an ARPA file"),
        ("ngram 2=1", "ngram 3=1", "line 3.*ngram 2="),
        ("-0.3\t你", "minus\t你", "line 8.*1 words"),
        ("<s> 你\n", "<s>\n", "line 11.*2 words"),
        ("ngram 1=3", "ngram 1=4", "line 9"),
        ("\\2-grams:", "\\3-grams:", r"line 10.*2-grams"),
        ("-1\t</s>", "-1\tx", "no </s>"),
        ("-1\t<s> 你\n\n\\end\\\n", "", "ends after line 10, with 1 2-grams"),
        ("\\2-grams:\n-1\t<s> 你\n\n\\end\\\n", "", "ends after line 9, before"),
        ("\n\\2-grams:\n-1\t<s> 你\n\n\\end\\\n", "", "ends after line 8, before"),
        (GOOD[GOOD.index("\\1-grams:") :], "", "ends after line 4, before"),
        ("ngram 2=1", "ngram 2=99999999999999", "line 3.*no more than"),
        ("你", "我", "none of its words"),
    ],
)
def test_what_is_not_such_a_file_is_refused_by_a_sentence(old, new, said, tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text(GOOD, encoding="utf-8")
    ngram.read(path, VOCABULARY)
    assert old in GOOD
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=said) as error:
        ngram.read(path, VOCABULARY)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_or_neither_is_named(tmp_path):
    with pytest.raises(UserError, match=r"lm\.arpa does not exist"):
        language_model.read(tmp_path / "lm.arpa", VOCABULARY)
    (tmp_path / "lm.gz").write_bytes(b"\x1f\x8b\xff\xfe")
    with pytest.raises(UserError, match="ARPA"):
        language_model.read(tmp_path / "lm.gz", VOCABULARY)
