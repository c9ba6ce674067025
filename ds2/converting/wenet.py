"""wenet's raw lists: one JSON object a line, in old versions key:value pairs between tabs."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ds2.converting.rows import Account, Row, lines, name_of, objects
from ds2.errors import UserError

_KNOWN = {"key", "wav", "txt", "start", "end", "speaker"}
_PIECE = re.compile(r"(.+),([0-9.]+),([0-9.]+)")  # an old list's piece of a recording: path,start,end


def find(source: Path) -> dict[str, Path]:
    """A list, or a folder with data.list in it or in the folders below it."""
    found = [*source.glob("data.list"), *source.glob("*/data.list")] if source.is_dir() else [source]
    if not found:
        raise UserError(f"{source} holds no data.list: name the list")
    return {name_of(path): path for path in sorted(found)}


def read(path: Path, account: Account) -> Iterator[Row]:
    """The utterances of a list; a list of shards names none."""
    with open(path, "rb") as file:
        old = not file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    for row in _old(path, account) if old else _raw(path, account):
        piece = _PIECE.fullmatch(row.audio) if isinstance(row.audio, str) else None
        yield replace(row, audio=piece[1], offset=piece[2], end=piece[3]) if piece else row


def _raw(path: Path, account: Account) -> Iterator[Row]:
    for number, item in objects(path, account, _KNOWN):
        times = {"offset": item.get("start"), "end": item.get("end")}
        yield Row(path, number, item.get("wav"), item.get("txt"), item.get("speaker"), **times)


def _old(path: Path, account: Account) -> Iterator[Row]:
    for number, raw in lines(path, account):
        line = raw.decode("utf-8")
        item = dict(pair.partition(":")[::2] for pair in line.split("\t"))
        if "feat" in item:
            yield Row(path, number, item["feat"], item.get("text"))
        elif "\t" not in line and re.search(r"\.tar(\.\w+)?$", line):
            account.leave("shards: convert the raw list they were made of", path, number, line)
        else:
            account.leave("lines that are no JSON object", path, number, line)
