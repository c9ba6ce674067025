"""Archives made by tests, in memory."""

import io
import tarfile
import zipfile
from collections.abc import Iterable

import numpy as np
import soundfile

from tests.conftest import tone


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
    soundfile.write(buffer, np.asarray(tone(seconds)), 16000, format=kind)
    return buffer.getvalue()
