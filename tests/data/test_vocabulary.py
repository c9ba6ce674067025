from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.data import text
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError

TRANSCRIPTS = st.lists(st.text(st.sampled_from("你好世界abc 1𠀀é"), max_size=10), max_size=10)


def test_blank_and_unk_come_first_then_characters_by_falling_count_then_code_point():
    vocabulary = Vocabulary.of(["好好好 你你", "b a你", "世 c"])
    assert vocabulary.tokens == ("<blank>", "<unk>", "<space>", "你", "好", "a", "b", "c", "世")


@given(TRANSCRIPTS, st.integers(1, 4))
def test_every_character_frequent_enough_is_in_it_in_order(transcripts, threshold):
    counts = Counter("".join(transcripts))
    tokens = Vocabulary.of(transcripts, threshold).tokens
    characters = [" " if token == "<space>" else token for token in tokens[2:]]
    assert set(characters) == {character for character, count in counts.items() if count >= threshold}
    keys = [(-counts[character], ord(character)) for character in characters]
    assert keys == sorted(keys)


@given(TRANSCRIPTS)
def test_the_order_of_the_transcripts_makes_no_difference(transcripts):
    assert Vocabulary.of(transcripts) == Vocabulary.of(reversed(transcripts))


@given(TRANSCRIPTS)
def test_what_was_encoded_decodes_to_itself(transcripts):
    vocabulary = Vocabulary.of(transcripts)
    for transcript in transcripts:
        ids = vocabulary.encode(transcript)
        assert ids.dtype == np.int32
        assert len(ids) == len(transcript)
        assert not len(ids) or ids.min() >= 2
        assert vocabulary.decode(ids) == transcript


def test_a_character_outside_becomes_unk_and_shows_as_one_wrong_character():
    vocabulary = Vocabulary.of(["你好"])
    ids = vocabulary.encode("你 坏")
    assert ids.tolist() == [vocabulary.tokens.index("你"), 1, 1]
    assert vocabulary.decode(ids) == "你\ufffd\ufffd"


def test_the_file_has_one_token_a_line_and_the_line_number_is_the_id(tmp_path):
    path = tmp_path / "dataset" / "vocabulary.txt"
    vocabulary = Vocabulary.of(["你好 你"])
    vocabulary.write(path)
    assert path.read_bytes().decode("utf-8") == "<blank>\n<unk>\n你\n<space>\n好\n"
    assert Vocabulary.read(path) == vocabulary
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [lines[i] for i in vocabulary.encode("你 好")] == ["你", "<space>", "好"]


@given(st.lists(st.text(max_size=20), max_size=5))
def test_any_normalised_transcripts_survive_the_file(tmp_path_factory, raw):
    transcripts = [text.normalize(line) for line in raw]
    path = tmp_path_factory.mktemp("any") / "vocabulary.txt"
    vocabulary = Vocabulary.of(transcripts)
    vocabulary.write(path)
    again = Vocabulary.read(path)
    assert again == vocabulary
    assert len(again) == len(vocabulary) == 2 + len(set("".join(transcripts)))


@pytest.mark.parametrize("content", ["<blank>\r\n<unk>\r\n你\r\n", "\ufeff<blank>\n<unk>\n你", "<blank>\n<unk>\n你\n"])
def test_line_ends_and_byte_order_mark_make_no_difference(tmp_path, content):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content.encode("utf-8"))
    assert Vocabulary.read(path).tokens == ("<blank>", "<unk>", "你")


BAD = {
    "empty": b"",
    "other beginning": "你\n好\n".encode(),
    "unk first": "<unk>\n<blank>\n你\n".encode(),
    "a token twice": "<blank>\n<unk>\n你\n好\n你\n".encode(),
    "space in both spellings": b"<blank>\n<unk>\n<space>\n \n",
    "a blank line": "<blank>\n<unk>\n\n你\n".encode(),
    "a blank line at the end": "<blank>\n<unk>\n你\n\n".encode(),
    "with counts": "<blank>\n<unk>\n你\t10\n".encode(),
    "not utf-8": "<blank>\n<unk>\n你\n".encode("gbk"),
    "utf-16": "<blank>\n<unk>\n你\n".encode("utf-16"),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_file_that_is_no_vocabulary_is_refused_by_name(tmp_path, content):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vocabulary\.txt is not a vocabulary"):
        Vocabulary.read(path)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"vocabulary\.txt does not exist: run dvc repro vocabulary"):
        Vocabulary.read(tmp_path / "vocabulary.txt")


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["<unk>", "<blank>", "a"], "it must start with <blank> and <unk>"),
        (["<blank>", "<unk>", "a", "bc"], "'bc' is not a character"),
        (["<blank>", "<unk>", "b", "a", "c", "a"], "'a' stands in it twice"),
        (["<blank>", "<unk>", "<space>", "a", " "], "' ' stands in it twice"),
    ],
)
def test_what_is_wrong_with_a_vocabulary_is_said(tokens, said, tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Vocabulary.read(path)
    assert str(caught.value) == f"{path} is not a vocabulary: {said}"


def test_vocabularies_of_other_tokens_or_order_differ():
    vocabulary = Vocabulary(["<blank>", "<unk>", "a", "b"])
    assert vocabulary == Vocabulary(["<blank>", "<unk>", "a", "b"])
    assert vocabulary != Vocabulary(["<blank>", "<unk>", "b", "a"])
    assert vocabulary != ("<blank>", "<unk>", "a", "b")
