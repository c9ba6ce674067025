"""Tables as spreadsheets save them: encoding, delimiter and records found, whatever the quotes in a text do."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ds2.errors import UserError

_DELIMITERS = "\t;|,"
_SAMPLE = 200  # lines that decide on the delimiter
_JOINED = 50  # lines that a quoted field may have
_BOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # xlsx and ods, xls


def encoding(path: Path) -> str:
    """The encoding of a whole file, utf-8-sig, utf-16 or gb18030; UserError where it is none of them."""
    with open(path, "rb") as file:
        head = file.read(4)
        if head.startswith(_BOOKS):
            raise UserError(f"{path} is a workbook: save the sheet as CSV")
        name = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else _of_bytes(path)
    try:
        with open(path, encoding=name) as file:
            for line in file:
                if "\0" in line:
                    raise UserError(f"{path} holds zero bytes: save it as UTF-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is {name} at first, but has broken characters ({error.reason}): save it again"
        ) from None
    return name


def _of_bytes(path: Path) -> str:
    valid, broken, first, common, rare = 0, 0, 0, 0, 0
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.isascii():
                continue
            try:
                raw.decode("utf-8")
                valid += 1
            except UnicodeDecodeError:
                broken, first = broken + 1, first or number
                letters = "".join(c for c in raw.decode("gb18030", "replace") if not c.isascii())
                known = len(letters.encode("gb2312", "ignore")) // 2
                common, rare = common + known, rare + len(letters) - known
    if not broken:
        return "utf-8-sig"
    # In damaged UTF-8 most lines are still valid; of other encodings, read as GB18030, few letters are in GB2312.
    if valid > broken or rare > 0.1 * common:
        raise UserError(f"{path} line {first} is neither UTF-8 nor GB18030: save the file as UTF-8")
    return "gb18030"


def delimiter(path: Path, coding: str) -> str:
    """What stands between the fields: that with which most records are as wide as the first; UserError if none."""
    with open(path, encoding=coding, newline="") as file:
        lines = list(islice(file, _SAMPLE))
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise UserError(f"{path} is empty")

    def fit(mark: str) -> tuple[int, int]:
        widths = [len(fields or ()) for _, fields in records(lines, mark)]
        return sum(width == widths[0] for width in widths) if widths[0] > 1 else 0, -first.find(mark)

    best = max(_DELIMITERS, key=fit)
    if fit(best)[0] == 0:
        raise UserError(f"{path} has one column only: put commas, semicolons or tabs between the fields")
    return best


def records(lines: Iterable[str], mark: str) -> Iterator[tuple[int, list[str] | None]]:
    """The fields of each record and the number of its first line; None for fields where quotes never end.

    Quotes are those of CSV, with line breaks within them, or stand in the text as they are, where only that gives as
    many fields as the first record has.
    """
    numbered, waiting = enumerate(lines, start=1), deque()
    width = 0
    while taken := [waiting.popleft() if waiting else next(numbered, (0, ""))]:
        number, text = taken[0]
        if not text:
            return
        fields = _parsed(text, mark)
        while fields is None and len(taken) < _JOINED:
            more = waiting.popleft() if waiting else next(numbered, None)
            if more is None:
                break
            taken.append(more)
            # Two lines with all fields are two records, and the quote is a mark; commas may as well be the text's.
            if mark != "," and len(taken[0][1].split(mark)) == len(more[1].split(mark)) == width:
                break
            text += more[1]
            fields = _parsed(text, mark)
        if fields is None:
            waiting.extendleft(reversed(taken[1:]))
            fields = taken[0][1].rstrip("\r\n").split(mark)
            fields = fields if len(fields) == width or not width else None
        width = width or len(fields)
        if fields is None or any(field.strip() for field in fields):
            yield number, fields


def _parsed(text: str, mark: str) -> list[str] | None:
    """The fields of a record in CSV's quotes; None where they are none, or the record is not complete."""
    try:
        return next(csv.reader([text], delimiter=mark, strict=True))
    except csv.Error:
        return None
