"""Collects the characters of the training transcripts.

reads   dataset/manifest.train
params  vocabulary
writes  dataset/vocabulary.txt
"""

from loguru import logger

from ds2 import layout, stage
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.errors import ends_with_a_sentence


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    settings, _ = stage.start(__doc__)
    transcripts = (utterance.text for utterance in Manifest(layout.manifest_path("train")))
    vocabulary = Vocabulary.of(transcripts, settings.vocabulary.count_threshold)
    vocabulary.write(layout.VOCABULARY)
    logger.info(f"{len(vocabulary)} tokens, <blank> and <unk> included")


if __name__ == "__main__":
    main()
