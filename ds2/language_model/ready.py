"""Models that KenLM or others have made."""

import codecs
import shutil
from pathlib import Path
from typing import Literal

from ds2.errors import UserError
from ds2.files import replacing

# KenLM tells its formats apart by their beginnings too, not by their names.
_BINARY = b"mmap lm http://kheafield.com/code format version"
_ARPA = b"\\data\\"


def copy(source: Path, target: Path) -> Literal["arpa", "binary"]:
    """Copies an ARPA file or a KenLM binary; UserError when the file cannot be read, or is neither."""
    try:
        with open(source, "rb") as file:
            beginning = file.read(4096)
    except FileNotFoundError:
        raise UserError(f"lm.path: {source} does not exist") from None
    except OSError as error:
        raise UserError(f"lm.path: {source} cannot be read: {error.strerror}") from None
    if beginning.startswith(b"\x1f\x8b"):
        raise UserError(f"lm.path: {source} is compressed: unpack it with gunzip")
    lines = [line.strip() for line in beginning.removeprefix(codecs.BOM_UTF8).splitlines()]
    if not beginning.startswith(_BINARY) and _ARPA not in lines:
        raise UserError(f"lm.path: {source} is neither a KenLM binary nor an ARPA file")
    with open(source, "rb") as file, replacing(target, "wb") as copied:
        shutil.copyfileobj(file, copied, 1 << 24)
    return "binary" if beginning.startswith(_BINARY) else "arpa"
