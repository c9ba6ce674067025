"""Imports point one way: stages, then what trains, scores and transcribes, then network, decoding and data."""

import pytest

from tests.documents import ROOT
from tests.imports import FILES, imports, reached

# The packages of ds2 that each may import, besides itself and the modules that lie in ds2 itself.
BELOW = {
    "data": set(),
    "corpora": {"data"},
    "model": {"data"},
    "language_model": {"data"},
    "decoding": {"data", "language_model"},
    "evaluation": {"data", "model", "decoding", "training"},
    "training": {"data", "model", "evaluation"},
    "transcribing": {"data", "model", "decoding", "evaluation", "training"},
}
# Commands and the choice of the device: they lie in ds2 and stand above its packages.
ABOVE = {"ds2.commands.transcribe", "ds2.model.device"}
WITHOUT_PADDLE = ("data", "corpora", "decoding", "language_model")


def _package(name: str) -> str | None:
    """The package of ds2 that a module is in; None for the modules of ds2 itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "ds2" and len(parts) > 1 and (ROOT / "ds2" / parts[1]).is_dir() else None


def test_every_package_has_its_place():
    assert {_package(name) for name in FILES} - {None} == set(BELOW)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("ds2")])
def test_a_module_imports_only_what_is_below_it(name):
    own = _package(name)
    imported = {
        other for other in imports(name, everywhere=True) if other.split(".")[0] in ("ds2", "stages", "benchmarks")
    }
    assert {other for other in imported if not other.startswith("ds2")} == set()
    packages = {_package(other) for other in imported} - {None, own}
    if own is not None:
        assert packages <= BELOW[own]
        assert not imported & {"ds2.commands.transcribe"}
    elif name not in ABOVE:
        assert packages == set()


@pytest.mark.parametrize("package", WITHOUT_PADDLE)
def test_what_worker_processes_load_does_without_paddle(package):
    for name, imported in reached(name for name in FILES if _package(name) == package).items():
        assert not {other for other in imported if other.split(".")[0] == "paddle"}, name


def test_no_module_is_loaded_by_what_it_loads():
    graph = {name: imports(name, everywhere=False) & FILES.keys() for name in FILES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
