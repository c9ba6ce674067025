import math
from collections import Counter

import numpy as np
import pytest

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import fit, language_model
from ds2.errors import UserError
from tests.decoding import arpa
from tests.documents import ROOT

KENLM = ROOT / "tests/decoding/kenlm"
SEGMENTED = [
    "今天 天气 怎么样",
    "打开 客厅 的 灯",
    "打开 tv",
    "关闭 客厅 的 灯",
    "明天 会 下雨 吗",
    "国家 的 电视",
    "请 打电话 给 妈妈",
]
SENTENCES = [text.replace(" ", "") for text in SEGMENTED]
VOCABULARY = Vocabulary.of([*SENTENCES, "打开 tv"])


def characters(texts):
    return [["<space>" if character == " " else character for character in text] for text in texts]


def said(path, vocabulary, log):
    """What reading a model logs of it."""
    language_model.read(path, vocabulary)
    (line,) = [line for line in log if "tokens of the vocabulary" in line]
    return line


def test_a_model_of_the_characters_fits_without_a_warning(tmp_path, log, warnings):
    path = arpa.write(tmp_path / "lm.arpa", characters([*SENTENCES, "打开 tv"]), 3)
    assert f"100.0% of its {len(VOCABULARY) - 2} words are tokens of the vocabulary" in said(path, VOCABULARY, log)
    assert warnings == []


@pytest.mark.parametrize("order", [1, 3])
def test_a_model_of_words_is_refused_with_both_shares(order, tmp_path):
    path = arpa.write(tmp_path / "lm.arpa", [text.split() for text in SEGMENTED], order)
    words = {word for text in SEGMENTED for word in text.split()}
    known, tokens = len({word for word in words if len(word) == 1}), len(VOCABULARY) - 2
    with pytest.raises(UserError) as refused:
        language_model.read(path, VOCABULARY)
    assert f"{known / len(words):.1%} of its {len(words)} words are tokens" in str(refused.value)
    assert f"knows {known / tokens:.1%} of the {tokens} tokens: it is a model of words such as " in str(refused.value)


def test_words_that_stand_beside_every_character_are_refused_too(tmp_path):
    texts = [*characters(SENTENCES), *[text.split() for text in SEGMENTED for _ in range(6)]]
    with pytest.raises(UserError, match=r"knows 96.\d% of the \d+ tokens: it is a model of words"):
        language_model.read(arpa.write(tmp_path / "lm.arpa", texts, 2), VOCABULARY)


def test_english_words_among_many_characters_are_a_warning(tmp_path, log, warnings):
    texts = [*characters(SENTENCES), *([word] for word in ("hello", "world", "wifi", "email", "iphone", "windows"))]
    assert "words of several characters, such as" in said(arpa.write(tmp_path / "lm.arpa", texts, 2), VOCABULARY, log)
    assert len(warnings) == 1


def test_a_great_model_of_characters_fits_a_small_vocabulary(tmp_path, log, warnings):
    texts = characters([*SENTENCES, "打开 tv", *(chr(code) for code in range(0x4E00, 0x5200))])
    assert "it knows 100.0%" in said(arpa.write(tmp_path / "lm.arpa", texts, 2), VOCABULARY, log)
    assert warnings == []


@pytest.mark.parametrize(
    "texts",
    [["今天天氣怎麼樣", "打開客廳的燈", "關閉", "明天會下雨嗎", "國家的電視", "請打電話給媽媽"], ["今天怎么样"]],
    ids=["traditional", "few characters"],
)
def test_a_model_that_lacks_tokens_is_a_warning_that_names_one(texts, tmp_path, log, warnings):
    line = said(arpa.write(tmp_path / "lm.arpa", characters(texts), 2), VOCABULARY, log)
    assert warnings == [line]
    lacking = next(token for token in VOCABULARY.tokens[2:] if token not in "".join(texts))
    assert f"others, such as {lacking}, count as unknown" in line


def test_upper_case_letters_are_refused_for_a_vocabulary_of_lower_case_ones(tmp_path):
    text = "the quick brown fox jumps over the lazy dog isn't it"
    path = arpa.write(tmp_path / "lm.arpa", characters([text.upper()]), 2)
    with pytest.raises(UserError, match="its characters are others; estimate it from text normalised as transcripts"):
        language_model.read(path, Vocabulary.of([text]))


@pytest.mark.parametrize("name", ["probing", "probing_r", "trie", "trie_q8", "trie_a22"])
def test_a_binary_has_the_words_and_probabilities_of_its_arpa_file(name):
    model = language_model.read(KENLM / f"{name}.bin", Vocabulary.of(["你好吗我是的明天早今 气很"]))
    stride = 16 if name.startswith("trie") else model.weights
    found = fit.of_binary(KENLM / f"{name}.bin", model.unigrams, stride), fit.of_arpa(KENLM / "4.arpa")
    of_binary, of_arpa = (dict(zip(one.names, np.log10(one.probabilities), strict=True)) for one in found)
    assert of_binary == pytest.approx(of_arpa, abs=1e-5)
    assert found[0].longer()[1] == "北京天气"


def test_a_binary_without_its_words_is_a_warning(warnings):
    language_model.read(KENLM / "probing_v.bin", Vocabulary.of(["你好吗我是的明天早今 气很"]))
    assert "does not hold its words (build_binary -v)" in warnings[0]


def test_marks_of_other_tools_are_no_words(tmp_path):
    counts = Counter("今天的灯")
    lines = [f"{math.log10(n / 9):.4f}\t{word}" for word, n in counts.items()]
    marks = [f"-0.3\t{mark}" for mark in ("<unk>", "<s>", "</s>", "<eps>", "<spoken_noise>")]
    path = tmp_path / "lm.arpa"
    path.write_text("\n".join(["\\data\\", "ngram 1=9", "", "\\1-grams:", *marks, *lines, "", "\\end\\", ""]))
    assert fit.of_arpa(path).names == list(counts)
