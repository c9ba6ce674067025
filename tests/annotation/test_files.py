import pytest

from ds2.annotation import files
from ds2.annotation.files import Line, Rejection, Source
from ds2.errors import UserError


@pytest.fixture
def lines_of(tmp_path):
    """lines_of(bytes) reads them as an annotation file."""

    def read(content: bytes) -> list:
        path = tmp_path / "my.txt"
        path.write_bytes(content)
        return list(files.read(Source(path, "train")))

    return read


def test_a_line_is_path_tab_transcript_and_perhaps_speaker(lines_of):
    first, second = lines_of("audio/a.wav\t你好，世界\n/data/b c.flac\tHello  world\tspeaker 7\n".encode())
    assert (first.number, first.audio, first.transcript, first.speaker) == (1, "audio/a.wav", "你好，世界", None)
    assert (second.number, second.audio, second.transcript) == (2, "/data/b c.flac", "Hello  world")
    assert second.speaker == "speaker 7"


@pytest.mark.parametrize(
    "content",
    [
        "a.wav\t你好\nb.wav\t再见\n",
        "a.wav\t你好\nb.wav\t再见",
        "a.wav\t你好\r\nb.wav\t再见\r\n",
        "a.wav\t你好\r\nb.wav\t再见",
        "\ufeffa.wav\t你好\nb.wav\t再见\n",
        " a.wav \t 你好 \nb.wav\t再见\t\n",
    ],
)
def test_line_ends_byte_order_mark_and_outer_spaces_make_no_difference(lines_of, content):
    found = [(line.number, line.audio, line.transcript, line.speaker) for line in lines_of(content.encode())]
    assert found == [(1, "a.wav", "你好", None), (2, "b.wav", "再见", None)]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c"])
def test_only_a_newline_ends_a_line(lines_of, separator):
    (line,) = lines_of(f"a.wav\t你{separator}好\n".encode())
    assert line.transcript == f"你{separator}好"


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_lines(lines_of, content):
    assert lines_of(content) == []


def test_blank_lines_count_and_are_rejected(lines_of):
    found = lines_of("\n  \t \na.wav\t你好\n\n".encode())
    assert [type(line) for line in found] == [Rejection, Rejection, Line, Rejection]
    assert [line.number for line in found] == [1, 2, 3, 4]
    assert {line.reason for line in found if isinstance(line, Rejection)} == {"blank_line"}


@pytest.mark.parametrize(
    ("raw", "reason", "part"),
    [
        ("a.wav 你好".encode(), "no_tab", "spaces where the tab"),
        ("a.wav\u3000你好".encode(), "no_tab", "spaces where the tab"),
        ("my recordings/a b.wav,今天，天气 好".encode(), "no_tab", "a ',' where the tab between audio path and"),
        ('"d/a b.mp3" ; 你好'.encode(), "no_tab", "a ';' where the tab between audio path and"),
        ("d/a b.flac|你好".encode(), "no_tab", "a '|' where the tab between audio path and"),
        ("a.wav 你好，v1.02, 好".encode(), "no_tab", "spaces where the tab"),
        (b"a.wav", "no_tab", "there is no tab"),
        (b'{"audio_filepath": "a.wav", "text": "x"}', "no_tab", "the line is JSON"),
        ("a.wav\t你好".encode("gbk"), "not_utf8", "byte 7 of the line is not UTF-8 (it may be GB18030)"),
        (b"a.wav\tcaf\xe9", "not_utf8", "byte 10 of the line"),
        ("\ufeffa.wav\tabc".encode("utf-16-le"), "not_utf8", "UTF-16"),
        ("a.wav\tabc".encode("utf-16-le"), "malformed_line", "UTF-16"),
        (b"a.wav\tb\tc\td", "malformed_line", "3 tabs"),
        (b"\tabc", "malformed_line", "nothing before the tab"),
    ],
)
def test_a_bad_line_is_rejected_with_reason_number_and_detail_and_its_neighbours_stay(lines_of, raw, reason, part):
    first, bad, last = lines_of(b"x.wav\tx\n" + raw + b"\ny.wav\ty\n")
    assert (first.transcript, last.transcript, last.number) == ("x", "y", 3)
    assert (bad.reason, bad.number) == (reason, 2)
    assert part in bad.detail


def test_a_rejection_as_json_says_where_and_why(tmp_path):
    rejection = Rejection(Source(tmp_path / "my.txt", "train"), 7, "too_short", "0.1 s", "a.wav")
    assert rejection.as_json() == {
        "file": f"{tmp_path.as_posix()}/my.txt",
        "line": 7,
        "reason": "too_short",
        "detail": "0.1 s",
        "audio_filepath": "a.wav",
    }


def names_and_splits(folder, corpora=(), reserved=("demo", "aishell")):
    return [(source.path.name, source.split) for source in files.sources(folder, corpora, reserved)]


def write(folder, *names):
    for name in names:
        (folder / name).write_text("a.wav\tx\n")


def test_the_name_of_a_file_says_which_part_it_is(tmp_path):
    write(tmp_path, "my.txt", "my.test.txt", "my.dev.txt", "my.train.txt", "latest.txt", "v1.0.txt", "test.old.txt")
    assert names_and_splits(tmp_path) == [
        ("my.test.txt", "test"),
        ("my.dev.txt", "dev"),
        ("latest.txt", "train"),
        ("my.train.txt", "train"),
        ("my.txt", "train"),
        ("test.old.txt", "train"),
        ("v1.0.txt", "train"),
    ]


def test_plain_test_and_dev_are_names_of_parts(tmp_path):
    write(tmp_path, "test.txt", "dev.txt", "train.txt")
    assert names_and_splits(tmp_path) == [("test.txt", "test"), ("dev.txt", "dev"), ("train.txt", "train")]


def test_files_of_a_built_in_corpus_count_only_while_it_is_in_use(tmp_path):
    write(tmp_path, "demo.train.txt", "demo.test.txt", "aishell.train.txt", "demonstration.txt", "my.txt")
    assert [name for name, _ in names_and_splits(tmp_path)] == ["demonstration.txt", "my.txt"]
    assert [name for name, _ in names_and_splits(tmp_path, ["demo"])] == [
        "demo.test.txt",
        "demo.train.txt",
        "demonstration.txt",
        "my.txt",
    ]


def test_other_files_and_folders_do_not_count(tmp_path):
    write(tmp_path, "my.txt", "README.md", "my.txt.bak", ".gitignore")
    (tmp_path / "old.txt").mkdir()
    assert names_and_splits(tmp_path) == [("my.txt", "train")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my.tsv", "my.tsv is not read: its name does not end in .txt or .jsonl"),
        ("my.TXT", "my.TXT is not read: its name does not end in .txt or .jsonl"),
        ("demo.txt", "demo.txt is not read: its name is that of a built-in corpus, rename it"),
    ],
)
def test_a_file_that_is_not_read_is_named_with_the_reason(tmp_path, name, reason):
    write(tmp_path, name)
    with pytest.raises(UserError, match=rf"holds no annotation \({tmp_path}/{reason}\): put a file there"):
        names_and_splits(tmp_path)
    write(tmp_path, "my.txt")
    assert files.left_out(tmp_path, [], ["demo"]) == [f"{tmp_path}/{reason}"]


def test_the_file_of_the_split_is_no_annotation_and_none_that_is_left_out(tmp_path):
    write(tmp_path, "splits.tsv", "my.txt")
    assert names_and_splits(tmp_path) == [("my.txt", "train")]
    assert files.left_out(tmp_path, [], ["demo"]) == []


def test_built_in_corpora_with_dev_or_test_data_are_fixed(tmp_path):
    write(tmp_path, "demo.train.txt", "demo.dev.txt", "aishell.train.txt", "my.txt", "my.dev.txt")
    (tmp_path / "aishell.dev.txt").touch()
    found = files.sources(tmp_path, ["demo", "aishell"], ["demo", "aishell"])
    assert {source.path.name for source in found if source.fixed} == {"demo.train.txt", "demo.dev.txt"}


def test_a_folder_is_named_as_not_read_and_what_built_in_corpora_leave_behind_is_not(tmp_path):
    write(tmp_path, "demo.train.txt", "demo.dev.txt", "demo.test.txt", ".gitkeep", "my.txt")
    (tmp_path / "calls").mkdir()
    assert files.left_out(tmp_path, [], ["demo"]) == [f"{tmp_path}/calls is not read: a folder"]


@pytest.mark.parametrize("name", [None, ".gitkeep", "demo.train.txt"])
def test_a_folder_without_annotations_is_one_sentence_with_what_to_do(tmp_path, name):
    if name:
        write(tmp_path, name)
    with pytest.raises(UserError, match=r"holds no annotation: put a file there"):
        names_and_splits(tmp_path)


def test_a_missing_folder_is_the_same_sentence(tmp_path):
    with pytest.raises(UserError, match="holds no annotation"):
        names_and_splits(tmp_path / "none")
