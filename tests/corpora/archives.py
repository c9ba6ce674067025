"""Archives made by tests, in memory."""

import hashlib
import io
import itertools
import re
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import soundfile

from ds2.corpora import musan
from tests.conftest import tone

# No two recordings are the same.
_NUMBERS = itertools.count()


def tar_gz(*members: tuple[str, bytes] | tarfile.TarInfo, folders: Iterable[str] = ()) -> bytes:
    """A .tar.gz of (name, content) and of ready members without content, such as links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in folders:
            tar.addfile(special(name, tarfile.DIRTYPE))
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member that is no file: a link, a folder, a device."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zipped(*members: tuple[str, bytes] | tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A .zip of names, or ready headers, and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for header, content in members:
            file.writestr(header, content)
    return buffer.getvalue()


def recording(seconds: float = 1.0, kind: str = "WAV") -> bytes:
    """A tone as an audio file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(seconds, name=str(next(_NUMBERS))), 16000, format=kind)
    return buffer.getvalue()


def offer_musan(repository: Path) -> None:
    """Puts a tiny MUSAN where a user would put the real one, and makes its checksum the right one."""
    content = tar_gz(("musan/noise/a.wav", recording(2.0)), ("musan/music/b.wav", b""))
    (repository / "dataset/downloads").mkdir()
    (repository / "dataset/downloads" / musan.ARCHIVE.name).write_bytes(content)
    path = repository / "ds2/corpora/musan.py"
    source, count = re.subn(r"md5:\w+", f"md5:{hashlib.md5(content).hexdigest()}", path.read_text(encoding="utf-8"))
    assert count == 1
    path.write_text(source, encoding="utf-8")
