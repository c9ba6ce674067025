"""The true length of an audio file, whatever its container: one place that every reader asks.

Where a container states its length or its end, a file that lacks a part, or continues after its end, is refused;
where it states nothing, all of it counts. docs/own-data.md has the table.
"""

from collections.abc import Callable
from pathlib import Path

from ds2.containers import chunked, films, flac, headed, matroska, mp4, mpeg, ogg
from ds2.containers.extent import AudioError, Extent, Source

# First bytes, and what knows the container.
_KINDS: dict[bytes, Callable[[Source], Extent]] = {
    b"fLaC": flac.extent,
    b"OggS": ogg.extent,
    b".snd": headed.au,
    b"dns.": headed.au,
    b"NIST": headed.sphere,
    b"2BIT": headed.avr,
    b"Crea": headed.voc,
    b"RF64": chunked.wav,
    b"BW64": chunked.wav,
    b"RIFX": chunked.wav,
    b"riff": chunked.wave64,
    b"caff": chunked.caf,
    b"wvpk": films.wavpack,
    b"#!AM": films.amr,
    b"FLV\1": films.flv,
    films.ASF[:4]: films.asf,
    b"\x1a\x45\xdf\xa3": matroska.extent,
}
# What stands at the ninth byte of files that begin with RIFF or FORM.
_FORMS: dict[bytes, Callable[[Source], Extent]] = {
    b"WAVE": chunked.wav,
    b"AVI ": films.avi,
    b"AIFF": chunked.aiff,
    b"AIFC": chunked.aiff,
    b"8SVX": chunked.svx,
    b"16SV": chunked.svx,
}
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_MOST_OF_FTYP = 1 << 12
_HTK = b"\0\2\0\0"  # bytes of a sample, kind of parameters: waveform


def look(path: Path | str) -> Extent | None:
    """What a file's container states of its length, compared with the bytes that are there; None: of no known kind.

    Raises:
        AudioError: a part is missing, it continues after its end, or it is damaged.
        OSError: it cannot be opened.
    """
    source = Source(path)
    try:
        return _known(source)
    finally:
        source.close()


def _known(source: Source) -> Extent | None:
    head = source.head
    if (by := _KINDS.get(head[:4])) is not None:
        return by(source)
    if head[:4] in (b"RIFF", b"FORM") and (by := _FORMS.get(head[8:12])) is not None:
        return by(source)
    second = int.from_bytes(head[:4], "big") + 4  # where a box behind the first one has its name
    if head[4:8] in _BOXES or (second < _MOST_OF_FTYP and source.at(second, 4) in _BOXES):
        return mp4.extent(source)
    start = source.behind_id3() if head[:3] == b"ID3" else 0
    if start and source.at(start, 4) == b"fLaC":
        return flac.extent(source, start)
    if start and source.at(start, 4) in (b"RIFF", b"FORM"):
        raise AudioError("a tag (ID3) stands before its header, where only MP3 and FLAC may have one")
    if mpeg.begins(source, start):
        return mpeg.extent(source, start)
    if head[8:12] == _HTK:
        return headed.htk(source)
    return None
