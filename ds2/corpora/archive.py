"""Archives of public corpora: what they are called, where they lie, how they are recognised.

No network was at hand to download them. Names, sizes and checksums are those that OpenSLR and public scripts give
(Kaldi's for the sizes of AISHELL, THCHS-30, Free ST and LibriSpeech, PaddleSpeech's for MD5, torchaudio's for
SHA-256); for the MD5 of Free ST one script was found, by the author of PaddlePaddle-DeepSpeech, for all others
several that agree. What they hold unpacked is computed from the hours of 16-bit audio.
"""

from dataclasses import dataclass

# openslr.org and the mirrors that its pages name: two in Europe, one in China.
OPENSLR = (
    "https://www.openslr.org/resources",
    "https://openslr.trmal.net/resources",
    "https://openslr.elda.org/resources",
    "https://openslr.magicdatatech.com/resources",
)


@dataclass(frozen=True, slots=True)
class Archive:
    """A file to download."""

    name: str
    addresses: tuple[str, ...]  # URLs, tried in order
    size: int  # bytes
    checksum: str  # algorithm of hashlib, colon, hexadecimal digest
    unpacked: int  # bytes, about, of what is taken out of it


def openslr(resource: int, name: str, size: int, checksum: str, unpacked: int) -> Archive:
    """An archive of OpenSLR, which gives the corpus the number `resource`; the rest as `Archive`."""
    return Archive(name, tuple(f"{mirror}/{resource}/{name}" for mirror in OPENSLR), size, checksum, unpacked)
