"""What was compiled is used again by every copy of the same code, and by no other code."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ds2 import compiled
from tests.documents import ROOT
from tests.imports import FILES, imports, reached

# A compiled function in a room, what it calls in another, and a number from a third.
CODE = {
    "decoding/calling.py": """
from ds2.compiled import compiled
from ds2.data import called

@compiled
def outer(x):
    return 10 * called.inner(x)
""",
    "data/called.py": """
from ds2.compiled import compiled
from ds2.params import numbers_of_it

@compiled
def inner(x):
    return x + numbers_of_it.NUMBER
""",
    "params/numbers_of_it.py": "NUMBER = 1\n",
}
CALL = """
from ds2.decoding import calling
found = calling.outer(VALUE)
print(found, sum(calling.outer.stats.cache_misses.values()), sum(calling.outer.stats.cache_hits.values()))
"""


class Copies:
    """Copies of the code, with the functions above, and what calls them in processes of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cache = folder / "cache"

    def make(self, name: str) -> Path:
        root = shutil.copytree(ROOT / "ds2", self._folder / name / "ds2", ignore=shutil.ignore_patterns("__pycache__"))
        for file, text in CODE.items():
            (root / file).write_text(text)
        return root

    def start(self, root: Path, value: float = 1, before: str = "") -> subprocess.Popen:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(self.cache), "PYTHONPATH": str(root.parent)}
        code = before + CALL.replace("VALUE", str(value))
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True
        )

    def call(self, root: Path, value: float = 1, before: str = "") -> list[float]:
        """What the function returns, whether it was compiled and whether it was found."""
        return self.end(self.start(root, value, before))

    def end(self, process: subprocess.Popen) -> list[float]:
        printed, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return [float(word) for word in printed.split()]

    def files(self) -> list[Path]:
        return sorted(self.cache.rglob("ds2.*.bin"))


@pytest.fixture
def copies(tmp_path):
    return Copies(tmp_path)


@pytest.mark.wheel
def test_a_copy_of_the_code_uses_what_another_compiled_and_other_code_does_not(copies):
    first, second = copies.make("first"), copies.make("second")
    assert copies.call(first) == [20, 1, 0]
    assert copies.call(second) == [20, 0, 1]
    (second / "params/numbers_of_it.py").write_text("NUMBER = 2\n")
    assert copies.call(second) == [30, 1, 0]
    assert copies.call(first) == [20, 0, 1]
    assert copies.call(second) == [30, 0, 1]


def test_processes_at_once_keep_each_signature(copies):
    root = copies.make("first")
    running = [copies.start(root, value) for value in (1, 1, 1.5)]
    assert [copies.end(process)[0] for process in running] == [20, 20, 25]
    assert len(copies.files()) == 4  # two functions of two signatures
    assert copies.call(root, 1) == [20, 0, 1]
    assert copies.call(root, 1.5) == [25, 0, 1]


def test_a_damaged_file_is_compiled_anew(copies):
    root = copies.make("first")
    copies.call(root)
    for damage in (lambda content: content[:-10], lambda content: content[:-1] + b"?", lambda _: b""):
        for path in copies.files():
            path.write_bytes(damage(path.read_bytes()))
        assert copies.call(root) == [20, 1, 0]
    assert copies.call(root) == [20, 0, 1]


def test_code_that_changes_while_a_process_loads_it_is_not_kept(copies):
    root = copies.make("first")
    change = f"import ds2.compiled, pathlib\npathlib.Path({str(root / 'params/numbers_of_it.py')!r})"
    assert copies.call(root, before=f"{change}.write_text('NUMBER = 2')\n") == [30, 1, 0]
    (root / "params/numbers_of_it.py").write_text("NUMBER = 1\n")
    assert copies.call(root) == [20, 1, 0]


def test_all_that_compiled_functions_reach_decides_what_is_used_again():
    makers = re.compile(r"numba(\..*)?|ds2\.compiled")
    compiling = [name for name in FILES if any(makers.fullmatch(one) for one in imports(name, everywhere=True))]
    needed = {FILES[name] for name in reached(compiling) if name.startswith("ds2")}
    assert len(needed) > 30
    assert needed - set(compiled.sources()) == set()


def test_states_used_longest_ago_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    now = time.time()
    for age in range(30):
        (tmp_path / "ds2" / str(age)).mkdir(parents=True)
        (tmp_path / "ds2" / str(age) / "ds2.a-b.bin").write_bytes(b"")
        os.utime(tmp_path / "ds2" / str(age), (now - 100 - age,) * 2)
    mine = compiled._folder()
    assert {path.name for path in (tmp_path / "ds2").iterdir()} == {mine.name} | {str(age) for age in range(19)}
    assert mine.stat().st_mtime > now - 50
    (tmp_path / "ds2/later").mkdir()
    assert compiled._folder() == mine  # nothing is removed for a state that is there
    assert len(list((tmp_path / "ds2").iterdir())) == 21


def test_where_a_folder_cannot_be_made_the_next_is_taken(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert compiled._folder().parent == tmp_path / "home/.cache/numba/ds2"
    (tmp_path / "home/.cache/numba/ds2").rename(tmp_path / "moved")
    (tmp_path / "home/.cache/numba/ds2").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert compiled._folder().parent == tmp_path / f"ds2-{os.getuid()}/numba/ds2"
    (tmp_path / f"ds2-{os.getuid()}").chmod(0o777)
    assert compiled._folder() is None
