"""The binaries here are 4.arpa and 2.arpa, made by KenLM's build_binary; a name tells the options that it was given:

    build_binary [-v] [-q 8] [-a 22] [-q 5 -b 6 -a 255] probing|trie 4.arpa <name>.bin
    build_binary -r "1.arpa 2.arpa 3.arpa" probing 4.arpa probing_r.bin    (4.arpa's lower orders)
    build_binary -s trie <2.arpa without its lines with </s>> no_end.bin

4.arpa was estimated by ds2.language_model from a few sentences. Then a word of two characters came in, and half of the
n-grams went that others end in but none begins with, as SRILM prunes; KenLM has to fill these gaps.
"""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import hot_words, language_model
from ds2.decoding.beam import BeamSearch
from ds2.decoding.kenlm import header
from ds2.errors import UserError
from ds2.recognition.acoustic import log_softmax
from tests.decoding import scoring

HERE = Path(__file__).parent
# 甲 and y are in no model.
VOCABULARY = Vocabulary(["<blank>", "<unk>", *"你好吗我是的明天早今气很甲y", "<space>"])
ARPA = {order: language_model.read(HERE / f"{order}.arpa", VOCABULARY) for order in (2, 4)}
EXACT = ["probing", "probing_v", "probing_r", "trie", "trie_a22", "probing_2", "trie_2"]
QUANTISED = ["trie_q8", "trie_q5_b6_a255"]
MODELS = {name: language_model.read(HERE / f"{name}.bin", VOCABULARY) for name in EXACT + QUANTISED}

texts = st.lists(st.integers(1, len(VOCABULARY) - 1), max_size=15)


def arpa_of(name):
    return ARPA[2 if name.endswith("_2") else 4]


@pytest.mark.parametrize("name", EXACT)
@settings(deadline=None)
@given(ids=texts)
def test_a_binary_scores_like_the_arpa_file_it_was_made_of(name, ids):
    assert scoring.score(MODELS[name], ids) == pytest.approx(scoring.score(arpa_of(name), ids), rel=1e-6)


@pytest.mark.parametrize("name", EXACT + QUANTISED)
@settings(deadline=None)
@given(ids=texts)
def test_the_scores_are_kenlms(name, ids):
    kenlm_of = pytest.importorskip("flashlight.lib.text.decoder.kenlm").KenLM
    from flashlight.lib.text.dictionary import Dictionary

    tokens = Dictionary()
    for token in VOCABULARY.tokens:
        tokens.add_entry(token)
    kenlm = kenlm_of(str(HERE / f"{name}.bin"), tokens)
    state, expected = kenlm.start(False), 0.0
    for i in ids:
        state, value = kenlm.score(state, i)
        expected += value
    expected += kenlm.finish(state)[1]
    assert scoring.score(MODELS[name], ids) == pytest.approx(expected * np.log(10), rel=1e-5)


@pytest.mark.parametrize("name", EXACT)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_the_beam_search_finds_the_same_with_either(name, seed):
    logs = log_softmax(np.random.default_rng(seed).normal(0, 2, (12, len(VOCABULARY))))
    found = []
    for model in (arpa_of(name), MODELS[name]):
        search = BeamSearch(20, 0.8, 0.5, model, hot_words.build({}, VOCABULARY), 0.99, 10)
        found.append(search(search.prune(logs), best=5))
    ours, theirs = ([(h.ids.tolist(), pytest.approx(h.score, abs=1e-4)) for h in best] for best in found)
    assert ours == [(ids, score.expected) for ids, score in theirs]


@pytest.mark.parametrize("name", ["probing", "trie", "trie_q8", "trie_q5_b6_a255"])
def test_a_file_cut_off_anywhere_is_one_sentence(name, tmp_path):
    data = (HERE / f"{name}.bin").read_bytes()
    words = data.rindex(b"<unk>\0") + len(b"<unk>\0")  # what is said of the words after the first is not read
    path = tmp_path / "lm.arpa"
    for length in [60, *range(80, words, 97), words - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="cut off") as error:
            language_model.read(path, VOCABULARY)
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["probing", "trie", "trie_q5_b6_a255"])
@settings(deadline=None)
@given(place=st.integers(49, 143), value=st.integers(0, 255))
def test_a_damaged_header_is_one_sentence_or_changes_nothing(name, place, value, tmp_path_factory):
    data = bytearray((HERE / f"{name}.bin").read_bytes())
    data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.arpa"
    path.write_bytes(data)
    try:
        model = language_model.read(path, VOCABULARY)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        ids = np.arange(1, len(VOCABULARY))
        assert scoring.score(model, ids) == scoring.score(MODELS[name], ids)


def replaced(at, content):
    data = bytearray((HERE / "probing.bin").read_bytes())
    data[at : at + len(content)] = content
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (replaced(49, b"4"), "another version"),
        (replaced(0, b"mmap lm http://kheafield.com/code incomplete\n\0"), "not finished"),
        (replaced(60, struct.pack(">f", 1.0)), "another kind of machine"),
        (replaced(96, struct.pack("<I", 6)), "not known here"),
        (replaced(104, struct.pack("<I", 1)), "another version"),
        (replaced(108, struct.pack("<Q", 10**18)), "fewer bits than n-grams"),
        (replaced(108, struct.pack("<Q", 18)), "cut off|words are not where"),
    ],
)
def test_what_another_kenlm_wrote_is_one_sentence_that_says_what_to_do(content, said, tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        language_model.read(path, VOCABULARY)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize("name", ["probing", "trie"])
def test_a_model_of_other_words_is_refused(name):
    with pytest.raises(UserError, match="none of its words is a token of the vocabulary"):
        language_model.read(HERE / f"{name}.bin", Vocabulary(["<blank>", "<unk>", "甲", "乙"]))


def test_a_model_without_an_end_of_sentences_is_refused():
    with pytest.raises(UserError, match="no </s>"):
        language_model.read(HERE / "no_end.bin", VOCABULARY)


def test_words_of_any_length_have_kenlms_hashes():
    data = np.fromfile(HERE / "trie.bin", np.uint8)
    found = header.read(data, HERE / "trie.bin")
    # After the header: how many there are, and all but that of <unk>, sorted.
    stored = data[found.size + 8 : found.size + 8 * found.counts[0]].view(np.uint64)
    words = (HERE / "4.arpa").read_text(encoding="utf-8").partition("1-grams:\n")[2].partition("\n\n")[0].splitlines()
    hashes = sorted(header.word_hash(line.split("\t")[1]) for line in words if "<unk>" not in line)
    assert hashes == stored.tolist()
