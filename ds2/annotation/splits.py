"""Which part an utterance belongs to: by its file's name, dataset/annotation/splits.tsv, or a hash of its speaker."""

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2 import layout, params
from ds2.annotation import files
from ds2.annotation.files import Source
from ds2.data import parts
from ds2.data.manifest import Utterance
from ds2.data.parts import count
from ds2.errors import UserError
from ds2.files import replacing

_COLUMNS = ["speaker", "part"]
_HEAD = (
    "# The part of the data that each speaker belongs to: train, dev or test. Keep this file in git.\n"
    "# python -m ds2 split adds new speakers and moves nobody; the stage manifest reads it. You may edit it.\n"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How the utterances of files without a part in their name are divided."""

    dev_fraction: float
    test_fraction: float  # 0 where there is a test file
    own: frozenset[str]  # parts that have annotation files of their own
    placed: Mapping[str, str]  # parts of speakers, by splits.tsv

    @classmethod
    def of(cls, sources: Iterable[Source], manifest: params.ManifestSettings, placed: Mapping[str, str]) -> "Rule":
        """The rule for these annotation files."""
        own = frozenset(source.split for source in sources) - {"train"}
        return cls(manifest.dev_fraction, 0.0 if "test" in own else manifest.test_fraction, own, placed)

    def divides(self, source: Source) -> bool:
        """Whether a file's utterances are divided; splits.tsv leaves built-in corpora with parts of their own alone."""
        return source.split == "train" and not (self.placed and source.fixed)

    def part(self, source: Source, utterance: Utterance) -> str:
        """The part of an utterance of a file."""
        if not self.divides(source):
            return source.split
        return self.placed.get(utterance.speaker or "") or self._hashed(utterance)

    def _hashed(self, utterance: Utterance) -> str:
        """Adding data moves no utterance, and a fraction leaves the other held-out part as it is."""
        if _depth("dev", utterance) < self.dev_fraction:
            return "dev"
        return "test" if _depth("test", utterance) <= self.test_fraction else "train"

    def asked(self) -> dict[str, float]:
        """The share of the divided data that each part should have; empty where nothing is to be held out."""
        held_out = {"dev": self.dev_fraction, "test": self.test_fraction}
        return {"train": 1 - sum(held_out.values())} | held_out if any(held_out.values()) else {}


def _depth(part: str, utterance: Utterance) -> float:
    """The fraction, 0 to 1, above which a part takes an utterance: a hash of its speaker, else of its path."""
    key = f"speaker {utterance.speaker}" if utterance.speaker else f"audio {utterance.audio_filepath}"
    place = int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big") / 2**64
    return place if part == "dev" else 1.0 - place


def remedy(part: str, divided: Sequence[Utterance], rule: Rule) -> str:
    """What to do about an empty part, given all utterances that are divided."""
    file = f"my.{part}.txt"
    if part in rule.own:
        return f"no line of its files is accepted: mend them, {layout.REJECTED} says how"
    if not divided:
        return "add annotations that are not called dev or test" if part == "train" else f"add a file {file}"
    if sentence := too_few_speakers(divided, rule):
        return sentence
    if rule.placed:
        return f"give it a speaker in {layout.SPLITS_FILE}" + (f", or add a file {file}" * (part != "train"))
    named = all(u.speaker for u in divided)
    if part == "train":
        fewer = "lower manifest.dev_fraction and manifest.test_fraction, or add annotations"
        return f"python -m ds2 split divides the speakers as evenly as it can; or {fewer}" if named else fewer
    others = f"add a file {file}" + (", or drop the speaker column" * named)
    name = f"manifest.{part}_fraction"
    given, other = (rule.dev_fraction, rule.test_fraction)[:: 1 if part == "dev" else -1]
    split = "python -m ds2 split gives it whole speakers; or " if named and given > 0 else ""
    depths = [_depth(part, u) for u in divided]
    enough = math.floor(min(depths) * 1000 + 1) / 1000
    held_out = sum(depth < enough for depth in depths)
    if held_out == len(depths) or other + enough >= 1:
        return f"{split}{others}, since no value of {name} holds out some but not all"
    return (
        f"{split}raise {name} from {given:g} to {enough:g}, which holds out {held_out} of {len(depths)} utterances, "
        f"or {others}"
    )


def too_few_speakers(divided: Collection[Utterance], rule: Rule) -> str | None:
    """What is wrong, and what to do, where all utterances name speakers, but fewer than there are parts; else None."""
    speakers = {u.speaker for u in divided}
    wanted = [part for part in ("dev", "test") if part not in rule.own]
    if None in speakers or len(speakers) > len(wanted):
        return None
    files = " and ".join(f"my.{part}.txt" for part in wanted)
    return (
        f"the {len(divided)} utterances to divide are of {count(len(speakers), 'speaker')}, too few to hold out whole "
        f"speakers as {' and '.join(wanted)} data: add {files}, or drop the speaker column, which divides single "
        "utterances (the score is then of voices that the model was trained on)"
    )


def notes(divided: Mapping[str, Sequence[Utterance]], rule: Rule) -> list[str]:
    """Sentences on speakers whom splits.tsv or the data lack, and on a hash that misses a share by more than half."""
    speakers = {u.speaker for utterances in divided.values() for u in utterances if u.speaker}
    lacking, in_vain = sorted(speakers - rule.placed.keys()), rule.placed.keys() - speakers
    found = []
    if rule.placed and lacking:
        found.append(
            f"{layout.SPLITS_FILE} lacks {count(len(lacking), 'speaker')} (first: {lacking[0]}): a hash of the name "
            "places them until python -m ds2 split does"
        )
    if in_vain:
        found.append(f"{layout.SPLITS_FILE} has {count(len(in_vain), 'speaker')} without an utterance in the data")
    shares = parts.shares(divided)
    far = [part for part, share in rule.asked().items() if abs(shares.get(part, share) - share) > share / 2]
    if far and len(speakers) > len(layout.SPLITS) and not rule.placed:
        found.append(
            f"the hash of the speakers' names misses by far the share asked of {' and '.join(far)}: python -m ds2 "
            "split divides whole speakers more evenly"
        )
    return found


def write(path: Path, placed: Mapping[str, str]) -> None:
    """Writes the parts of speakers, in this order."""
    with replacing(path) as file:
        file.write(_HEAD)
        file.writelines("\t".join(row) + "\n" for row in (_COLUMNS, *placed.items()))


def read(path: Path) -> dict[str, str]:
    """The parts of speakers, in the file's order; empty where there is no file.

    A byte order mark, CRLF and blank lines do no harm.

    Raises:
        UserError: a line is not speaker, tab, part, or a speaker has two; it names the line.
    """
    if not path.exists():
        return {}
    rows: list[tuple[str, list[str]]] = []
    for number, raw in files.raw_lines(path):
        where = f"{path} line {number}"
        line = _decoded(where, raw)
        if line.strip() and (rows or not line.startswith("#")):
            rows.append((where, [field.strip() for field in line.split("\t")]))
    if not rows or rows[0][1] != _COLUMNS:
        where = rows[0][0] if rows else f"{path} line 1"
        raise UserError(f"{where}: the names of the columns should stand here: speaker, tab, part")
    found: dict[str, str] = {}
    for where, fields in rows[1:]:
        if len(fields) != 2:
            raise UserError(f"{where}: {len(fields) - 1 or 'no'} tabs instead of one: a line is speaker, tab, part")
        speaker, part = fields
        if not speaker:
            raise UserError(f"{where}: there is nothing before the tab: a line is speaker, tab, part")
        if part not in layout.SPLITS:
            raise UserError(f"{where}: {part!r} is not a part: it should be train, dev or test")
        if speaker in found:
            raise UserError(f"{where}: {speaker} is in {found[speaker]} already, by a line above: leave one of them")
        found[speaker] = part
    return found


def _decoded(where: str, raw: bytes) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: byte {error.start + 1} is not UTF-8: save the file as UTF-8") from None
    if "\0" in line:
        raise UserError(f"{where}: there are zero bytes: is the file UTF-16? Save it as UTF-8")
    if "\r" in line:
        raise UserError(f"{where}: there are carriage returns: save the file with ordinary line ends")
    return line
