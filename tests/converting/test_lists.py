"""The lists of NeMo and wenet: JSON lines."""

import json

import pytest


@pytest.fixture
def listed(put):
    """listed(path, item, ...) writes a list of JSON lines; beside it lie a.wav, b.wav and c.wav."""

    def write(path, *items):
        target = put(path, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
        for name in ("a", "b", "c"):
            put(target.parent / f"{name}.wav")
        return path

    return write


def item(audio="a.wav", **others):
    return {"audio_filepath": audio, "duration": 1.5, "text": "你好"} | others


def line(audio="corpus/a.wav", **others):
    return {"audio_filepath": audio, "text": "你好"} | others


def test_a_manifest_of_nemo(listed, put, converted):
    put("corpus/b.txt", "再\n见\n")
    source = listed(
        "corpus/train_manifest.json",
        item(offset=3, speaker=17, lang="zh", pred_text="x", channel=1),
        {"audio_filename": "b.wav", "duration": None, "text_filepath": "b.txt"},
        {"audio_filepath": "c.wav", "duration": "2.5", "normalized_text": "打开"},
    )
    found, said = converted("nemo", source, "train_manifest.jsonl")
    assert found == [
        line(speaker="17", offset=3.0, duration=1.5, channel=1),
        {"audio_filepath": "corpus/b.wav", "text": "再 见"},
        {"audio_filepath": "corpus/c.wav", "text": "打开", "duration": 2.5},
    ]
    assert "without a place in an annotation (in so many lines): " in said
    assert "lang (1)" in said
    assert "pred_text (1)" in said


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (item(shard_id=3), "lines of a tarred manifest: unpack the shards, and convert the manifest they were made of"),
        (item("z.wav"), "utterances whose audio cannot be found"),
        (item(["a.wav", "b.wav"]), "lines that do not name one recording"),
        (item(None), "lines that do not name one recording"),
        (item(text=" "), "utterances without a transcript"),
        (item(text=None), "utterances without a transcript"),
        ({"audio_filepath": "a.wav", "text_filepath": "z.txt"}, "utterances without a transcript"),
        (item(offset=-1), "utterances with a time that is none"),
        (item(offset=float("nan")), "utterances with a time that is none"),
        (item(duration=float("inf")), "utterances with a time that is none"),
        (item(duration="soon"), "utterances with a time that is none"),
        (item(duration=True), "utterances with a time that is none"),
        (item(duration=0), "pieces that end before they begin"),
        (item(channel="left"), "utterances with a channel that is no number from 0"),
        (item(channel=-1), "utterances with a channel that is no number from 0"),
        ([1], "lines that are no JSON object"),
    ],
)
def test_what_nemo_has_and_an_annotation_has_not_is_counted_and_named(listed, converted, wrong, reason):
    source = listed("corpus/m.json", item(), wrong, item("b.wav"), wrong)
    found, said = converted("nemo", source, "m.jsonl")
    assert [piece["audio_filepath"] for piece in found] == ["corpus/a.wav", "corpus/b.wav"]
    assert f"left out: {reason}: 2 (first: {source} line 2: " in said


def test_broken_json_costs_its_line_and_an_example_stays_short(put, converted):
    put("a.wav")
    broken = ['{"text": "' + "x" * 5000, "[" * 100000, '{"text": "\\ud800"}', "{'audio_filepath': 'a.wav'}"]
    put("m.jsonl", "\ufeff" + json.dumps(item()) + "\r\n\r\n" + "\n".join(broken))
    found, said = converted("nemo", "m.jsonl", "m.jsonl")
    assert found == [line("a.wav", duration=1.5)]
    assert "lines that are no JSON object: 4 (first: m.jsonl line 3: " in said
    assert max(map(len, said.splitlines())) < 250


def test_many_keys_are_no_long_list(listed, converted):
    source = listed("m.json", item(lang="zh", **{f"key{i}": i for i in range(40)}), item(lang="zh"))
    _, said = converted("nemo", source, "m.jsonl")
    assert "(in so many lines): lang (2), key" in said
    assert " (1) and 29 more\n" in said


def test_a_folder_of_manifests_becomes_an_annotation_for_each(listed, command, workspace):
    for name in ("train_manifest.json", "dev_clean.json", "x.test.jsonl"):
        listed(f"corpus/{name}", item())
    assert command("convert", "nemo", "corpus")[0] == 0
    made = {path.name for path in (workspace / "dataset/annotation").iterdir()}
    assert made == {"train_manifest.jsonl", "dev_clean.dev.jsonl", "x.test.jsonl"}


def test_the_raw_lists_of_wenet(listed, converted):
    source = listed(
        "corpus/data.list",
        {"key": "u1", "wav": "a.wav", "txt": "你好"},
        {"key": "u2", "wav": "b.wav", "txt": "再见", "start": 1.25, "end": 3.5, "speaker": "s", "lang": "zh"},
        {"key": "u3", "wav": "c.wav,0.5,2", "txt": "打开"},
        {"key": "u4", "wav": "sox a.wav -t wav - |", "txt": "x"},
        {"key": "u5", "wav": "b.wav", "txt": "x", "start": 3, "end": 2},
    )
    found, said = converted("wenet", source, "corpus.jsonl")
    assert found == [
        line(),
        {"audio_filepath": "corpus/b.wav", "text": "再见", "speaker": "s", "offset": 1.25, "duration": 2.25},
        {"audio_filepath": "corpus/c.wav", "text": "打开", "offset": 0.5, "duration": 1.5},
    ]
    assert f"never run: save what it prints: 1 (first: {source} line 4: " in said
    assert f"pieces that end before they begin: 1 (first: {source} line 5: from 3 to 2)" in said
    assert "lang (1)" in said


def test_the_old_lists_of_wenet(put, converted):
    put("a.wav")
    put(
        "train.list",
        "utt:u1\tfeat:a.wav,1,2.5\tfeat_shape:3\ttext:你 好: x\ttoken:a b\nutt:u2\tfeat:r.ark:23\ttext:x\n",
    )
    found, said = converted("wenet", "train.list", "train.jsonl")
    assert found == [{"audio_filepath": "a.wav", "text": "你 好: x", "offset": 1.0, "duration": 1.5}]
    assert "a place in an archive: save them as files: 1 (first: train.list line 2: r.ark:23)" in said


def test_a_list_of_shards_is_named(put, command, workspace):
    put("data.list", "/data/shards_000.tar\n/data/shards_001.tar.gz\n")
    code, out, err = command("convert", "wenet", "data.list")
    assert (code, err) == (1, "error: nothing of data.list can be carried over\n")
    assert "shards: convert the raw list they were made of: 2 (first: data.list line 1: /data/shards_000.tar)" in out
    assert not list((workspace / "dataset/annotation").iterdir())
