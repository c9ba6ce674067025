"""Downloads that survive broken and dripping connections, servers without ranges, wrong bytes and kill -9."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from loguru import logger
from tqdm import tqdm

from ds2.corpora.archive import Archive
from ds2.errors import UserError
from ds2.files import claimed, is_at

_CHUNK = 1 << 20
# Pauses, in seconds, after failures in a row; one more failure, and the next mirror is tried.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
# A connection that brought this much before it broke is no failure in a row.
_PROGRESS = 1 << 20
# Bytes a second under which a connection is given up like a silent one: AISHELL would take 18 days at that rate.
_SLOWEST = 10_000
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
        timeout: seconds of silence, or of less than 10 kB/s, after which a connection counts as broken.
        pauses: seconds to wait after failures in a row.

    Raises:
        UserError: no mirror has it (what came so far is kept), or the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    while not (target.exists() and matches(target, archive.checksum)):
        if target.exists():
            _set_aside(target, part, archive)
        with claimed(part, at_work_on(part.name)) as file:  # others, perhaps of another repository, have to wait
            try:
                if not target.exists():  # another run may have completed it in the meantime
                    _complete(file, archive, timeout, pauses)
                    os.replace(part, target)
                    break
            finally:
                if is_at(part, file) and _size(file) == 0:
                    part.unlink()
    return target


def at_work_on(what: str) -> str:
    """What the log says when another run has to be waited for."""
    return f"another run is at work on {what}: waiting for it"


def matches(path: Path, checksum: str) -> bool:
    """Whether a file has the checksum, written as `Archive.checksum`."""
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file, _bar(f"checking {path.name}", _size(file)) as bar:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest() == expected


def size_of(path: Path) -> int:
    """The bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _bar(title: str, total: int, initial: int = 0) -> tqdm:
    return tqdm(total=total, initial=initial, desc=title, unit="B", unit_scale=True, disable=None, leave=False)


def _set_aside(target: Path, part: Path, archive: Archive) -> None:
    size = size_of(target)
    if size_of(part) < size < archive.size:
        logger.info(f"{target} has {size} of {archive.size} bytes: going on with it")
        os.replace(target, part)
    else:
        wrong = target.with_name(f"{target.name}.wrong")
        logger.warning(f"{target} is not the archive wanted (its checksum is not {archive.checksum}): now {wrong}")
        os.replace(target, wrong)


def _complete(file: IO[bytes], archive: Archive, timeout: float, pauses: Sequence[float]) -> None:
    """Completes a download, with the right checksum, from the first mirror that has it."""
    if _size(file) >= archive.size and _is_right(file, archive):
        return
    reasons = []
    for address in archive.addresses:
        again = True
        try:
            while again:
                again = _size(file) > 0  # what was there may be to blame for a wrong checksum, not this mirror
                _Mirror(address, file, archive, timeout).download(pauses)
                if _is_right(file, archive):
                    return
            raise _UselessError(f"what it sends has not the checksum {archive.checksum}")
        except _UselessError as error:
            reasons.append(f"{urlsplit(address).netloc}: {error}")
            logger.warning(f"{archive.name}: {reasons[-1]}")
    raise UserError(
        f"{archive.name} could not be downloaded ({'; '.join(reasons)}): run the stage again to go on, or download it "
        f"by other means and put it into {Path(file.name).parent} (runtime.download_dir)"
    )


def _is_right(file: IO[bytes], archive: Archive) -> bool:
    """Whether all that came is the archive; if not, it is thrown away."""
    if matches(Path(file.name), archive.checksum):
        return True
    logger.warning(f"{archive.name}: what came of it has not the checksum and is thrown away")
    file.truncate(0)
    return False


@dataclass
class _Mirror:
    """One address and how far its download is."""

    address: str
    file: IO[bytes]
    archive: Archive
    timeout: float
    # Of what came from this address: with it the server itself tells whether its file is still the same.
    validator: str | None = None

    def download(self, pauses: Sequence[float]) -> None:
        """Makes the file as long as the archive; _UselessError: the server lacks it, or too many failures in a row."""
        failures = 0
        while (before := _size(self.file)) < self.archive.size:
            try:
                self._connect(before)
            except (_BrokenError, OSError, http.client.HTTPException) as error:
                if _size(self.file) - before >= _PROGRESS:
                    failures = 0
                if failures == len(pauses):
                    raise _UselessError(_sentence(error)) from None
                logger.info(f"{self.archive.name}: {_sentence(error)}; trying again in {pauses[failures]:g} s")
                time.sleep(pauses[failures])
                failures += 1

    def _connect(self, begun: int) -> None:
        headers = {"User-Agent": "ds2"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
            if self.validator:
                headers["If-Range"] = self.validator
        where = f", from byte {begun} on" if begun else ""
        logger.info(f"downloading {self.address} ({self.archive.size / 1e9:.2f} GB{where})")
        request = urllib.request.Request(self.address, headers=headers)
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                reason = f"the server answers {error.code} {error.reason}"
                raise (_BrokenError if error.code in _BUSY else _UselessError)(reason) from None
        with response:
            self._receive(response, begun)

    def _look_at(self, response: http.client.HTTPResponse, begun: int) -> tuple[int, int]:
        """The position of the first byte that an answer sends, and how many of the `begun` that are there stay.

        Found before a byte is written: gigabytes do not give way to a web page or another file.
        """
        if response.headers.get_content_type() == "text/html":
            raise _UselessError("the server sends a web page")
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        # What an If-Range may hold: a strong ETag, else the date.
        etag = response.headers.get("ETag") or "W/"
        validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
        first, kept = 0, begun
        if response.status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != begun:
                raise _UselessError("the server sends another part of the file than asked for")
            total = int(found[2]) if found[2] != "*" else None
            first = begun
        elif self.validator not in (None, validator):
            kept = 0  # the file has changed since the last connection
        if total not in (None, self.archive.size):
            raise _UselessError(f"the server's file has {total} bytes, not {self.archive.size}")
        self.validator = validator
        return first, kept

    def _receive(self, response: http.client.HTTPResponse, begun: int) -> None:
        size = self.archive.size
        have, kept = self._look_at(response, begun)
        if kept < begun:
            self.file.truncate(kept)
        with _bar(f"downloading {self.archive.name}", size, have) as bar:
            for chunk in self._chunks(response):
                have += len(chunk)
                if have > size:
                    self.file.truncate(kept)
                    raise _UselessError(f"the server sends more than {size} bytes")
                # A server without ranges sends once more what is there: it is kept, should this connection break too.
                _write(self.file, chunk[max(0, len(chunk) - (have - kept)) :])
                bar.update(len(chunk))
                tenth = 10 * have // size
                if bar.disable and tenth > 10 * (have - len(chunk)) // size:
                    logger.info(f"{self.archive.name}: {10 * tenth}% of {size / 1e9:.2f} GB")
        if have < size:
            raise _BrokenError(f"the connection broke off after {have} of {size} bytes")

    def _chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        since, came = time.monotonic(), 0
        # read1: what has come, without waiting for a whole chunk that a broken connection would take along.
        while chunk := response.read1(_CHUNK):
            yield chunk
            came += len(chunk)
            if (seconds := time.monotonic() - since) >= self.timeout:
                if came < _SLOWEST * seconds:
                    raise _BrokenError(f"only {came / seconds / 1000:.1f} kB/s came for {seconds:.0f} s")
                since, came = time.monotonic(), 0


def _write(file: IO[bytes], chunk: bytes) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise UserError(f"{file.name} cannot be written: {error.strerror}; what came so far is kept") from None


def _sentence(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__
