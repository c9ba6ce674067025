import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.converting import kaldi
from ds2.converting.rows import Account, pieces


@pytest.fixture
def folder(put):
    """folder(text=lines, ...) writes a data directory below s5, where Kaldi is run; underscores stand for dots."""
    for name in ("a", "b", "c"):
        put(f"s5/wav/{name}.wav")

    def write(path="s5/data/train", **tables):
        for name, lines in tables.items():
            put(f"{path}/{name.replace('_scp', '.scp')}", "\n".join(lines) + "\n")
        return path

    return write


def test_a_data_directory_with_everything(folder, converted):
    path = folder(
        wav_scp=["a wav/a.wav", "b-A wav/b.wav", "b-B wav/b.wav"],
        text=["u3 再见", "u1 今天 天气\u3000好", "u2 打开"],
        segments=["u1 a 0.50 2.25", "u2 b-A 3 -1", "u3 b-B 10.1 12.3"],
        utt2spk=["u1 s1", "u2 u2", "u3 s3"],
        reco2file_and_channel=["a a B", "b-A b A", "b-B b B"],
    )
    found, said = converted("kaldi", path, "train.jsonl")
    assert found == [
        {
            "audio_filepath": "s5/wav/b.wav",
            "text": "再见",
            "speaker": "s3",
            "offset": 10.1,
            "duration": 2.2,
            "channel": 1,
        },
        {"audio_filepath": "s5/wav/a.wav", "text": "今天 天气 好", "speaker": "s1", "offset": 0.5, "duration": 1.75},
        {"audio_filepath": "s5/wav/b.wav", "text": "打开", "offset": 3.0, "channel": 0},
    ]
    assert "train.jsonl (train): 3 utterances, 0.0011 hours in 2 of them, 2 speakers, not all named" in said
    assert "left out" not in said


def test_without_segments_the_ids_of_wav_scp_are_those_of_text(folder, converted):
    found, said = converted("kaldi", folder(wav_scp=["u1 wav/a.wav"], text=["u1\t你好"]), "train.jsonl")
    assert found == [{"audio_filepath": "s5/wav/a.wav", "text": "你好"}]
    assert "1 utterance, hours unknown, 0 speakers, not all named" in said


def test_a_path_is_looked_for_from_the_folder_upwards_and_in_the_repository(folder, put, converted, tmp_path_factory):
    outside = tmp_path_factory.mktemp("elsewhere") / "x y.wav"
    outside.touch()
    put("s5/data/train/a.wav")
    put("s5/data/b.wav")
    put("dataset/audio/c.wav")
    paths = ["a.wav", "b.wav", "./wav/../wav/c.wav", "dataset/audio/c.wav", str(outside), "s3://bucket/a.wav"]
    table = folder(wav_scp=[f"u{i} {p}" for i, p in enumerate(paths)], text=[f"u{i} x" for i in range(len(paths))])
    assert [line["audio_filepath"] for line in converted("kaldi", table, "train.jsonl")[0]] == [
        "s5/data/train/a.wav",
        "s5/data/b.wav",
        "s5/wav/c.wav",
        "dataset/audio/c.wav",
        str(outside),
        "s3://bucket/a.wav",
    ]


def test_a_path_may_be_of_windows_or_a_home_and_is_a_file(folder, converted, workspace, monkeypatch):
    monkeypatch.setenv("HOME", str(workspace / "s5"))
    (workspace / "s5/wav/d.wav").mkdir()
    table = folder(wav_scp=["u1 wav\\a.wav", "u2 ~/wav/b.wav", "u3 wav/d.wav"], text=["u1 x", "u2 x", "u3 x"])
    found, said = converted("kaldi", table, "train.jsonl")
    assert [line["audio_filepath"] for line in found] == ["s5/wav/a.wav", "s5/wav/b.wav"]
    assert "utterances whose audio cannot be found: 1 (first: s5/data/train/wav.scp line 3: wav/d.wav)" in said


def test_commands_are_named_and_never_run(folder, workspace, converted):
    commands = ["touch ran |", f"cat {workspace}/s5/wav/a.wav |", "| touch ran", "sph2pipe -f wav -p -c 1 x.sph |"]
    table = folder(
        wav_scp=["u0 wav/a.wav", *(f"p{i} {c}" for i, c in enumerate(commands))],
        text=["u0 x", *(f"p{i} x" for i in range(4))],
    )
    found, said = converted("kaldi", table, "train.jsonl")
    assert len(found) == 1
    assert "shell command, which is never run: save what it prints: 4 (first: " in said
    assert "s5/data/train/wav.scp line 2: touch ran |)" in said
    assert not list(workspace.rglob("ran"))


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        (
            {"wav_scp": ["u1 wav/a.wav", "u2 raw/wav.ark:1234"], "text": ["u1 x", "u2 x"]},
            "utterances whose audio is a place in an archive: save them as files: 1 (first: {}/wav.scp line 2: ",
        ),
        (
            {"wav_scp": ["u1 wav/a.wav", "u2 wav/z.wav"], "text": ["u1 x", "u2 x"]},
            "utterances whose audio cannot be found: 1 (first: {}/wav.scp line 2: wav/z.wav)",
        ),
        (
            {"wav_scp": ["u1 wav/a.wav", "u1 wav/b.wav"], "text": ["u1 x"]},
            "lines of wav.scp whose first word is an earlier line's too: 1 (first: {}/wav.scp line 2: u1)",
        ),
        (
            {"wav_scp": ["u1 wav/a.wav"], "text": ["u1 x", "u1 y"]},
            "lines of text whose first word is an earlier line's too: 1 (first: {}/text line 2: u1)",
        ),
        (
            {"wav_scp": ["u1 wav/a.wav"], "text": ["u1 x", "u2 y"]},
            "utterances of recordings that are not in wav.scp: 1 (first: {}/text line 2: u2)",
        ),
        (
            {"wav_scp": ["u1 wav/a.wav", "u2 wav/b.wav"], "text": ["u1 x", "u2"]},
            "utterances without a transcript: 1 (first: {}/text line 2: u2)",
        ),
        (
            {"wav_scp": ["u1 wav/a.wav", "u2 wav/b.wav"], "text": ["u1 x"]},
            "utterances not in text: 1 (first: {}/wav.scp line 2: u2)",
        ),
        (
            {"wav_scp": ["a wav/a.wav"], "text": ["u1 x", "u2 x"], "segments": ["u1 a 0 1", "u2 a 3 2.5"]},
            "pieces that end before they begin: 1 (first: {}/segments line 2: from 3 to 2.5)",
        ),
        (
            {"wav_scp": ["a wav/a.wav"], "text": ["u1 x", "u2 x"], "segments": ["u1 a 0 1", "u2 a 3"]},
            "utterances with a time that is none: 1 (first: {}/segments line 2: ",
        ),
        (
            {"wav_scp": ["a wav/a.wav"], "text": ["u1 x", "u2 x"], "segments": ["u1 a 0 1", "u2 b 1 2"]},
            "utterances of recordings that are not in wav.scp: 1 (first: {}/segments line 2: u2)",
        ),
        (
            {"wav_scp": ["a wav/a.wav"], "text": ["u1 x", "u2 x"], "segments": ["u1 a 0 1"]},
            "transcripts of utterances that are not in segments: 1 (first: {}/text line 2: u2)",
        ),
        (
            {"wav_scp": ["a wav/a.wav", "b wav/b.wav"], "text": ["u1 x"], "segments": ["u1 a 0 1"]},
            "recordings that no segment is of: 1 (first: {}/wav.scp line 2: b)",
        ),
        (
            {"wav_scp": ["a wav/a.wav"], "text": ["u1 x"], "segments": ["u1 a 0 1", "u2 a 1 2"]},
            "utterances not in text: 1 (first: {}/segments line 2: u2)",
        ),
    ],
)
def test_what_has_no_counterpart_is_counted_and_the_first_named(folder, converted, tables, reason):
    path = folder(**tables)
    found, said = converted("kaldi", path, "train.jsonl")
    assert len(found) == 1
    assert said.count("left out") == 1
    assert f"left out: {reason.format(path)}" in said


def test_a_line_that_is_not_utf8_costs_that_line(folder, put, converted):
    path = folder(wav_scp=["u1 wav/a.wav", "u2 wav/b.wav"])
    put(f"{path}/text", "u1 好\n".encode() + "u2 好\n".encode("gbk"))
    found, said = converted("kaldi", path, "train.jsonl")
    assert len(found) == 1
    assert f"lines that are not UTF-8: save the file as UTF-8: 1 (first: {path}/text line 2: " in said


@pytest.mark.parametrize(
    ("channels", "expected"),
    [("A B", [0, 1]), ("1 2", [0, 1]), ("0 1", [0, 1]), ("3 0", [3, 0]), ("3 2", [2, 1]), ("A X", [0])],
)
def test_channels_of_one_file_are_letters_or_numbers_from_one_or_zero(folder, converted, channels, expected):
    sides = [f"r{i} f {side}" for i, side in enumerate(channels.split())]
    path = folder(wav_scp=["r0 wav/a.wav", "r1 wav/a.wav"], text=["r0 x", "r1 x"], reco2file_and_channel=sides)
    found, said = converted("kaldi", path, "train.jsonl")
    assert [line["channel"] for line in found] == expected
    assert ("a channel that is no number from 0: 1" in said) == (len(expected) == 1)


def test_segments_may_name_the_channel(folder, converted):
    path = folder(wav_scp=["a wav/a.wav"], text=["u1 x"], segments=["u1 a 0 1 1"])
    assert converted("kaldi", path, "train.jsonl")[0][0]["channel"] == 1


def test_a_folder_of_data_directories_becomes_an_annotation_for_each(folder, command, workspace):
    for name in ("train", "dev", "test_clean"):
        folder(f"s5/data/{name}", wav_scp=["u1 wav/a.wav"], text=["u1 x"])
    code, out, _ = command("convert", "kaldi", "s5/data")
    assert code == 0
    made = {path.name for path in (workspace / "dataset/annotation").iterdir()}
    assert made == {"train.jsonl", "dev.jsonl", "test_clean.test.jsonl"}
    assert "test_clean.test.jsonl (test): 1 utterance" in out


@pytest.mark.parametrize("missing", ["wav_scp", "text"])
def test_a_folder_that_is_no_data_directory_is_one_sentence(folder, refused, missing):
    tables = {"wav_scp": ["u1 wav/a.wav"], "text": ["u1 x"]}
    del tables[missing]
    assert f"holds no {missing.replace('_', '.')}" in refused("convert", "kaldi", folder(**tables))


_WORD = st.text(string.ascii_letters + string.digits + "-_.中文\u3000\u2028", min_size=1, max_size=6)


@given(st.dictionaries(_WORD.filter(lambda w: w == w.strip()), _WORD.filter(str.strip), min_size=1), st.randoms())
def test_every_utterance_is_read_whatever_the_order_of_the_tables(tmp_path_factory, utterances, random):
    folder = tmp_path_factory.mktemp("data")
    (folder / "r.wav").touch()

    def table(name, lines):
        random.shuffle(lines)
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")

    table("wav.scp", ["r r.wav"])
    table("text", [f"{name} {text}" for name, text in utterances.items()])
    table("segments", [f"{name} r {i} {i + 0.5}" for i, name in enumerate(utterances)])
    table("utt2spk", [f"{name} s-{name}" for name in utterances])
    account = Account()
    found = {piece["speaker"]: piece for piece in pieces(kaldi.read(folder, account), account)}
    assert list(account.sentences()) == []
    expected = [(f"s-{name}", " ".join(text.split()), i, 0.5) for i, (name, text) in enumerate(utterances.items())]
    assert [
        (name, found[name]["text"], found[name]["offset"], found[name]["duration"]) for name, *_ in expected
    ] == expected
