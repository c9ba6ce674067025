"""Divides whole speakers into training, dev and test data, in dataset/annotation/splits.tsv.

The parts come as close as possible to manifest.dev_fraction and manifest.test_fraction of the hours; the test data has
three speakers where that is no more than a third of all. Who is in the file stays: run it again after adding data, and
only new speakers are placed. Files called dev or test, and built-in corpora with such parts, stay as they are. Like the
stage manifest it opens every recording. Then run dvc repro, and commit the file.

    python -m ds2 split
"""

import argparse
import itertools
import math
from collections import defaultdict

from loguru import logger

from ds2 import layout, log, parallel, params
from ds2.corpora import registry
from ds2.data import annotation, balance, parts, screening, splits
from ds2.data.manifest import Utterance
from ds2.data.splits import Rule
from ds2.errors import UserError

_TEST_SPEAKERS = 3


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring; UserError where there are too few speakers, or none are named."""
    log.to_terminal()
    settings = params.load()
    registry.check(settings.corpora)
    placed = splits.read(layout.SPLITS_FILE)
    sources = annotation.sources(layout.ANNOTATION, settings.corpora, registry.NAMES)
    rule = Rule.of(sources, settings.manifest, placed)
    speakers = _speakers([source for source in sources if not source.fixed], rule, settings)
    seconds = {name: math.fsum(u.duration for u in utterances) for name, utterances in speakers.items()}
    after = balance.place(seconds, rule.asked(), _least(rule, len(speakers)), placed)
    if after != placed:
        splits.write(layout.SPLITS_FILE, after)
    divided: dict[str, list[Utterance]] = {part: [] for part in layout.SPLITS}
    for name, utterances in speakers.items():
        divided[after[name]] += utterances
    new = parts.count(len(after) - len(placed), "new speaker")
    print("\n".join([f"{layout.SPLITS_FILE}: {new}", *parts.table(divided, divided, rule.asked())]))


def _speakers(sources: list[annotation.Source], rule: Rule, settings: params.Params) -> dict[str, list[Utterance]]:
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
        raise UserError(f"{layout.ANNOTATION} has nothing to divide: its files are dev or test data, or a corpus's")
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
