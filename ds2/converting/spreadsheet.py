"""A spreadsheet's CSV, in which a header says what the columns are; without one they are path, text, speaker."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ds2.converting import tables
from ds2.converting.rows import Account, Row, name_of
from ds2.errors import UserError

# Header names, without spaces, marks and units, that which counts most first.
_NAMES = {
    "audio": "audiofilepath audiopath path audiofile audiofilename wavpath wavfile wav audio filepath filename file "
    "clip recording 音频路径 音频文件路径 文件路径 路径 音频文件 音频文件名 音频 录音文件 录音 语音文件 语音 "
    "文件名 文件",
    "text": "text transcript transcription sentence txt transcripttext content reference "
    "文本 转写文本 转写 转写内容 转写结果 标注文本 标注 标注内容 文本内容 内容 句子",
    "speaker": "speaker speakerid spk spkid clientid speakername 说话人 说话人id 发音人 发音人id 说话者 录音人",
    "offset": "offset start starttime begin begintime 开始 开始时间 起始 起始时间",
    "end": "end endtime stop 结束 结束时间 终止 终止时间",
    "duration": "duration dur length 时长 音频时长 持续时间",
    "channel": "channel 声道 通道",
}
_TIMES = ("offset", "end", "duration")
_UNIT = re.compile(r"[(\[](m?s|m?sec|seconds|毫?秒)[)\]]$|_(m?s|m?sec|seconds)$")
_MILLISECONDS = re.compile(r"(ms|msec|毫秒)[)\]]?$")
_OTHER_WIDTH = "more or fewer fields than the first: put quotes around a text with such marks in it"
_SIDES = {"left": "0", "l": "0", "左": "0", "左声道": "0", "right": "1", "r": "1", "右": "1", "右声道": "1"}
_NO_HEADER = ("audio", "text", "speaker")
_MARKS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas"}


def find(source: Path) -> dict[str, Path]:
    """One file."""
    if source.is_dir():
        raise UserError(f"{source} is a folder: name a file of it")
    return {name_of(source): source}


def read(path: Path, account: Account) -> Iterator[Row]:
    """The utterances of a table; a length without a start is the whole recording's, and is not needed."""
    coding = tables.encoding(path)
    mark = tables.delimiter(path, coding)
    with open(path, encoding=coding, newline="") as file:
        head = [fields for _, fields in islice(tables.records(file, mark), 2)]
        names, columns = head[0] or [], _columns(path, head)
        named = columns is not None
        if columns is None:
            names = [f"column {i}" for i, _ in enumerate(names, start=1)]
            columns = dict(zip(_NO_HEADER, range(len(names)), strict=False))
        taken = ", ".join(f"{names[i]!r} is the {role}" for role, i in columns.items())
        which = "the first" if named else "no"
        account.notes.append(
            f"{path} is {coding}, its fields between {_MARKS[mark]}; {which} line names columns: {taken}"
        )
        unused = [name for i, name in enumerate(names) if i not in columns.values()]
        milliseconds = [
            role for role, i in columns.items() if role in _TIMES and _MILLISECONDS.search(_folded(names[i]))
        ]
        channels: set[str] = set()
        file.seek(0)
        for number, fields in islice(tables.records(file, mark), int(named), None):
            if fields is None or len(fields) != len(names):
                kind = "quotes that do not end" if fields is None else _OTHER_WIDTH
                account.leave(f"records with {kind}", path, number, fields)
                continue
            values: dict[str, Any] = {role: fields[i] for role, i in columns.items()}
            values |= {role: _thousandth(values[role]) for role in milliseconds}
            if values.get("offset", "") == "":
                values.pop("duration", None)
            side = values.get("channel", "").strip().lower()
            values["channel"] = _SIDES.get(side, side)
            channels.add(values["channel"])
            account.unused.update(unused)
            yield Row(path, number, **values)
    if "2" in channels and "0" not in channels:
        raise UserError(
            f"{path}: the column {names[columns['channel']]!r} has channels 1 and 2, and ds2 counts from 0: write left "
            "and right"
        )


def _columns(path: Path, head: Sequence[list[str] | None]) -> dict[str, int] | None:
    """What the columns are, by the names in the first record; None where it has none."""
    first, second = [fields or [] for fields in (*head, [])[:2]]
    plain = [re.sub(r"[\s_-]", "", _UNIT.sub("", _folded(cell))) for cell in first]
    found = {}
    for role, known in _NAMES.items():
        there = [name for name in known.split() if name in plain]
        if there:
            found[role] = plain.index(there[0])
    missing = [role for role in ("audio", "text") if role not in found]
    if not missing:
        return found
    expected = "name the columns in the first line, for example path,text,speaker"
    if len(missing) == 1:
        raise UserError(f"{path} line 1 names no column for the {missing[0]} ({', '.join(first)}): {expected}")
    files = [[bool(re.search(r"\.\w{2,5}$", cell.strip())) for cell in fields] for fields in (first, second)]
    if not any(files[0][:1]) and (any(files[0]) or any(files[1])):
        raise UserError(f"{path} does not begin with a recording's path ({', '.join(first)}): {expected}")
    return None


def _folded(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip().casefold()


def _thousandth(value: str) -> float | str:
    """Seconds from milliseconds; what is no number stays as it is and is found later."""
    return float(value) / 1000 if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value) else value
