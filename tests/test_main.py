"""python -m ds2: what all commands have in common."""

import importlib
import re
import shlex
import signal
import subprocess
import sys

import pytest

from ds2 import __main__ as command_line
from tests.documents import ROOT

SHARED = {"__init__", "options", "word_list"}  # by several commands
MODULES = {path.stem for path in (ROOT / "ds2/commands").glob("*.py")} - SHARED


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "ds2", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_commands_are_listed_with_a_line_each(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    listed = dict(re.findall(r"^  (\w+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert listed == command_line.COMMANDS
    assert listed.keys() == MODULES | {"recipe"}


def test_the_list_loads_nothing_but_itself():
    program = "import sys; from ds2.__main__ import main; main(); print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    loaded = done.stdout.rpartition("loaded ")[2].split()
    own = {"ds2", "ds2.cpu", "ds2.places", "ds2.cuda", "ds2.startup", "ds2.errors", "ds2.__main__"}
    assert {name for name in loaded if name.split(".")[0] == "ds2"} == own
    assert not {"paddle", "pydantic", "numpy"} & set(loaded)


@pytest.mark.parametrize("command", ["params", "--help"])
def test_who_reads_the_output_may_stop(command):
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} -m ds2 {command} > >(exec sleep 0) || echo $?; wait"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == (f"{128 + signal.SIGPIPE}\n", "")


@pytest.mark.parametrize(("wrong", "right"), [("transcrib", "transcribe"), ("eval", "evaluate"), ("Params", "params")])
def test_an_unknown_command_is_one_sentence_that_names_the_closest(wrong, right, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ds2", wrong])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: there is no command {wrong}; did you mean {right}?")


@pytest.mark.parametrize(("wrong", "shown"), [("--version", "--version"), ("", "''")])
def test_what_is_like_no_command_is_taken_for_none(wrong, shown, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ds2", wrong])
    with pytest.raises(SystemExit):
        command_line.main()
    assert capsys.readouterr().err == f"error: there is no command {shown}: python -m ds2 --help lists all\n"


@pytest.mark.parametrize("name", command_line.COMMANDS)
def test_the_help_of_a_command_has_an_example_that_it_understands(name, monkeypatch, capsys):
    if name not in MODULES:
        pytest.skip("another branch adds it")
    monkeypatch.setattr(sys, "argv", ["ds2", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    page = importlib.import_module(f"ds2.commands.{name}").__doc__
    first, blank = page.split("\n")[:2]
    assert (first[-1], blank) == (".", "")
    assert page.strip() in shown
    examples = re.findall(rf"^    (?:.* \| )?(python -m ds2 {name}\b[^|\n]*)", page, re.MULTILINE)
    assert examples
    for example in examples:
        command_line.parser(name)[0].parse_args(shlex.split(example)[4:])


@pytest.mark.parametrize("name", sorted(MODULES))
def test_an_unknown_option_is_one_sentence(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ds2", name, "--atlantis", "a"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "--atlantis" in line
    assert f"python -m ds2 {name} --help" in line


def test_nothing_else_in_ds2_is_a_program():
    programs = [path for path in (ROOT / "ds2").rglob("*.py") if '__name__ == "__main__"' in path.read_text("utf-8")]
    assert programs == [ROOT / "ds2/__main__.py"]


def test_an_installed_ds2_is_the_same_command_line_under_a_name_that_no_stranger_has():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (script,) = re.findall(r'^\[project\.scripts\]\nds2 = "(.*)"$', project, re.MULTILINE)
    module, function = script.split(":")
    assert getattr(importlib.import_module(module), function) is command_line.main
    (name,) = re.findall(r'^name = "(.*)"', project, re.MULTILINE)
    assert name != "ds2"
