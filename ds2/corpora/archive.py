"""Archives of public corpora: what they are called, where they lie, how they are recognised."""

from dataclasses import dataclass

# openslr.org and those of its mirrors that are named on it: worldwide, United States, Europe, China.
OPENSLR = (
    "https://www.openslr.org/resources",
    "https://openslr.trmal.net/resources",
    "https://openslr.elda.org/resources",
    "https://openslr.magicdatatech.com/resources",
)


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to download.

    Attributes:
        name: of the file.
        addresses: URLs, tried in order.
        size: its bytes.
        checksum: algorithm of hashlib, colon, hexadecimal digest.
        unpacked: the bytes, about, of what is taken out of it.
    """

    name: str
    addresses: tuple[str, ...]
    size: int
    checksum: str
    unpacked: int


def openslr(resource: int, name: str, size: int, checksum: str, unpacked: int) -> Archive:
    """An archive of OpenSLR.

    Args:
        resource: the number that OpenSLR gives the corpus.
        name: of the file; this and the others as `Archive`.
        size: as `Archive`.
        checksum: as `Archive`.
        unpacked: as `Archive`.
    """
    return Archive(name, tuple(f"{mirror}/{resource}/{name}" for mirror in OPENSLR), size, checksum, unpacked)
