"""In a folder with a Chinese name DVC cannot run experiments in copies of it, until its cache is elsewhere."""

import subprocess

import pytest

from ds2 import log
from ds2.pipeline import copies
from tests.pipeline.running import until

CACHE = "fail in this folder, since DVC writes the path of its cache as ASCII; to use them, once nothing runs: "
GIT = "fail in this repository, since DVC copies .git/config as ASCII"


@pytest.fixture
def warned(tmp_path, monkeypatch, capsys):
    """warned(folder) is what is said now in a folder, a git repository, as the root of DVC's."""
    log.to_terminal()
    monkeypatch.setenv("HOME", str(tmp_path))

    def said(folder):
        (tmp_path / folder / ".dvc").mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "-q", str(tmp_path / folder)], check=True)
        monkeypatch.chdir(tmp_path / folder)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / folder))
        copies.warn_of_characters()
        return capsys.readouterr().err

    return said


def test_what_dvc_copies_as_ascii_is_said_once_a_place(warned, tmp_path):
    assert warned("speech") == ""
    assert CACHE in warned("语音")
    assert warned("语音") == ""
    (tmp_path / "语音").rename(tmp_path / "识别")
    assert CACHE in warned("识别")


@pytest.mark.parametrize("config", [".dvc/config", ".dvc/config.local", "../.config/dvc/config"])
def test_a_cache_elsewhere_is_known(warned, tmp_path, config):
    path = tmp_path / "语音" / config
    (tmp_path / "语音/.dvc").mkdir(parents=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[core]\n    analytics = false\n[cache]\n    dir = /data/cache\n")
    assert warned("语音") == ""


def test_a_name_in_gits_config_of_the_repository_is_said_once(warned, tmp_path):
    assert warned("speech") == ""
    with open(tmp_path / "speech/.git/config", "a", encoding="utf-8") as file:
        file.write("[user]\n    name = 李雷\n")
    assert GIT in warned("speech")
    assert warned("speech") == ""


@pytest.mark.slow
def test_in_a_folder_with_a_chinese_name_what_is_said_makes_experiments_in_copies_work(prepared, tmp_path):
    repository = prepared.copy(tmp_path / "语音识别")
    temporary = ("dvc", "exp", "run", "--temp", "-n", "one", "-S", "vocabulary.count_threshold=2", "vocabulary")
    try:
        printed = repository.run("dvc", "repro", "-f", "-s", "vocabulary")
        command = printed.partition(CACHE)[2].splitlines()[0]
        assert "'ascii' codec can't encode characters" in repository.run(*temporary, expect=255)
        repository.run("bash", "-c", command.replace("/ascii/path", str(tmp_path / "cache")))
        repository.run(*temporary)
        assert repository.experiments() == {"one"}
        queued = ("dvc", "exp", "run", "--queue", "-n", "two", "-S", "vocabulary.count_threshold=3", "vocabulary")
        repository.run(*queued)
        repository.start_queue()
        until(lambda: "two" in repository.experiments(), lambda: repository.run("dvc", "queue", "status"))
        assert "tokens, <blank> and <unk> included" in repository.run("dvc", "queue", "logs", "two")
    finally:
        repository.run("dvc", "queue", "stop", "--kill")
        repository.end_processes()
