import json

import pytest

from ds2 import layout
from tests.commands.conftest import command, refused

__all__ = ["command", "refused"]


@pytest.fixture
def put(workspace):
    """put(path, content) writes a file of the workspace, text as UTF-8 or bytes; recordings may be empty."""

    def write(path, content=""):
        target = workspace / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    return write


@pytest.fixture
def converted(command, workspace):
    """converted(format, source, name) converts: the annotation's lines, and what was said of it."""

    def run(form, source, name):
        code, out, err = command("convert", form, source)
        assert (code, err) == (0, "")
        annotation = workspace / layout.ANNOTATION / name
        lines = annotation.read_text(encoding="utf-8").split("\n")
        assert lines.pop() == ""
        return [json.loads(line) for line in lines], out

    return run
