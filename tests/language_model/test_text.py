import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2 import params
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.language_model import text

SENTENCES = st.lists(st.text("你好 ab", max_size=8), min_size=1, max_size=8)


@given(SENTENCES)
def test_the_words_of_characters_are_the_tokens_of_the_vocabulary(sentences):
    tokens = Vocabulary.of(sentences).tokens[2:]
    assert {word for sentence in sentences for word in text.words_of(sentence, "char")} == set(tokens)


@given(SENTENCES, st.sampled_from(["char", "word"]))
def test_ids_stand_for_the_words_in_order_and_every_sentence_ends(sentences, unit):
    expected = [(*text.words_of(sentence, unit), "</s>") for sentence in sentences]
    expected = [word for sentence in expected if len(sentence) > 1 for word in sentence]
    if not expected:
        with pytest.raises(UserError, match="hold no text"):
            text.number(sentences, unit)
        return
    words, ids = text.number(sentences, unit)
    assert [words[i] for i in ids] == expected
    assert words[:3] == ["<unk>", "<s>", "</s>"]
    assert len(set(words)) == len(words)


def test_other_sentences_unknown_words_are_unk():
    words, _ = text.number(["打开 tv"], "word")
    ids = text.look_up(["tv 关上", "", "<s> </s>"], "word", words)
    assert [words[i] for i in ids] == ["tv", "<unk>", "</s>", "</s>", "<unk>", "<unk>", "</s>"]
    assert ids.dtype == np.int32


def test_a_reserved_word_is_refused():
    with pytest.raises(UserError, match="the word </s>"):
        text.number(["a </s> b"], "word")


def test_files_are_normalised_like_transcripts_and_lines_without_words_are_left_out(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff打開，TV！\r\n\r\n。。。\n北 京\u2028好".encode())
    assert list(text.read_sentences(path, params.TextSettings())) == ["打开tv", "北京好"]
    assert list(text.read_sentences(path, params.TextSettings(lower_case=False, simplified=False))) == [
        "打開TV",
        "北京好",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("你好\n".encode() + "北京\n".encode("gbk"), r"a\.txt line 2: byte 1 is not UTF-8"),
        ("你好\n".encode("utf-16"), r"a\.txt line 1: byte 1 is not UTF-8"),
        (None, r"a\.txt does not exist"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        list(text.read_sentences(path, params.TextSettings()))
    assert "\n" not in str(caught.value)


def test_a_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        list(text.read_sentences(tmp_path, params.TextSettings()))


def test_sentences_follow_the_rules_of_transcripts_and_of_numbers(tmp_path, log):
    path = tmp_path / "more.txt"
    path.write_text("下午3:30<unk>\n銀行，WiFi we’ll\n！？❤️\n3个\n", encoding="utf-8")

    def read(numbers):
        return list(text.read_sentences(path, params.TextSettings(numbers=numbers)))

    assert read("keep") == ["下午3 30", "银行wifi we'll", "3个"]
    assert read("spoken") == ["下午三点三十分", "银行wifi we'll", "三个"]
    assert log == []
    assert read("reject") == ["银行wifi we'll"]
    assert len(log) == 1
    assert "2 lines with digits are left out (text.numbers: reject), the first is line 1" in log[0]
