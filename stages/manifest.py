"""Checks every line of the annotations and divides them into training, dev and test data.

reads   dataset/annotation: *.txt, *.jsonl and the audio they name, splits.tsv where it is there
params  corpora, manifest, text, features.sample_rate, model.type
writes  dataset/manifest.{train,dev,test}, dataset/rejected.jsonl, results/data.json
"""

from loguru import logger

from ds2 import layout, parallel, params, stage
from ds2.annotation import duplicates, files, screening, splits
from ds2.corpora import registry
from ds2.data import manifest, parts
from ds2.files import as_json, replacing, write_json


def main(settings: params.Params) -> None:
    """The stage."""
    registry.check(settings.corpora)
    sources = files.sources(layout.ANNOTATION, settings.corpora, registry.NAMES)
    for sentence in files.left_out(layout.ANNOTATION, settings.corpora, registry.NAMES):
        logger.info(sentence)
    own = [source.path.as_posix() for source in sources if source.path.name.split(".")[0] not in registry.NAMES]
    if own and "demo" in settings.corpora:
        logger.warning(f"the demo's sentences are mixed with {own[0]}: set corpora to [] to leave them out")
    placed = splits.read(layout.SPLITS_FILE)
    screened = screening.screen(sources, settings, parallel.processes(settings.runtime.num_workers), placed)
    # The report comes first: it says what to mend when the check fails.
    with replacing(layout.REJECTED) as file:
        file.writelines(as_json(r.as_json()) for r in screened.rejected)
    screening.check(screened, settings)
    for split, utterances in screened.accepted.items():
        manifest.write(layout.manifest_path(split), utterances)
    write_json(layout.DATA_NUMBERS, screened.numbers())
    lines = f"{parts.count(screened.lines, 'line')} of {parts.count(len(sources), 'file')}"
    logger.info(f"{lines}, {len(screened.rejected)} rejected ({layout.REJECTED})")
    for line in parts.table(screened.accepted, screened.divided, screened.rule.asked()):
        logger.info(line)
    for line in screened.transcripts.lines(screened.accepted):
        logger.info(line)
    for note in (*splits.notes(screened.divided, screened.rule), *screening.channel_notes(screened)):
        logger.info(note)
    if note := screened.rates.note():
        logger.info(note)
    test = parts.Size.of(screened.accepted["test"])
    repeated = duplicates.doubts(screened.rejected, screened.copies)
    doubts = screening.doubt(screened), *repeated, screened.rates.doubt()
    for doubt in (*doubts, parts.shared_voices(screened.accepted), parts.doubt(test)):
        if doubt:
            logger.warning(doubt)


if __name__ == "__main__":
    stage.run(main, __doc__)
