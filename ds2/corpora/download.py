"""Downloads that survive broken connections, servers without ranges, wrong bytes and kill -9."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from loguru import logger
from tqdm import tqdm

from ds2.corpora.archive import Archive
from ds2.errors import UserError

_CHUNK = 1 << 20
# Pauses, in seconds, after failures in a row; one more failure, and the next mirror is tried.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
# A connection that brought this much before it broke is no failure in a row.
_PROGRESS = 1 << 20
_BUSY = (408, 429, 500, 502, 503, 504)


class _BrokenError(Exception):
    """The connection failed; another one may not."""


class _UselessError(Exception):
    """This mirror will not do."""


def fetch(archive: Archive, folder: Path, timeout: float = 60.0, pauses: Sequence[float] = PAUSES) -> Path:
    """Sees to it that an archive lies in a folder, complete and with the right checksum.

    A file of its name that is there already is used; a shorter one, and what an earlier download left (`NAME.part`),
    is gone on with. A file of its name with another content is put aside as `NAME.wrong`.

    Args:
        archive: what is wanted.
        folder: where to, made if need be.
        timeout: seconds of silence after which a connection counts as broken.
        pauses: seconds to wait after failures in a row.

    Returns:
        The archive's path.

    Raises:
        UserError: no mirror has it (what came so far is kept), or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if target.exists():
        if matches(target, archive.checksum):
            return target
        _set_aside(target, part, archive)
    if _size(part) == archive.size and matches(part, archive.checksum):
        os.replace(part, target)
        return target
    reasons = []
    for address in archive.addresses:
        try:
            _fetch_from(address, part, archive, timeout, pauses)
        except _UselessError as error:
            reasons.append(f"{urlsplit(address).netloc}: {error}")
            logger.warning(f"{archive.name}: {reasons[-1]}")
            continue
        os.replace(part, target)
        return target
    raise UserError(
        f"{archive.name} could not be downloaded ({'; '.join(reasons)}): run the stage again to go on, or download it "
        f"by other means and put it into {folder} (runtime.download_dir)"
    )


def matches(path: Path, checksum: str) -> bool:
    """Whether a file has the checksum, written as `Archive.checksum`."""
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with _bar(path.name, _size(path), 0, "checking") as bar, open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest() == expected


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _bar(name: str, total: int, initial: int, what: str) -> tqdm:
    return tqdm(
        total=total, initial=initial, desc=f"{what} {name}", unit="B", unit_scale=True, disable=None, leave=False
    )


def _set_aside(target: Path, part: Path, archive: Archive) -> None:
    if _size(part) < _size(target) < archive.size:
        logger.info(f"{target} has {_size(target)} of {archive.size} bytes: going on with it")
        os.replace(target, part)
    else:
        wrong = target.with_name(f"{target.name}.wrong")
        logger.warning(f"{target} is not the archive wanted (its checksum is not {archive.checksum}): now {wrong}")
        os.replace(target, wrong)


def _fetch_from(address: str, part: Path, archive: Archive, timeout: float, pauses: Sequence[float]) -> None:
    """Completes `part` from one mirror, with the right checksum."""
    for _ in range(2):
        begun = _size(part) > 0
        _Mirror(address, part, archive, timeout).download(pauses)
        if matches(part, archive.checksum):
            return
        part.unlink()
        if not begun:
            break
        # What was there may be to blame, not this mirror.
        logger.warning(f"{archive.name}: what was there of it is damaged; downloading it from the start")
    raise _UselessError(f"what it sends has not the checksum {archive.checksum}")


class _Mirror:
    """One address and how far its download is."""

    def __init__(self, address: str, part: Path, archive: Archive, timeout: float) -> None:
        self._address = address
        self._part = part
        self._archive = archive
        self._timeout = timeout
        # Of what came from this address: with it the server itself tells whether its file is still the same.
        self._validator: str | None = None

    def download(self, pauses: Sequence[float]) -> None:
        """Makes `part` as long as the server says.

        Raises:
            _UselessError: the server does not have it, or too many failures in a row.
        """
        failures = 0
        while True:
            before = _size(self._part)
            try:
                self._connect(before)
            except (_BrokenError, OSError, http.client.HTTPException) as error:
                if _size(self._part) - before >= _PROGRESS:
                    failures = 0
                if failures == len(pauses):
                    raise _UselessError(_sentence(error)) from None
                logger.info(f"{self._archive.name}: {_sentence(error)}; trying again in {pauses[failures]:g} s")
                time.sleep(pauses[failures])
                failures += 1
            else:
                return

    def _connect(self, begun: int) -> None:
        headers = {"User-Agent": "ds2"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
            if self._validator:
                headers["If-Range"] = self._validator
        where = f", from byte {begun} on" if begun else ""
        logger.info(f"downloading {self._address} ({self._archive.size / 1e9:.2f} GB{where})")
        request = urllib.request.Request(self._address, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=self._timeout)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error, begun)
            return
        with response:
            self._receive(response, begun)

    def _refused(self, error: urllib.error.HTTPError, begun: int) -> None:
        """Takes an error status: returns if it means that there is no more to send."""
        if begun and error.code == 416:
            return
        reason = f"the server answers {error.code} {error.reason}"
        raise _BrokenError(reason) if error.code in _BUSY else _UselessError(reason)

    def _receive(self, response: http.client.HTTPResponse, begun: int) -> None:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        if response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != begun:
                raise _UselessError("the server sends another part of the file than asked for")
            total = int(found[2]) if found[2] != "*" else None
        elif begun:
            # All from the start: no ranges here, or the file has changed. Gigabytes do not give way to an error page.
            if total not in (None, self._archive.size):
                raise _UselessError(f"the server's file has {total} bytes, not {self._archive.size}")
            begun = 0
        self._validator = _validator(response)
        with (
            open(self._part, "ab" if begun else "wb") as file,
            _bar(self._archive.name, total or self._archive.size, begun, "downloading") as bar,
        ):
            # read1: what has come, without waiting for a whole chunk that a broken connection would take along.
            while chunk := response.read1(_CHUNK):
                _write(file, chunk)
                bar.update(len(chunk))
        if total is not None and _size(self._part) != total:
            raise _BrokenError(f"the connection broke off after {_size(self._part)} of {total} bytes")


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What an If-Range may hold: a strong ETag, else the date."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified")


def _write(file, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise UserError(f"{file.name} cannot be written: {error.strerror}; what came so far is kept") from None


def _sentence(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__
