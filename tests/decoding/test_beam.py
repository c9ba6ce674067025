import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2 import layout, params
from ds2.data.vocabulary import Vocabulary
from ds2.decoding import beam, candidates, hot_words, ngram
from ds2.decoding.beam import BeamSearch
from ds2.decoding.greedy import Greedy
from ds2.recognition.acoustic import log_softmax
from tests.decoding import arpa, plain, scoring

VOCABULARY = Vocabulary(["<blank>", "<unk>", "你", "<space>", "a"])
TOKENS = len(VOCABULARY)
SENTENCES = [["你", "a"], ["你", "a", "a"], ["你", "<space>", "a"], ["a"], ["<space>", "你"]]
ALL = 10**6
WIDE = 1000  # more than there are texts in the small cases
NO_WORDS = hot_words.build({}, VOCABULARY)
NO_MODEL = ngram.empty(TOKENS)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ngram.read(arpa.write(tmp_path_factory.mktemp("lm") / "3.arpa", SENTENCES, 3), VOCABULARY)


def random_logs(seed, steps, tokens=TOKENS, sharpness=2.0):
    logits = np.random.default_rng(seed).normal(0, sharpness, (steps, tokens)).astype(np.float32)
    return log_softmax(logits)


def whole(logs):
    return candidates.prune(logs, 1.0, logs.shape[1])


def text_of(path):
    return tuple(token for token, _ in itertools.groupby(path) if token)


def brute_force(logs):
    """ln P of every text, summed over all alignments."""
    totals = {}
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        value = sum(float(logs[step, token]) for step, token in enumerate(path))
        totals[text_of(path)] = np.logaddexp(totals.get(text_of(path), -np.inf), value)
    return totals


def occurrences(boosts, text):
    return sum(boost * (text[i : i + len(word)] == word) for word, boost in boosts.items() for i in range(len(text)))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 5))
def test_a_wide_prefix_beam_search_equals_brute_force_over_all_alignments(seed, steps, tokens):
    logs = random_logs(seed, steps, tokens)
    expected = brute_force(logs)
    vocabulary = Vocabulary(VOCABULARY.tokens[:tokens])
    search = BeamSearch(WIDE, 0.0, 0.0, ngram.empty(tokens), hot_words.build({}, vocabulary))
    found = {tuple(h.ids.tolist()): h for h in search(whole(logs), best=ALL)}
    assert found.keys() == expected.keys()
    for text, hypothesis in found.items():
        assert hypothesis.score == pytest.approx(expected[text], abs=1e-4)


BOOSTS = {"你a": 1.5, "a": 0.25, "a你a": 2.0, "你 a你": 3.0}


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0, 3), st.floats(-2, 4), st.booleans())
def test_the_score_of_every_text_is_the_sum_that_is_promised(model, seed, steps, alpha, beta, with_words):
    logs = random_logs(seed, steps)
    boosts = BOOSTS if with_words else {}
    search = BeamSearch(WIDE, alpha, beta, model, hot_words.build(boosts, VOCABULARY))
    expected = {
        text: value
        + alpha * scoring.score(model, np.array(text, np.int32))
        + beta * len(text)
        + occurrences(boosts, VOCABULARY.decode(text).replace("\ufffd", "?"))
        for text, value in brute_force(logs).items()
    }
    found = search(whole(logs), best=ALL)
    assert {tuple(h.ids.tolist()) for h in found} == expected.keys()
    for hypothesis in found:
        assert hypothesis.score == pytest.approx(expected[tuple(hypothesis.ids.tolist())], abs=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.floats(0.2, 6), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_beam_of_one_without_weights_is_the_best_path(seed, steps, sharpness, cutoff):
    logs = random_logs(seed, steps, sharpness=sharpness)
    expected = Greedy().decode(Greedy().prune(logs)).ids
    search = BeamSearch(1, 0.0, 0.0, NO_MODEL, NO_WORDS)
    found = search(candidates.prune(logs, cutoff, 3))
    assert [h.ids.tolist() for h in found] == [expected.tolist()]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 2.2]))
def test_flashlight_finds_the_same(tmp_path_factory, seed, alpha):
    # Without beta, which flashlight does not have. Its weight is that of log10.
    decoder = pytest.importorskip("flashlight.lib.text.decoder")
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    path = arpa.write(tmp_path_factory.getbasetemp() / "flashlight.arpa", SENTENCES, 3)
    logs = random_logs(seed, 12)
    tokens = Dictionary()
    for token in VOCABULARY.tokens:
        tokens.add_entry(token)
    options = decoder.LexiconFreeDecoderOptions(
        400, TOKENS, 1e6, alpha * math.log(10), 0.0, True, decoder.CriterionType.CTC
    )
    theirs = decoder.LexiconFreeDecoder(options, KenLM(str(path), tokens), 0, 0, []).decode(
        logs.ctypes.data, *logs.shape
    )
    ours = BeamSearch(400, alpha, 0.0, ngram.read(path, VOCABULARY), NO_WORDS)(whole(logs), best=5)
    assert [list(text_of(one.tokens[1:-1])) for one in theirs[:5]] == [one.ids.tolist() for one in ours]
    assert [one.score for one in theirs[:5]] == pytest.approx([one.score for one in ours], abs=1e-3)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 30), st.sampled_from([{}, BOOSTS]))
def test_leaving_out_what_cannot_enter_the_beam_changes_nothing(model, seed, steps, beam, boosts):
    # Prefixes are skipped by a bound on what they can gain; a bound too high to skip any must give the same.
    logs = random_logs(seed, steps)
    words = hot_words.build(boosts, VOCABULARY)
    skipping = BeamSearch(beam, 0.8, 0.3, model, words)(whole(logs), best=beam)
    slow = BeamSearch(beam, 0.8, 0.3, model, words._replace(most=1e9))(whole(logs), best=beam)
    assert [h.ids.tolist() for h in skipping] == [h.ids.tolist() for h in slow]
    assert [h.score for h in skipping] == [h.score for h in slow]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 20])
@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (0.8, 0.6), (0.5, -1.0)])
@pytest.mark.parametrize("boosts", [{}, BOOSTS, {"你a你": 9.0, "aa": 4.0}], ids=["plain", "words", "strong words"])
def test_a_narrow_beam_holds_what_the_formulas_say(tmp_path, size, alpha, beta, boosts):
    path = arpa.write(tmp_path / "3.arpa", SENTENCES, 3)
    search = BeamSearch(size, alpha, beta, ngram.read(path, VOCABULARY), hot_words.build(boosts, VOCABULARY))
    spelled = {tuple("<space>" if character == " " else character for character in word): boost
               for word, boost in boosts.items()}  # fmt: skip
    for seed in range(12):
        logs = random_logs(seed, 7)
        expected = plain.search(logs.tolist(), VOCABULARY.tokens, size, alpha, beta, plain.Arpa(path), spelled)
        found = {tuple(VOCABULARY.tokens[i] for i in h.ids): h.score for h in search(whole(logs), best=ALL)}
        assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_of_equal_texts_no_more_stay_than_the_beam_holds(size):
    logs = np.full((4, TOKENS), -math.log(TOKENS))
    assert len(BeamSearch(size, 0.0, 0.0, NO_MODEL, NO_WORDS)(whole(logs), best=ALL)) <= size


def test_threads_find_the_same(model):
    search = BeamSearch(50, 0.8, 0.5, model, hot_words.build(BOOSTS, VOCABULARY))
    many = [whole(random_logs(seed, 30)) for seed in range(40)]
    with ThreadPoolExecutor(4) as executor:
        assert [[h.ids.tolist() for h in found] for found in executor.map(search, many)] == [
            [h.ids.tolist() for h in search(one)] for one in many
        ]


def test_a_hot_word_wins_over_a_likelier_text_and_only_as_a_whole():
    logs = np.log(np.array([[0.01, 0.01, 0.6, 0.01, 0.37], [0.9, 0.025, 0.025, 0.025, 0.025]]))
    logs = np.concatenate([logs, np.log([[0.01, 0.01, 0.3, 0.01, 0.67]])])
    plain = BeamSearch(20, 0.0, 0.0, NO_MODEL, NO_WORDS)(whole(logs))[0]
    boosted = BeamSearch(20, 0.0, 0.0, NO_MODEL, hot_words.build({"a你": 3.0}, VOCABULARY))(whole(logs))[0]
    partly = BeamSearch(20, 0.0, 0.0, NO_MODEL, hot_words.build({"a你你你": 3.0}, VOCABULARY))(whole(logs))[0]
    assert [VOCABULARY.decode(h.ids) for h in (plain, boosted, partly)] == ["你a", "a你", "你a"]


@pytest.mark.parametrize("decoder", ["ctc_prefix_beam", "ctc_beam_search"])
def test_a_search_has_the_numbers_of_the_parameters(decoder, workspace):
    arpa.write(layout.LANGUAGE_MODEL, SENTENCES, 3)
    numbers = {"beam_size": 7, "alpha": 0.5, "beta": 1.5, "cutoff_prob": 0.75, "cutoff_top_n": 3}
    section = params.EvaluateSettings(decoder=decoder, hot_words={"你，Ａ！": 2.0}, **numbers)
    found = beam.search(section, VOCABULARY, params.TextSettings(), layout.LANGUAGE_MODEL)
    if decoder == "ctc_prefix_beam":
        numbers |= {"alpha": 0.0, "beta": 0.0}
    assert {name: getattr(found, name) for name in numbers} == numbers
    assert found.words.most == hot_words.build({"你a": 2.0}, VOCABULARY).most > 0
    assert (found.language_model.keys >= 0).any() == (decoder == "ctc_beam_search")
