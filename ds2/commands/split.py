"""Divides whole speakers into training, dev and test data, in dataset/annotation/splits.tsv.

The parts come as close as possible to manifest.dev_fraction and manifest.test_fraction of the hours; the test data has
at least three speakers, or a third of all where there are fewer than nine. Speakers who are in the file stay where they
are: run the command again after adding data, and it places only the new ones. Files called dev or test, and built-in
corpora with such parts, stay as they are. Like the stage manifest the command opens every recording. Then run dvc
repro, and commit splits.tsv.

    python -m ds2 split
"""

import argparse
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from loguru import logger

from ds2 import layout, log, parallel, params
from ds2.annotation import files, screening, splits
from ds2.annotation.files import Source
from ds2.annotation.splits import Rule
from ds2.corpora import registry
from ds2.data import parts
from ds2.data.manifest import Utterance
from ds2.errors import UserError

_TEST_SPEAKERS = 3
_HELD_OUT = ("test", "dev")
_DRAWS = 1000
_CLOSE = 0.001  # of all seconds: near enough


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring; UserError where there are too few speakers, or none are named."""
    log.to_terminal()
    settings = params.load()
    registry.check(settings.corpora)
    placed = splits.read(layout.SPLITS_FILE)
    sources = files.sources(layout.ANNOTATION, settings.corpora, registry.NAMES)
    rule = Rule.of(sources, settings.manifest, placed)
    if not rule.asked():
        raise UserError(
            "nothing is to be held out: manifest.dev_fraction is 0, and manifest.test_fraction is 0 or without "
            "effect beside a test file; raise a fraction that has an effect"
        )
    speakers = _speakers([source for source in sources if not source.fixed], rule, settings)
    seconds = {name: math.fsum(u.duration for u in utterances) for name, utterances in speakers.items()}
    after = place(seconds, rule.asked(), _least(rule, len(speakers)), placed)
    if after != placed:
        splits.write(layout.SPLITS_FILE, after)
    divided: dict[str, list[Utterance]] = {part: [] for part in layout.SPLITS}
    for name, utterances in speakers.items():
        divided[after[name]] += utterances
    new = parts.count(len(after) - len(placed), "new speaker")
    print("\n".join([f"{layout.SPLITS_FILE}: {new}", *parts.table(divided, divided, rule.asked())]))


def _speakers(sources: list[Source], rule: Rule, settings: params.Params) -> dict[str, list[Utterance]]:
    """The accepted utterances of every speaker in what is to be divided."""
    screened = screening.screen(sources, settings, parallel.processes(settings.runtime.num_workers))
    if screened.lines and (sentence := screening.too_many_rejected(screened, settings.manifest)):
        raise UserError(f"{sentence}; dvc repro manifest writes all into {layout.REJECTED}")
    divided = list(itertools.chain.from_iterable(screened.divided.values()))
    found: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in divided:
        if utterance.speaker:
            found[utterance.speaker].append(utterance)
    unnamed = [utterance.audio_filepath for utterance in divided if not utterance.speaker]
    remedy = "name the speakers in the third column, or add my.dev.txt and my.test.txt"
    if not divided:
        raise UserError(
            f"{layout.ANNOTATION} has nothing to divide: all its files are dev or test data, or a built-in corpus's "
            "that has such data of its own"
        )
    if not found:
        raise UserError(f"none of the {len(divided)} utterances to divide names its speaker: {remedy}")
    if unnamed:
        logger.warning(
            f"{len(unnamed)} of {len(divided)} utterances name no speaker (first: {unnamed[0]}): they are divided one "
            f"by one, and the test data may have voices of the training data; {remedy}"
        )
    if sentence := splits.too_few_speakers(divided, rule):
        raise UserError(sentence)
    return found


def _least(rule: Rule, speakers: int) -> dict[str, int]:
    """How many speakers dev and test should have at least: none of what is not asked for or has files of its own."""
    least = {"dev": 1, "test": max(1, min(_TEST_SPEAKERS, speakers // 3))}
    return {part: 0 if part in rule.own or not rule.asked().get(part) else number for part, number in least.items()}


def place(
    seconds: Mapping[str, float], asked: Mapping[str, float], least: Mapping[str, int], placed: Mapping[str, str]
) -> dict[str, str]:
    """The part of every speaker: those placed stay, the others come to train, dev or test.

    The best of up to 1000 random orders, the same for the same data, in which dev and test take the speakers who bring
    them closer to their shares. With up to eight speakers this found the best division there is, with nine one at most
    0.01 of all seconds worse. Random, and not the shortest first, so that every part has the same mixture of speakers.

    Args:
        seconds: of audio of each speaker in the data.
        asked: shares of dev and test in all seconds.
        least: speakers that dev and test have at least, if there is one left for train.
        placed: parts of speakers, in the data or not, who stay where they are.

    Returns:
        First those placed, in their order, then the new ones by name.
    """
    seconds = dict(sorted(seconds.items()))  # sums depend on the order by a rounding error
    new = [speaker for speaker in seconds if speaker not in placed]
    there = {part: [s for s in seconds if placed.get(s) == part] for part in ("train", *_HELD_OUT)}
    total = sum(seconds.values())
    gaps = {part: asked[part] * total - sum(seconds[s] for s in there[part]) for part in _HELD_OUT}
    lacking = {part: max(0, least[part] - len(there[part])) for part in _HELD_OUT} | {"train": int(not there["train"])}
    best, fewest = {}, None
    order, draw = list(new), random.Random(0)
    for number in range(_DRAWS):
        draw.shuffle(order)
        # What suits the part that chooses first may suit the other better: a part may also take no more than it lacks.
        reach = {part: draw.choice((2.0, 2.0, 0.0)) for part in _HELD_OUT[:: 1 if number % 2 else -1]}
        found, off = _take(order, seconds, reach, gaps, lacking)
        if fewest is None or off < fewest:
            best, fewest = found, off
        if fewest <= _CLOSE * total:
            break
    return {**placed, **{speaker: best.get(speaker, "train") for speaker in new}}


def _take(
    order: Sequence[str],
    seconds: Mapping[str, float],
    reach: Mapping[str, float],
    gaps: Mapping[str, float],
    lacking: Mapping[str, int],
) -> tuple[dict[str, str], float]:
    """The speakers whom the parts take, in turn, from the order; and by how many seconds they miss their gaps."""
    found: dict[str, str] = {}
    off = 0.0
    free = len(order) - sum(lacking.values())  # may be negative
    for part, far in reach.items():
        gap, lacks = gaps[part], lacking[part]
        for speaker in order:
            if speaker in found:
                continue
            if lacks > 0:
                lacks -= 1
            elif free > 0 and seconds[speaker] <= far * gap:
                free -= 1
            else:
                continue
            found[speaker] = part
            gap -= seconds[speaker]
        off += abs(gap)
    return found, off
