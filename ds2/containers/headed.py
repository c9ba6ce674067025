"""The true length of files with one header and then nothing but samples: AU, NIST SPHERE, VOC, AVR, HTK."""

import struct

from ds2.containers.extent import (
    NOTHING_STATED,
    SLACK_S,
    AudioError,
    Extent,
    Source,
    cut_off,
    exactly,
    pcm,
    plain,
    refuse_what_follows,
    refuse_what_is_missing,
)

# AU's encodings: bits of a sample.
_AU_BITS = {1: 8, 2: 8, 3: 16, 4: 24, 5: 32, 6: 32, 7: 64, 23: 4, 25: 3, 26: 5, 27: 8}
_AU_INTEGERS = (1, 2, 3, 4, 5, 27)
_SPHERE_CODINGS = ("pcm", "ulaw", "mu-law", "alaw")
# VOC's codecs: bits of a sample.
_VOC_BITS = {0: 8, 4: 16, 6: 8, 7: 8}


def au(source: Source) -> Extent:
    """Sun's and NeXT's .au; a size of 0 or FFFFFFFF is one that was not known."""
    order = "big" if source.head[:4] == b".snd" else "little"
    start, size, encoding, rate, channels = (source.number(at, 4, order) for at in range(4, 24, 4))
    patches = {} if size else {8: b"\xff" * 4}
    if size in (0, 0xFFFFFFFF):
        size = max(0, source.size - start)
    bits = _AU_BITS.get(encoding, 0) * channels
    if not bits or not rate:
        raise AudioError("its header does not say which format its samples have")
    _refuse_another_end(source, start + size, rate * bits // 8)
    samples = size * 8 // bits
    if encoding in _AU_INTEGERS:
        return pcm(rate, min(samples, max(0, source.size - start) * 8 // bits), channels, patches)
    return plain(rate, samples, patches)


def sphere(source: Source) -> Extent:
    """NIST SPHERE: a header of text."""
    fields: dict[str, str] = {}
    length = source.at(8, 8).strip()
    if not length.isdigit():
        raise AudioError("its header does not say how long it is itself")
    for line in source.at(16, int(length) - 16).decode("latin-1").split("\n"):
        name, _, rest = line.partition(" ")
        fields.setdefault(name, rest.partition(" ")[2].strip())
        if name == "end_head":
            break
    coding = fields.get("sample_coding", "pcm")
    if coding not in _SPHERE_CODINGS:
        raise AudioError(f"its samples are coded as {coding[:40]}, which cannot be decoded")
    numbers = [fields.get(name, default) for name, default in (
        ("sample_rate", ""), ("channel_count", "1"), ("sample_n_bytes", "2" if coding == "pcm" else "1"))]  # fmt: skip
    if not all(number.isdigit() and int(number) for number in numbers):
        raise AudioError("its header does not say which format its samples have")
    rate, channels, width = map(int, numbers)
    if "sample_count" not in fields:
        return NOTHING_STATED
    if not fields["sample_count"].isdigit():
        raise AudioError("its header does not say how many samples it has")
    samples = int(fields["sample_count"])
    end = int(length) + samples * channels * width
    _refuse_another_end(source, end, rate * channels * width)
    return pcm(rate, samples, channels) if end <= source.size else plain(rate, samples)


def voc(source: Source) -> Extent:
    """Creative's VOC: blocks, of which 0 is the end."""
    position, seconds, known = source.number(20, 2, "little"), 0.0, True
    rate, bits = 0, 0
    while position < source.size:
        kind = source.at(position, 1)[0]
        if kind == 0:
            position += 1
            break
        size = source.number(position + 1, 3, "little")
        head = source.at(position + 4, 12).ljust(12, b"\0")
        if kind > 9 or (kind in (1, 9) and size == 0):
            return _voc_unfinished(source, kind)
        if kind == 1 and head[0] < 256:
            rate, bits = 1_000_000 // (256 - head[0]), _VOC_BITS.get(head[1], 0)
        if kind == 9:
            rate, bits = int.from_bytes(head[:4], "little"), head[4] * head[5]
        extra = {1: 2, 9: 12}.get(kind, 0)
        if kind in (1, 2, 9):
            known = known and bool(bits)
            seconds += (size - extra) * 8 / bits / rate if bits and rate else 0.0
        if kind == 3:
            seconds += (int.from_bytes(head[:2], "little") + 1) / max(1.0, 1_000_000 / (256 - head[2]))
        position += 4 + size
    if position > source.size + SLACK_S * rate * bits / 8:
        raise cut_off(f"its blocks promise {position} bytes, but it has {source.size}")
    refuse_what_follows(source, position, int(SLACK_S * rate * bits / 8), source.head[:8])
    return exactly(seconds) if known else NOTHING_STATED


def _voc_unfinished(source: Source, kind: int) -> Extent:
    if kind > 9:
        raise AudioError("it is damaged: a block of a kind that VOC does not have")
    return NOTHING_STATED


def avr(source: Source) -> Extent:
    """Audio Visual Research: 128 bytes, then samples."""
    stereo, bits = source.number(12, 2), source.number(14, 2)
    rate, samples = source.number(22, 4) & 0xFFFFFF, source.number(26, 4)
    if not rate or not bits:
        raise AudioError("its header does not say which format its samples have")
    width = (2 if stereo else 1) * bits // 8
    _refuse_another_end(source, 128 + samples * width, rate * width)
    return plain(rate, samples)


def htk(source: Source) -> Extent:
    """HTK's waveforms: 12 bytes, then samples of two bytes."""
    samples, period = struct.unpack(">II", source.head[:8])
    rate = 10_000_000 / max(1, period)
    _refuse_another_end(source, 12 + 2 * samples, int(2 * rate))
    return exactly(samples / rate)


def _refuse_another_end(source: Source, end: int, bytes_per_second: int) -> None:
    slack = int(SLACK_S * bytes_per_second)
    refuse_what_is_missing(source, end, slack)
    refuse_what_follows(source, end, slack, source.head[:4])
