"""Kaldi's data directories: wav.scp and text, with segments, utt2spk and reco2file_and_channel where they are there."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ds2.converting.rows import Account, Row, lines
from ds2.errors import UserError

_TABLES = ("wav.scp", "text", "segments", "utt2spk", "reco2file_and_channel")
# Recordings that are files of their own have one channel: reco2file_and_channel says where that came from.
_JOINED = """
    SELECT text.line, text.id, text.rest, segments.line, segments.rest, wav.line, wav.rest, speaker.rest, side.rest
    FROM "text" AS text
    LEFT JOIN "segments" AS segments ON segments.id = text.id
    LEFT JOIN "wav.scp" AS wav ON wav.id = CASE WHEN ? THEN segments.first ELSE text.id END
    LEFT JOIN "utt2spk" AS speaker ON speaker.id = text.id
    LEFT JOIN "reco2file_and_channel" AS side ON side.id = wav.id
        AND wav.rest IN (SELECT rest FROM "wav.scp" GROUP BY rest HAVING count(*) > 1)
    ORDER BY text.line
"""


def find(source: Path) -> dict[str, Path]:
    """A data directory, or the folder of several, such as data with train, dev and test."""
    found = [source] if (source / "wav.scp").exists() else [path.parent for path in sorted(source.glob("*/wav.scp"))]
    if not found:
        raise UserError(f"{source} holds no wav.scp, and no folder in it does: name a data directory of Kaldi's")
    return {Path(os.path.abspath(folder)).name: folder for folder in found}


def read(path: Path, account: Account) -> Iterator[Row]:
    """The utterances of a data directory, in the order of text."""
    for name in _TABLES[:2]:
        if not (path / name).exists():
            raise UserError(f"{path} holds no {name}, which a data directory of Kaldi's has")
    # In a file of its own that SQLite removes: tables of millions of lines need not fit into the memory.
    with closing(sqlite3.connect("")) as tables:
        for name in _TABLES:
            _load(tables, path / name, account)
        yield from _joined(tables, path, account)
        _unused(tables, path, account)


def _load(tables: sqlite3.Connection, file: Path, account: Account) -> None:
    tables.execute(f'CREATE TABLE "{file.name}" (line INTEGER PRIMARY KEY, id TEXT UNIQUE, rest TEXT, first TEXT)')
    for number, raw in lines(file, account) if file.exists() else ():
        fields = [field.decode("utf-8") for field in raw.split(None, 1)]
        rest = fields[1] if len(fields) > 1 else ""
        values = (number, fields[0], rest, rest.encode().split(None, 1)[0].decode() if rest else "")
        if not tables.execute(f'INSERT OR IGNORE INTO "{file.name}" VALUES (?, ?, ?, ?)', values).rowcount:
            account.leave(f"lines of {file.name} whose first word is an earlier line's too", file, number, fields[0])


def _joined(tables: sqlite3.Connection, folder: Path, account: Account) -> Iterator[Row]:
    segmented = (folder / "segments").exists()
    zero = tables.execute("SELECT 1 FROM reco2file_and_channel WHERE rest GLOB '*[ \t]0'").fetchone()
    first = 0 if zero else 1
    for line, name, text, cut_line, cut, wav_line, wav, speaker, side in tables.execute(_JOINED, (segmented,)):
        if not text:
            account.leave("utterances without a transcript", folder / "text", line, name)
        elif segmented and cut is None:
            account.leave("transcripts of utterances that are not in segments", folder / "text", line, name)
        elif wav is None:
            file, number = ("segments", cut_line) if segmented else ("text", line)
            account.leave("utterances of recordings that are not in wav.scp", folder / file, number, name)
        else:
            side = side and side.split()[-1]
            channel = int(side) - first if side and side.isdecimal() else {"A": 0, "B": 1}.get(side, side)
            if speaker == name:  # Kaldi's way to say that nobody knows
                account.unused["speakers that are the utterances themselves"] += 1
                speaker = None
            row = Row(folder / "wav.scp", wav_line, wav, text, speaker, channel=channel)
            yield _piece(row, folder / "segments", cut_line, cut) if segmented else row


def _piece(recording: Row, file: Path, line: int, cut: str) -> Row:
    """The row of a line of segments: recording, begin, end (-1: the recording's) and perhaps the channel, from 0."""
    _, begin, end, *channel = [*cut.split(), "", ""]  # what is missing is no time
    begin, end = begin or "missing", end or "missing"
    try:
        open_ended = float(end) == -1
    except ValueError:
        open_ended = False
    channel = channel[0] if len(channel) > 2 else recording.channel
    return replace(recording, file=file, line=line, offset=begin, end=None if open_ended else end, channel=channel)


def _unused(tables: sqlite3.Connection, folder: Path, account: Account) -> None:
    """Names the utterances that have no transcript, and the recordings that no segment is of."""
    named = {"segments": 'SELECT id FROM "text"', "wav.scp": "SELECT first FROM segments"}
    segmented = (folder / "segments").exists()
    if not segmented:
        named = {"wav.scp": named["segments"]}
    for file, ids in named.items():
        reason = "recordings that no segment is of" if segmented and file == "wav.scp" else "utterances not in text"
        for line, name in tables.execute(f'SELECT line, id FROM "{file}" WHERE id NOT IN ({ids}) ORDER BY line'):
            account.leave(reason, folder / file, line, name)
