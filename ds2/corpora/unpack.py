"""Unpacking that writes into one folder and nowhere else."""

import functools
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from ds2.errors import UserError

# Where a member of an archive goes below the folder, given its name; None: it is left out.
Place = Callable[[PurePosixPath], PurePosixPath | None]

_TAR = (".tar.gz", ".tgz")
# What tarfile and zipfile raise over bytes that they cannot make sense of, besides OSError.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, NotImplementedError, UnicodeError),
)


class _RefusedError(Exception):
    """A member that no honest archive has."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A member that is not a folder. `link` is a symbolic link's target; `content` of None: neither file nor link."""

    name: str
    content: Callable[[], IO[bytes]] | None
    link: str | None = None


def unpack(archive: Path, folder: Path, place: Place, most: int, *, links_as_text: bool = False) -> None:
    """Takes files out of a .tar.gz, .tgz or .zip. A tar in a tar is unpacked into the folder in which it lies.

    Members that are absolute, lead upwards, or are wanted but neither files nor folders are refused: no link or device
    is ever made. Nothing is kept of owners and permissions.

    Args:
        archive: the file, its checksum verified.
        folder: a new one, so that nothing is in it but what comes from here.
        place: where each member goes.
        most: bytes to write; an archive that holds more is refused, before it fills the disk.
        links_as_text: a symbolic link becomes a text file that holds its target, instead of being refused.

    Raises:
        UserError: the archive is damaged or hostile, or the disk is full. The folder then holds a part of it.
    """
    written = 0
    try:
        for member in _members(archive):
            path = PurePosixPath(member.name)  # which must stay below the folder
            if path.is_absolute() or ".." in path.parts or "\0" in member.name:
                raise _RefusedError(f"it holds {member.name!r}")
            goal = place(path)
            if goal is not None:
                written = _write(member, folder / goal, written, most, links_as_text)
    except _DAMAGE as error:
        raise UserError(f"{archive} is damaged ({error}): remove it and run the stage again") from None
    except _RefusedError as error:
        raise UserError(f"{archive} is not unpacked: {error}, which no archive of a corpus should hold") from None
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked: {error.strerror or error}") from None


def _write(member: _Member, path: Path, written: int, most: int, links_as_text: bool) -> int:
    """Makes a file of a member, after so many bytes of others; returns how many it is then."""
    if member.link is not None and not links_as_text:
        raise _RefusedError(f"it holds {member.name!r}, a link to {member.link!r}")
    if member.link is None and member.content is None:
        raise _RefusedError(f"it holds {member.name!r}, which is neither a file nor a folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.content is None:
        return written + path.write_bytes(os.fsencode(member.link))
    with member.content() as source, open(path, "wb") as file:
        while chunk := source.read(1 << 20):
            written += len(chunk)
            if written > most:
                raise _RefusedError(f"it holds more than {most} bytes")
            file.write(chunk)
    return written


def _members(archive: Path) -> Iterator[_Member]:
    if archive.name.endswith(".zip"):
        yield from _zip_members(archive)
        return
    size, title = archive.stat().st_size, f"unpacking {archive.name}"
    with (
        open(archive, "rb") as file,
        tqdm.wrapattr(file, "read", total=size, desc=title, disable=None, leave=False) as stream,
    ):
        for member in _tar_members(stream):
            if member.content is None or not member.name.endswith(_TAR):
                yield member
                continue
            folder = PurePosixPath(member.name).parent
            for inner in _tar_members(member.content()):
                yield _Member(str(folder / inner.name), inner.content, inner.link)


def _tar_members(stream: IO[bytes]) -> Iterator[_Member]:
    # Read as a stream: the archives within AISHELL's are never written to the disk.
    with tarfile.open(fileobj=stream, mode="r|gz") as tar:
        for entry in tar:
            if entry.isdir():
                continue
            content = functools.partial(tar.extractfile, entry) if entry.isreg() else None
            yield _Member(entry.name, content, entry.linkname if entry.issym() else None)


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        # Not is_dir(), which fails over an empty name.
        entries = [entry for entry in file.infolist() if not entry.filename.endswith("/")]
        for entry in tqdm(entries, desc=f"unpacking {archive.name}", unit=" files", disable=None, leave=False):
            mode, encrypted = entry.external_attr >> 16, entry.flag_bits & 1
            if stat.S_ISLNK(mode) and not encrypted:
                yield _Member(entry.filename, None, os.fsdecode(file.read(entry)))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG) and not encrypted:
                yield _Member(entry.filename, functools.partial(file.open, entry))
            else:
                yield _Member(entry.filename, None)
