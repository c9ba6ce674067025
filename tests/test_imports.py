"""Imports between the rooms of ds2/ point one way, and nowhere in a circle."""

import pytest

from tests.documents import ROOT
from tests.imports import FILES, imports, reached

# The modules that lie in ds2 itself: every room may import them, and they import no room.
GROUND = {
    "compiled",
    "cpu",
    "cuda",
    "errors",
    "files",
    "layout",
    "log",
    "mel",
    "metrics",
    "parallel",
    "places",
    "startup",
}
# The rooms that each room may import. What is above everything stands at the end.
BELOW = {
    "params": set(),
    "containers": set(),
    "audio": {"containers"},
    "pipeline": {"params"},
    "data": {"audio", "params"},
    "annotation": {"data", "audio", "params"},
    "corpora": {"params"},
    "converting": set(),
    "language_model": {"data", "params"},
    "decoding": {"data", "params"},
    "model": {"data", "params"},
    "distributed": {"params"},
    "checkpoint": {"model", "data", "params"},
    "recognition": {"checkpoint", "model", "decoding", "data", "audio", "params"},
    "export": {"recognition", "checkpoint", "model", "decoding", "data", "audio", "params"},
    "evaluation": {"recognition", "distributed", "decoding", "data", "params"},
    "reporting": {"evaluation", "data", "params"},
    "training": {
        "reporting",
        "evaluation",
        "recognition",
        "checkpoint",
        "distributed",
        "model",
        "data",
        "pipeline",
        "params",
    },
    "transcribing": {"recognition", "decoding", "data", "audio"},
    "commands": {
        "transcribing",
        "export",
        "evaluation",
        "recognition",
        "checkpoint",
        "decoding",
        "converting",
        "corpora",
        "annotation",
        "data",
        "audio",
        "pipeline",
        "params",
    },
}
# What both stages and commands stand on.
ENTRANCE = {"ds2.stage": {"distributed", "pipeline", "params"}, "ds2.__main__": {"commands"}}
WITHOUT_PADDLE = (
    "params",
    "pipeline",
    "containers",
    "audio",
    "data",
    "annotation",
    "corpora",
    "converting",
    "decoding",
    "language_model",
    "transcribing",
)
# The one door of recognition to paddle, opened where it is needed.
PADDLE_DOOR = "ds2.recognition.paddle_model"
# Run before, or instead of, a process that loads paddle.
LIGHT = ("ds2.stage", "ds2.distributed.launch", "ds2.distributed.machines", "ds2.distributed.signals")


def _room(name: str) -> str | None:
    """The room that a module is in; None for the modules of ds2 itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "ds2" and len(parts) > 1 and (ROOT / "ds2" / parts[1]).is_dir() else None


def _of_the_project(name: str) -> bool:
    return name.split(".")[0] in ("ds2", "stages", "benchmarks")


def test_every_room_has_its_place():
    assert {_room(name) for name in FILES} - {None} == set(BELOW)
    outside = {name for name in FILES if name.startswith("ds2.") and _room(name) is None}
    assert outside == {f"ds2.{name}" for name in GROUND} | ENTRANCE.keys()


def test_the_rooms_stand_one_above_the_other():
    rooms = list(BELOW)
    for room, others in BELOW.items():
        assert others <= set(rooms[: rooms.index(room)])


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("ds2")])
def test_a_module_imports_only_what_is_below_it(name):
    imported = {other for other in imports(name, everywhere=True) if _of_the_project(other)}
    assert {other for other in imported if not other.startswith("ds2")} == set()
    room = _room(name)
    allowed = ENTRANCE.get(name, set()) if room is None else BELOW[room] | {room}
    assert {_room(other) for other in imported} - {None} <= allowed
    entrances = {"ds2.stage"} if room == "commands" or name in ENTRANCE else set()
    assert imported & ENTRANCE.keys() <= entrances


def test_no_arrow_is_allowed_that_nobody_needs():
    drawn = {room: set() for room in BELOW}
    for name in FILES:
        if (room := _room(name)) is not None:
            drawn[room] |= {_room(other) for other in imports(name, everywhere=True)} - {None, room}
    assert drawn == BELOW


@pytest.mark.parametrize("room", WITHOUT_PADDLE)
def test_what_worker_processes_load_does_without_paddle(room):
    assert _paddle(name for name in FILES if _room(name) == room) == set()


@pytest.mark.parametrize("name", LIGHT)
def test_processes_are_launched_without_paddle(name):
    assert _paddle([name]) == set()


def test_in_recognition_paddle_has_one_door():
    others = [name for name in FILES if _room(name) == "recognition" and name != PADDLE_DOOR]
    assert _paddle(others) == set()
    for name in others:
        assert not {_room(other) for other in imports(name, everywhere=True)} & {"checkpoint", "model"}, name


def _paddle(names) -> set[str]:
    """The modules that import paddle, of those that these reach, but for the door."""
    found = reached(names, without=[PADDLE_DOOR])
    return {name for name, imported in found.items() if any(one.split(".")[0] == "paddle" for one in imported)}


def test_no_module_imports_what_imports_it():
    graph = {name: imports(name, everywhere=True) & FILES.keys() for name in FILES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_rooms_and_files_stay_small():
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    rooms = {room: sum(count for name, count in lines.items() if _room(name) == room) for room in BELOW}
    assert {room: count for room, count in rooms.items() if count > 1700} == {}
