"""Checks every line of the annotations and divides them into training, dev and test data.

reads   dataset/annotation/*.txt and the audio they name
params  corpora, manifest, text, features.sample_rate, model.type
writes  dataset/manifest.{train,dev,test}, dataset/rejected.jsonl, results/data.json
"""

import json

from loguru import logger

from ds2 import layout, parallel, params, stage
from ds2.corpora import registry
from ds2.data import annotation, manifest, screening
from ds2.files import replacing, write_json


def main(settings: params.Params) -> None:
    """The stage."""
    registry.check(settings.corpora)
    sources = annotation.sources(layout.ANNOTATION, settings.corpora, registry.NAMES)
    for sentence in annotation.left_out(layout.ANNOTATION, settings.corpora, registry.NAMES):
        logger.info(sentence)
    own = [source.path.as_posix() for source in sources if source.path.name.split(".")[0] not in registry.NAMES]
    if own and "demo" in settings.corpora:
        logger.warning(f"the demo's sentences are mixed with {own[0]}: set corpora to [] to leave them out")
    screened = screening.screen(sources, settings, parallel.processes(settings.runtime.num_workers))
    # The report comes first: it says what to mend when the check fails.
    with replacing(layout.REJECTED) as file:
        file.writelines(json.dumps(r.as_json(), ensure_ascii=False) + "\n" for r in screened.rejected)
    screening.check(screened, settings)
    if doubt := screening.doubt(screened):
        logger.warning(doubt)
    for split, utterances in screened.accepted.items():
        manifest.write(layout.manifest_path(split), utterances)
    metrics = screened.metrics()
    write_json(layout.DATA_METRICS, metrics)
    logger.info(
        f"{metrics['lines']} lines of {len(sources)} files: "
        + ", ".join(f"{metrics[f'{s}_utterances']} {s} ({metrics[f'{s}_hours']:.2f} h)" for s in layout.SPLITS)
        + f", {metrics['rejected']} rejected ({layout.REJECTED})"
    )


if __name__ == "__main__":
    stage.run(main, __doc__)
