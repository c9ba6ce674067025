"""The builders of public corpora, from tiny archives in the layout of the real ones to the manifest."""

import functools
import hashlib
import importlib
import json
import runpy
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import corpora, layout, params
from ds2.audio.recordings import Recordings
from ds2.corpora import aishell, free_st, librispeech, musan, registry, rirs_noises, thchs30
from ds2.corpora.archive import OPENSLR
from ds2.errors import UserError
from stages import corpus, manifest
from tests.corpora.archives import recording, special, tar_gz, zipped

ROOT = Path(__file__).parents[2]
WAV = recording(2.0)


def aishell_archive() -> bytes:
    def speaker(split, name, utterances):
        members = ((f"{split}/{name}/BAC009{name}W{u:04}.wav", recording(2.0)) for u in utterances)
        return f"data_aishell/wav/{name}.tar.gz", tar_gz(*members, folders=[split, f"{split}/{name}"])

    spoken = {
        "BAC009S0002W0122": "而 对 楼市 成交 抑制 作用",
        "BAC009S0002W0123": "ｂｔｖ 也 成为",
        "BAC009S0003W0001": "自 六月 底",
        "BAC009S0724W0121": "广州 市 房地产",
        "BAC009S0764W0121": "甚至 出现 交易",
        "BAC009S0916W9999": "没有 录音",
    }
    return tar_gz(
        ("data_aishell/transcript/aishell_transcript_v0.8.txt", "\n".join(map(" ".join, spoken.items())).encode()),
        speaker("train", "S0002", (122, 123, 124)),
        speaker("train", "S0003", (1,)),
        speaker("dev", "S0724", (121,)),
        speaker("test", "S0764", (121,)),
        folders=["data_aishell", "data_aishell/wav"],
    )


def thchs30_archive(pointers: str = "text") -> bytes:
    words = {"A11_0": "绿 是 阳春 烟 景", "A11_1": "他 仅 凭", "A2_0": "炮眼 打好 了", "D4_750": "可 谁知"}
    members = []
    for name, text in words.items():
        members.append((f"data_thchs30/data/{name}.wav", recording(2.0)))
        members.append((f"data_thchs30/data/{name}.wav.trn", f"{text}\nlv4 shi4\nl v4 sh ix4\n".encode()))
    for split, names in (("train", ("A11_0", "A11_1")), ("dev", ("A2_0",)), ("test", ("D4_750",))):
        for name in names:
            pointer, goal = f"data_thchs30/{split}/{name}.wav.trn", f"../data/{name}.wav.trn"
            link = special(pointer, tarfile.SYMTYPE, goal)
            members.append(link if pointers == "links" else (pointer, f"{goal}\n".encode()))
            wav = special(f"data_thchs30/{split}/{name}.wav", tarfile.SYMTYPE, f"../data/{name}.wav")
            members.append(wav if pointers == "links" else (wav.name, WAV))
    members += [("data_thchs30/lm_word/lexicon.txt", b"x"), ("data_thchs30/README.TXT", b"x")]
    return tar_gz(*members)


def free_st_archive() -> bytes:
    top = "ST-CMDS-20170001_1-OS"
    members = []
    for speaker in range(1, 41):
        name = f"{top}/20170001P{speaker:05}{'AI'[speaker % 2]}0001"
        members += [
            (f"{name}.wav", recording(2.0)),
            (f"{name}.txt", "小明今天打电话吗".encode()),
            (f"{name}.metadata", b"x"),
        ]
    return tar_gz(*members, (f"{top}/20170001P00001A0002.wav", recording(2.0)))


def librispeech_archive(subset: str, speaker: int) -> bytes:
    chapter = f"LibriSpeech/{subset}/{speaker}/198/{speaker}-198"
    return tar_gz(
        (f"{chapter}.trans.txt", f"{speaker}-198-0000 IT'S A TEST\n{speaker}-198-0001 OF READING\n".encode()),
        (f"{chapter}-0000.flac", recording(5.0, "FLAC")),
        (f"{chapter}-0001.flac", recording(5.0, "FLAC")),
        ("LibriSpeech/README.TXT", b"x"),
        ("LibriSpeech/SPEAKERS.TXT", b"x"),
    )


def musan_archive() -> bytes:
    return tar_gz(
        ("musan/noise/free-sound/noise-free-sound-0000.wav", WAV),
        ("musan/noise/sound-bible/noise-sound-bible-0000.wav", WAV),
        ("musan/noise/free-sound/LICENSE", b"x"),
        ("musan/music/fma/music-fma-0000.wav", WAV),
        ("musan/speech/librivox/speech-librivox-0000.wav", WAV),
        ("musan/README", b"x"),
    )


def rirs_archive() -> bytes:
    return zipped(
        ("RIRS_NOISES/", b""),
        ("RIRS_NOISES/simulated_rirs/smallroom/Room001/Room001-00001.wav", WAV),
        ("RIRS_NOISES/simulated_rirs/mediumroom/Room001/Room001-00001.wav", WAV),
        ("RIRS_NOISES/simulated_rirs/smallroom/rir_list", b"x"),
        ("RIRS_NOISES/pointsource_noises/noise-free-sound-0000.wav", WAV),
        ("RIRS_NOISES/real_rirs_isotropic_noises/RWCP_type1_rir_cirline_jr1_imp000.wav", WAV),
    )


@pytest.fixture
def offer(workspace, monkeypatch):
    """offer(module, content) puts an archive where the user would, and makes its checksum the right one."""
    (workspace / "params.yaml").write_text("{}\n")

    def offer(module, content, subset=None):
        archive = module.ARCHIVE if subset is None else module.ARCHIVES[subset]
        folder = workspace / "dataset/downloads"
        folder.mkdir(exist_ok=True)
        (folder / archive.name).write_bytes(content)
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        archive = replace(archive, addresses=(), size=len(content), checksum=checksum, unpacked=10_000_000)
        if subset is None:
            monkeypatch.setattr(module, "ARCHIVE", archive)
        else:
            monkeypatch.setitem(module.ARCHIVES, subset, archive)

    return offer


@pytest.fixture
def run(workspace, monkeypatch):
    """run(stage, argument...) runs a stage as the command line does."""

    def run(stage, *arguments):
        monkeypatch.setattr(sys, "argv", [stage.__name__, *arguments])
        runpy.run_path(stage.__file__, run_name="__main__")

    return run


def lines(workspace, name) -> list[list[str]]:
    path = workspace / "dataset/annotation" / name
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def parts(workspace) -> dict[str, list[tuple]]:
    """Text and speaker of each manifest."""
    found = {}
    for split in layout.SPLITS:
        rows = [json.loads(row) for row in (workspace / layout.manifest_path(split)).read_text().splitlines()]
        found[split] = [(row["text"], row["speaker"]) for row in rows]
    return found


def write_params(workspace, names, **sections):
    values = {"corpora": list(names), "runtime": {"num_workers": 0}, **sections}
    YAML().dump(values, workspace / "params.yaml")


OFFICIAL = {"dev_fraction": 0.0, "test_fraction": 0.0}


def test_aishell(offer, run, workspace):
    offer(aishell, aishell_archive())
    run(corpus, "aishell")
    assert lines(workspace, "aishell.dev.txt") == [
        ["dataset/audio/aishell/wav/dev/S0724/BAC009S0724W0121.wav", "广州市房地产", "aishell-S0724"]
    ]
    write_params(workspace, ["aishell"], manifest=OFFICIAL)
    run(manifest)
    assert parts(workspace) == {
        "train": [
            ("而对楼市成交抑制作用", "aishell-S0002"),
            ("btv也成为", "aishell-S0002"),
            ("自六月底", "aishell-S0003"),
        ],
        "dev": [("广州市房地产", "aishell-S0724")],
        "test": [("甚至出现交易", "aishell-S0764")],
    }
    assert layout.REJECTED.read_text() == ""


@pytest.mark.parametrize("pointers", ["text", "links"])
def test_thchs30(offer, run, workspace, pointers):
    offer(thchs30, thchs30_archive(pointers))
    run(corpus, "thchs30")
    write_params(workspace, ["thchs30"], manifest=OFFICIAL)
    run(manifest)
    assert parts(workspace) == {
        "train": [("绿是阳春烟景", "thchs30-A11"), ("他仅凭", "thchs30-A11")],
        "dev": [("炮眼打好了", "thchs30-A2")],
        "test": [("可谁知", "thchs30-D4")],
    }
    assert layout.REJECTED.read_text() == ""
    assert not [path for path in (workspace / "dataset/audio").rglob("*") if path.is_symlink()]


def test_free_st_has_speakers_held_out(offer, run, workspace):
    offer(free_st, free_st_archive())
    run(corpus, "free_st")
    assert (workspace / "dataset/annotation/free_st.dev.txt").read_text() == ""
    assert (workspace / "dataset/annotation/free_st.test.txt").read_text() == ""
    write_params(workspace, ["free_st"], manifest={"dev_fraction": 0.2, "test_fraction": 0.2})
    run(manifest)
    speakers = {split: {speaker for _, speaker in rows} for split, rows in parts(workspace).items()}
    assert all(speakers.values())
    assert set.union(*speakers.values()) == {f"free_st-P{speaker:05}" for speaker in range(1, 41)}
    assert sum(map(len, speakers.values())) == 40


def test_three_corpora_merged_keep_the_official_test_sets(offer, run, workspace):
    offer(aishell, aishell_archive())
    offer(thchs30, thchs30_archive())
    offer(free_st, free_st_archive())
    names = ["aishell", "thchs30", "free_st"]
    for name in names:
        run(corpus, name)
    write_params(workspace, names, manifest={"dev_fraction": 0.0, "test_fraction": 0.3})
    run(manifest)
    found = parts(workspace)
    assert {speaker for _, speaker in found["test"]} == {"aishell-S0764", "thchs30-D4"}
    assert {speaker for _, speaker in found["dev"]} == {"aishell-S0724", "thchs30-A2"}
    assert len(found["train"]) == 3 + 2 + 40


def test_librispeech_takes_the_subsets_of_its_name_and_they_share_their_audio(offer, run, workspace):
    for speaker, subset in enumerate(("dev-clean", "test-clean", "train-clean-100"), start=10):
        offer(librispeech, librispeech_archive(subset, speaker), subset)
    run(corpus, "librispeech_100")
    folder = workspace / "dataset/audio/librispeech"
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["dev-clean", "test-clean", "train-clean-100"]
    write_params(workspace, ["librispeech_100"])
    run(manifest)
    assert parts(workspace) == {
        "train": [("it's a test", "librispeech-12"), ("of reading", "librispeech-12")],
        "dev": [("it's a test", "librispeech-10"), ("of reading", "librispeech-10")],
        "test": [("it's a test", "librispeech-11"), ("of reading", "librispeech-11")],
    }
    offer(librispeech, librispeech_archive("train-clean-360", 20), "train-clean-360")
    (workspace / "dataset/downloads/train-clean-100.tar.gz").unlink()
    run(corpus, "librispeech_460")
    speakers = [speaker for _, _, speaker in lines(workspace, "librispeech_460.train.txt")]
    assert speakers == ["librispeech-12"] * 2 + ["librispeech-20"] * 2
    offer(librispeech, librispeech_archive("train-other-500", 30), "train-other-500")
    run(corpus, "librispeech")
    assert {line[2] for line in lines(workspace, "librispeech.train.txt")} == {f"librispeech-{n}0" for n in (2, 3)} | {
        "librispeech-12"
    }


def test_noises_and_rooms_go_where_augmentation_looks_for_them(offer, run, workspace, write_audio):
    offer(musan, musan_archive())
    offer(rirs_noises, rirs_archive())
    run(corpus, "musan")
    run(corpus, "rirs_noises")
    augment = params.AugmentSettings()
    noises, rooms = Recordings(augment.noise.noise_dir, 16000), Recordings(augment.reverb.reverb_dir, 16000)
    assert [name for name, _ in noises.identity()] == [
        "musan/free-sound/noise-free-sound-0000.wav",
        "musan/sound-bible/noise-sound-bible-0000.wav",
    ]
    assert [name for name, _ in rooms.identity()] == [
        "rirs_noises/mediumroom/Room001/Room001-00001.wav",
        "rirs_noises/smallroom/Room001/Room001-00001.wav",
    ]
    own = [(f"own/{i}.wav", "你好", f"s{i}") for i in range(30)]
    for path, *_ in own:
        write_audio(path)
    (workspace / "dataset/annotation/my.txt").write_text("".join("\t".join(line) + "\n" for line in own))
    write_params(workspace, ["musan", "rirs_noises"], manifest={"dev_fraction": 0.2, "test_fraction": 0.2})
    run(manifest)
    assert sum(map(len, parts(workspace).values())) == 30


def test_noises_alone_are_no_data(offer, run, workspace, capsys):
    offer(musan, musan_archive())
    run(corpus, "musan")
    write_params(workspace, ["musan"])
    with pytest.raises(SystemExit):
        run(manifest)
    assert "the files of dataset/annotation are empty" in capsys.readouterr().err


def test_a_second_run_writes_the_same_and_touches_no_audio(offer, run, workspace):
    offer(thchs30, thchs30_archive())
    run(corpus, "thchs30")
    audio = {path: path.stat().st_mtime_ns for path in (workspace / "dataset/audio").rglob("*")}
    before = {split: lines(workspace, f"thchs30.{split}.txt") for split in layout.SPLITS}
    (workspace / "dataset/downloads/data_thchs30.tgz").unlink()
    run(corpus, "thchs30")
    assert {path: path.stat().st_mtime_ns for path in (workspace / "dataset/audio").rglob("*")} == audio
    assert {split: lines(workspace, f"thchs30.{split}.txt") for split in layout.SPLITS} == before


def test_transcripts_that_are_not_utf_8_are_one_sentence(offer, workspace):
    top = "ST-CMDS-20170001_1-OS/20170001P00001A0001"
    offer(free_st, tar_gz((f"{top}.wav", WAV), (f"{top}.txt", "小明".encode("gbk"))))
    with pytest.raises(UserError, match=r"A0001.txt is not UTF-8 \(byte 2\): remove dataset/audio/free_st "):
        corpora.build("free_st", workspace / "dataset/annotation", params.RuntimeSettings())


@pytest.mark.parametrize("name", ["aishell/transcript/aishell_transcript_v0.8.txt", "thchs30/data/A11_0.wav.trn"])
def test_transcripts_that_somebody_has_removed_are_one_sentence(offer, workspace, name):
    offer(aishell, aishell_archive())
    offer(thchs30, thchs30_archive())
    build = functools.partial(
        corpora.build, name.split("/")[0], workspace / "dataset/annotation", params.RuntimeSettings()
    )
    build()
    (workspace / "dataset/audio" / name).unlink()
    with pytest.raises(UserError, match=f"{name} is not there: remove dataset/audio/{name.split('/')[0]} and run"):
        build()


def test_a_recording_that_somebody_has_removed_is_left_out_and_said(offer, run, workspace):
    offer(thchs30, thchs30_archive())
    run(corpus, "thchs30")
    (workspace / "dataset/audio/thchs30/data/A11_0.wav").unlink()
    run(corpus, "thchs30")
    write_params(workspace, ["thchs30"], manifest=OFFICIAL | {"max_rejected_fraction": 0.5})
    run(manifest)
    assert parts(workspace)["train"] == [("他仅凭", "thchs30-A11")]
    assert "A11_0.wav" in layout.REJECTED.read_text()


def test_the_annotations_of_built_in_corpora_are_no_users_files_for_git_and_dvc():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for name in registry.NAMES:
        assert f"/dataset/annotation/{name}.*.txt" in ignored
    assert f"/{params.RuntimeSettings().download_dir}/" in ignored
    assert f"/{params.RuntimeSettings().download_dir}/" in (ROOT / ".dvcignore").read_text().splitlines()


ARCHIVES = [
    *(importlib.import_module(f"ds2.corpora.{name}").ARCHIVE for name in ("aishell", "thchs30", "free_st", "musan")),
    rirs_noises.ARCHIVE,
    *librispeech.ARCHIVES.values(),
]


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_the_facts_of_an_archive_are_well_formed(archive):
    assert len(archive.addresses) == len(OPENSLR) == 4
    assert all(address.startswith("https://") and address.endswith(f"/{archive.name}") for address in archive.addresses)
    algorithm, digest = archive.checksum.split(":")
    assert len(digest) == 2 * hashlib.new(algorithm).digest_size
    assert set(digest) <= set("0123456789abcdef")
    assert archive.size > 3e8
    assert archive.unpacked > 3e8
