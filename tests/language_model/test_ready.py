import gzip

import pytest

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import ngram
from ds2.errors import UserError
from ds2.language_model import arpa, model, ready

BINARY = b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(range(256)) * 40


def test_an_arpa_file_and_a_kenlm_binary_are_copied_as_they_are(tmp_path):
    arpa.write(tmp_path / "a.arpa", model.estimate(["你好"], "char", 2, []))
    (tmp_path / "a.bin").write_bytes(BINARY)
    for name in ("a.arpa", "a.bin"):
        ready.copy(tmp_path / name, tmp_path / "lm.arpa")
        assert (tmp_path / "lm.arpa").read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    "beginning", [b"\\data\\\r\n", b"\xef\xbb\xbf\\data\\\n", b"\n\\data\\ \n", b"made by hand\n\\data\\\n"]
)
def test_what_the_decoder_takes_for_an_arpa_file_is_copied(beginning, tmp_path):
    (tmp_path / "a.arpa").write_bytes(beginning + b"ngram 1=3\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\ta\n\n\\end\\\n")
    ready.copy(tmp_path / "a.arpa", tmp_path / "lm.arpa")
    assert ngram.read(tmp_path / "lm.arpa", Vocabulary.of(["a"])).end > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "neither a KenLM binary nor an ARPA file", id="empty"),
        pytest.param("你好\n".encode(), "neither a KenLM binary nor an ARPA file", id="text"),
        pytest.param(bytes(100), "neither a KenLM binary nor an ARPA file", id="zeros"),
        pytest.param(gzip.compress(b"\\data\\\n"), "compressed: unpack it with gunzip", id="gzip"),
        pytest.param(None, "does not exist", id="missing"),
    ],
)
def test_other_files_are_refused_and_leave_what_was_there(tmp_path, content, message):
    (tmp_path / "lm.arpa").write_text("old")
    if content is not None:
        (tmp_path / "mine").write_bytes(content)
    with pytest.raises(UserError, match=rf"lm\.path: .*/mine (is )?{message}"):
        ready.copy(tmp_path / "mine", tmp_path / "lm.arpa")
    assert (tmp_path / "lm.arpa").read_text() == "old"


def test_a_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"lm\.path: .* cannot be read: Is a directory"):
        ready.copy(tmp_path, tmp_path / "lm.arpa")
