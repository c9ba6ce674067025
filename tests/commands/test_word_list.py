import pytest

from ds2.commands import word_list
from ds2.errors import UserError


def test_a_list_has_a_word_a_line_and_where_somebody_wants_it_a_boost(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeff北京\r\n\n  New York \t 2.5\r\n京\t1e2".encode())
    assert word_list.read(path) == {"北京": 5.0, "New York": 2.5, "京": 100.0}
    path.write_bytes(b"")
    assert word_list.read(path) == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\xb1\xb1", "byte 1 is not UTF-8: save the file as UTF-8"),
        ("北京\t".encode(), "the boost '' should be a number above 0 and up to 1000"),
        ("北京\tmuch".encode(), "the boost 'much' should be a number"),
        ("北京\t0".encode(), "the boost '0' should be a number"),
        ("北京\t-1".encode(), "the boost '-1' should be a number"),
        ("北京\t1001".encode(), "the boost '1001' should be a number"),
        ("北京\tnan".encode(), "the boost 'nan' should be a number"),
        ("北京\t5\t5".encode(), "the boost '5\\t5' should be a number"),
        ("，。".encode(), "there is no letter or digit in the word '，。'"),
        (b"\t5", "there is no letter or digit in the word ''"),
    ],
)
def test_a_bad_line_of_a_list_is_one_sentence_with_its_number(line, reason, tmp_path):
    (tmp_path / "words.txt").write_bytes("京\n\n".encode() + line + b"\n")
    with pytest.raises(UserError) as refused:
        word_list.read(tmp_path / "words.txt")
    assert str(refused.value).startswith(f"{tmp_path / 'words.txt'} line 3: {reason}")
