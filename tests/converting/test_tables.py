"""Tables of spreadsheets and of Common Voice."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.converting import tables
from ds2.converting.rows import Account, seconds
from ds2.converting.spreadsheet import read


@pytest.fixture
def recordings(put):
    for name in ("a", "b", "c"):
        put(f"{name}.wav")


@pytest.fixture
def table(recordings, put, converted):
    """table(content) converts a table: the annotation's lines, and what was said."""

    def run(content, name="calls.csv"):
        put(name, content)
        return converted("csv", name, "calls.jsonl")

    return run


A = {"audio_filepath": "a.wav", "text": "你好", "speaker": "张三"}
B = {"audio_filepath": "b.wav", "text": "再见", "speaker": "李四"}
PLAIN = "文件名,内容,发音人\na.wav,你好,张三\nb.wav,再见,李四\n"


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_whatever_encoding_and_delimiter_a_spreadsheet_takes(table, coding, mark):
    bom = "\ufeff" if coding in ("utf-16-le", "utf-16-be") else ""
    found, said = table((bom + PLAIN.replace(",", mark)).encode(coding))
    assert found == [A, B]
    expected = {"utf": "utf-8-sig", "gbk": "gb18030", "gb1": "gb18030"}[coding[:3]]
    assert f"calls.csv is {'utf-16' if '16' in coding else expected}, its fields between " in said
    assert "the first line names columns: '文件名' is the audio, '内容' is the text, '发音人' is the speaker" in said


@pytest.mark.parametrize("coding", ["latin-1", "big5", "shift_jis", "cp1251"])
def test_another_encoding_is_refused_and_not_guessed(recordings, put, refused, coding):
    words = {
        "latin-1": "Müßte größer über",
        "big5": "請問這個電話號碼",
        "shift_jis": "こんにちは元気です",
        "cp1251": "Привет, мир",
    }
    put("calls.csv", f'path,text\na.wav,"{words[coding]}"\nb.wav,"{words[coding]}"\n'.encode(coding))
    assert refused("convert", "csv", "calls.csv") == (
        "error: calls.csv line 2 is neither UTF-8 nor GB18030: save the file as UTF-8"
    )


def test_utf8_with_a_broken_line_is_not_taken_for_gb18030(recordings, put, refused):
    put("calls.csv", PLAIN.encode() + "c.wav,好,王五\n".encode("gbk"))
    assert "calls.csv line 4 is neither UTF-8 nor GB18030" in refused("convert", "csv", "calls.csv")


def test_gb18030_with_a_line_that_looks_like_utf8(table):
    found, _ = table((PLAIN + "c.wav,联通,张三\n").encode("gbk"))
    assert [line["text"] for line in found] == ["你好", "再见", "联通"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04...", "calls.csv is a workbook: save the sheet as CSV"),
        (b"", "calls.csv is empty"),
        (b"\n \n", "calls.csv is empty"),
        (b"path\na.wav\n", "has one column only: put commas, semicolons or tabs between the fields"),
        (b"path,text\na.wav,\0\n", "calls.csv holds zero bytes"),
        (b"\xff\xfea\x00,\x00b\x00\n", "calls.csv is utf-16 at first, but has broken characters"),
        (b"path,words\na.wav,x\n", "line 1 names no column for the text (path, words): name the columns"),
        (b"text,which\nx,a.wav\n", "line 1 names no column for the audio (text, which): name the columns"),
        (b"recorded,said\na.wav,x\n", "does not begin with a recording's path (recorded, said): name the columns"),
        (b"x,a.wav\ny,b.wav\n", "does not begin with a recording's path (x, a.wav): name the columns"),
        (b"path,text,channel\na.wav,x,1\na.wav,y,2\n", "'channel' has channels 1 and 2, and ds2 counts from 0"),
    ],
)
def test_a_table_that_is_none_is_one_sentence(recordings, put, command, workspace, content, sentence):
    put("calls.csv", content)
    code, _, err = command("convert", "csv", "calls.csv")
    assert code == 1
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert not list((workspace / "dataset/annotation").iterdir())


def test_without_a_header_it_is_path_text_speaker(table, tmp_path):
    found, said = table("a.wav,你好,张三,x\nb.wav,再见,李四,\n")
    assert found == [A, B]
    assert "no line names columns: 'column 1' is the audio, 'column 2' is the text, 'column 3' is the speaker" in said
    assert "column 4 (2)" in said
    (tmp_path / "dataset/annotation/calls.jsonl").unlink()
    assert table("a.wav|你好\n")[0] == [{"audio_filepath": "a.wav", "text": "你好"}]


def test_times_units_channels_and_columns_in_any_order(table):
    found, said = table(
        "Transcript;Start (ms);End Time;Duration;声道;Audio File;Remarks\n"
        '"one; two";1500;0:00:03.250;9;right;a.wav;x\n'
        "three;;1:02,5;;左;b.wav;\n"
        "four;0;;61.5;;c.wav;\n"
        "five;;;61.5;;c.wav;\n"
    )
    assert found == [
        {"audio_filepath": "a.wav", "text": "one; two", "offset": 1.5, "duration": 1.75, "channel": 1},
        {"audio_filepath": "b.wav", "text": "three", "duration": 62.5, "channel": 0},
        {"audio_filepath": "c.wav", "text": "four", "offset": 0.0, "duration": 61.5},
        {"audio_filepath": "c.wav", "text": "five"},  # the length of the whole recording
    ]
    assert "Remarks (4)" in said


def test_a_column_with_an_unknown_unit_is_not_taken_for_seconds(table):
    found, said = table("path,text,start(min)\na.wav,x,1\n")
    assert found == [{"audio_filepath": "a.wav", "text": "x"}]
    assert "start(min) (1)" in said


def test_quotes_commas_and_line_breaks_in_a_field(table):
    found, said = table('path,text\r\na.wav,"one, ""two""\r\nthree"\r\nb.wav,say "hi" now\r\nc.wav,"four"\r\n')
    assert [line["text"] for line in found] == ['one, "two" three', 'say "hi" now', "four"]
    assert "left out" not in said


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('path,text\na.wav,"one\nbig, two"\nb.wav,three\n', ["one big, two", "three"]),  # each line has two fields
        ("a.wav;one, two\nb.wav;three, four\n", ["one, two", "three, four"]),  # commas divide these as well
        ("a.wav,one; two\nb.wav,three; four\n", ["one; two", "three; four"]),
        ('a.wav|"one\nb.wav|two\n', ['"one', "two"]),
        ("sentence,text,path,file\nx,one,a.wav,\n", ["one"]),  # the names that count most
    ],
)
def test_what_could_be_read_otherwise(table, content, texts):
    found, said = table(content)
    assert [line["text"] for line in found] == texts
    assert "left out" not in said


def test_a_record_with_too_many_fields_and_blank_ones(table):
    found, said = table("path,text\n,\na.wav,one, two\n\nb.wav,three\nz.wav,four\n")
    assert [line["text"] for line in found] == ["three"]
    assert "records with more or fewer fields than the first: put quotes around a text with such marks in it: 1" in said
    assert "calls.csv line 3: ['a.wav', 'one', ' two']" in said
    assert "utterances whose audio cannot be found: 1 (first: calls.csv line 6: z.wav)" in said


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.5", 1.5), ("1,5", 1.5), (" 90 ", 90.0), ("1:30", 90.0), ("1:00:00.25", 3600.25), ("00:00:03,500", 3.5)],
)
def test_times_are_seconds_or_a_clock(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    "text", ["1:75", "1:60:00", "1:2:3:4", "-1", "nan", "inf", "1_000", "1.2.3", "3s", "1 2", True, -0.1]
)
def test_what_is_no_time_is_not_made_one(text):
    with pytest.raises(ValueError, match=r"^"):
        seconds(text)


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_ROWS = st.lists(st.tuples(_CELL, _CELL, _CELL), min_size=1, max_size=8)


@given(_ROWS, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_what_pythons_csv_has_written_is_read_back(rows, mark, end):
    rows = [("path", "text", "speaker"), *rows]
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=mark, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    lines = io.StringIO(written.getvalue(), newline="")
    # In other files than comma-separated ones a line with all fields is a record: so none may look like one.
    if mark == "," or not any(mark in cell for row in rows for cell in row):
        found = [tuple(fields) for _, fields in tables.records(lines, mark)]
        assert found == [row for row in rows if any(cell.strip() for cell in row)]


@given(st.lists(st.text("\"ab ,'", min_size=1, max_size=8).filter(str.strip), min_size=1))
def test_quotes_of_a_text_in_a_file_that_knows_none(sentences):
    """Each line is a record, though some begin or end with a quote; those in quotes may lose them."""
    lines = ["id\tpath\tsentence\tvotes\n", *(f"i\tp\t{sentence}\t2\n" for sentence in sentences)]
    found = list(tables.records(lines, "\t"))[1:]
    assert [number for number, _ in found] == list(range(2, len(lines) + 1))
    assert [[f[0], f[1], f[2].replace('"', ""), f[3]] for _, f in found] == [
        ["i", "p", sentence.replace('"', ""), "2"] for sentence in sentences
    ]


def test_a_table_is_read_as_it_is_asked_for(recordings, put):
    put("big.csv", "path,text\n" + "a.wav,x\n" * 1000)
    rows = read(put("big.csv", "path,text\n" + "a.wav,x\n" * 100000), Account())
    assert (next(rows).line, next(rows).line) == (2, 3)


COLUMNS = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tlocale"


@pytest.fixture
def voices(put):
    """voices(name=rows, ...) writes tables of Common Voice: client, path and sentence of each row."""
    for name in ("a", "b", "c"):
        put(f"cv/zh-TW/clips/{name}.mp3")

    def write(**files):
        for name, rows in files.items():
            lines = [f"{client}\t{path}\th1\t{sentence}\t\t2\tzh-TW" for client, path, sentence in rows]
            put(f"cv/zh-TW/{name}.tsv", "\n".join([COLUMNS, *lines]) + "\n")

    return write


def test_the_parts_of_common_voice(voices, converted, workspace):
    voices(
        train=[
            ("c1", "a.mp3", '"你好。'),
            ("c2", "b", '"""好,"" 他說。"'),
            ("c2", "c.mp3", "再見”"),
            ("c3", "z.mp3", "x"),
            ("c3", "c.mp3", ""),
        ],
        dev=[("c4", "b.mp3", "一")],
        test=[("c5", "c.mp3", "二")],
        validated=[("c1", "a.mp3", "x")],
    )
    found, said = converted("commonvoice", "cv/zh-TW", "zh-TW.train.jsonl")
    clips = "cv/zh-TW/clips"
    assert found == [
        {"audio_filepath": f"{clips}/a.mp3", "text": '"你好。', "speaker": "c1"},
        {"audio_filepath": f"{clips}/b.mp3", "text": '"好," 他說。', "speaker": "c2"},
        {"audio_filepath": f"{clips}/c.mp3", "text": "再見”", "speaker": "c2"},
    ]
    assert "utterances whose audio cannot be found: 1 (first: cv/zh-TW/train.tsv line 5: clips/z.mp3)" in said
    assert "utterances without a transcript: 1" in said
    made = {path.name for path in (workspace / "dataset/annotation").iterdir()}
    assert made == {"zh-TW.train.jsonl", "zh-TW.dev.jsonl", "zh-TW.test.jsonl"}


def test_one_table_of_common_voice_and_a_folder_with_nothing_else(voices, converted):
    voices(validated=[("c1", "a.mp3", '"一\n二"'), ("c1", "b.mp3", "一\n二")])
    found, said = converted("commonvoice", "cv/zh-TW", "zh-TW.validated.jsonl")
    assert [line["text"] for line in found] == ["一 二"]
    assert "records with more or fewer fields than the first" in said
    assert "such marks in it: 2 (first: cv/zh-TW/validated.tsv line 4: " in said
    voices(test=[("c1", "b.mp3", "三")])
    assert converted("commonvoice", "cv/zh-TW/test.tsv", "zh-TW.test.jsonl")[0][0]["text"] == "三"


def test_a_folder_without_tables_is_one_sentence(put, refused):
    put("cv/zh-TW/clips/a.mp3")
    assert "holds no train.tsv and no validated.tsv" in refused("convert", "commonvoice", "cv/zh-TW")
