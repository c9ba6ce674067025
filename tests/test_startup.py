"""Users whose locale is not UTF-8: the transcripts and their files' names are all the same."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.documents import ROOT

# Python makes C and POSIX UTF-8 by itself, unless it is told not to.
PLAIN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LOCALES = {"C": {"LC_ALL": "C"} | PLAIN, "POSIX": {"LC_ALL": "POSIX"} | PLAIN}


@pytest.fixture(params=["C", "POSIX", "ISO-8859-1", "GBK"])
def run(request, workspace, tmp_path_factory):
    """run(input, *command) starts Python in a locale."""
    environment = LOCALES.get(request.param)
    if environment is None:
        folder = tmp_path_factory.mktemp("locales")
        name = {"ISO-8859-1": "en_US", "GBK": "zh_CN"}[request.param]
        made = folder / f"{name}.{request.param}"
        if shutil.which("localedef") is None:
            pytest.skip("localedef makes locales")
        subprocess.run(["localedef", "-i", name, "-f", request.param, made], capture_output=True, check=False)
        if not made.exists():
            pytest.skip(f"this system cannot make {made.name}")
        environment = {"LOCPATH": str(folder), "LC_ALL": made.name, "PYTHONUTF8": "0"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHON"))}
    environment = kept | {"PYTHONPATH": str(ROOT)} | environment
    encoding = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    assert subprocess.run(encoding, env=environment, capture_output=True, text=True).stdout != "utf-8\n"

    def run(given: bytes, *command: str) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", *command]
        return subprocess.run(line, cwd=workspace, env=environment, input=given, capture_output=True, timeout=120)

    return run


@pytest.mark.slow
def test_names_in_annotations_are_those_of_the_files(run, workspace, write_audio):
    for i, part in enumerate(("", ".dev", ".test")):
        write_audio(f"录音/电话 {i}.wav", rate=16000)
        lines = f"录音/电话 {i}.wav\t今天天气\n" + "录音/电话 3.wav\t天\n" * (not part)
        (workspace / f"dataset/annotation/我的{part}.txt").write_text(lines, encoding="utf-8")
    (workspace / "params.yaml").write_text("manifest: {max_rejected_fraction: 0.5}\nruntime: {num_workers: 2}\n")
    done = run(b"", "stages.manifest")
    assert done.returncode == 0, done.stderr.decode()
    manifests = [workspace / f"dataset/manifest.{split}" for split in ("train", "dev", "test")]
    found = [json.loads(line)["audio_filepath"] for path in manifests for line in path.read_text("utf-8").splitlines()]
    assert sorted(found) == [f"录音/电话 {i}.wav" for i in range(3)]
    (rejected,) = (json.loads(line) for line in (workspace / "dataset/rejected.jsonl").read_text("utf-8").splitlines())
    assert rejected["audio_filepath"] == "录音/电话 3.wav"


def test_what_a_command_prints_is_utf_8_and_its_input_too(run, workspace):
    (workspace / "recipes").symlink_to(ROOT / "recipes")
    done = run(b"", "ds2", "recipe", "无")
    assert done.returncode == 1
    assert "error: there is no recipe '无'" in done.stderr.decode("utf-8")
    done = run(b"", "ds2", "params")
    assert done.returncode == 0
    assert "train.num_epoch = 100" in done.stdout.decode("utf-8")
