"""Collects the characters of the training transcripts.

reads   dataset/manifest.train
params  vocabulary
writes  dataset/vocabulary.txt
"""

from loguru import logger

from ds2 import layout, params, stage
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary


def main(settings: params.Params) -> None:
    """The stage."""
    transcripts = (utterance.text for utterance in Manifest(layout.manifest_path("train")))
    vocabulary = Vocabulary.of(transcripts, settings.vocabulary.count_threshold)
    vocabulary.write(layout.VOCABULARY)
    logger.info(f"{len(vocabulary)} tokens, <blank> and <unk> included")


if __name__ == "__main__":
    stage.run(main, __doc__)
