"""Estimates an n-gram language model of the training transcripts and of other text, for decoders that use one.

reads   dataset/manifest.train, the files of lm.extra_text, best in dataset/text/ (or lm.path, which is taken as it
        is); dataset/manifest.dev for the perplexity
params  lm, text
writes  dataset/lm.arpa, results/lm.json
"""

from collections.abc import Iterator

from loguru import logger

from ds2 import layout, params, stage
from ds2.data.manifest import Manifest
from ds2.decoding import fit
from ds2.files import write_json
from ds2.language_model import arpa, ready
from ds2.language_model.model import estimate
from ds2.language_model.text import read_sentences


def main(settings: params.Params) -> None:
    """The stage."""
    lm = settings.lm
    for name in [lm.path] if lm.path else lm.extra_text:
        if layout.TEXT.resolve() not in layout.text_file(name).resolve().parents:
            logger.warning(f"{name} is not in {layout.TEXT}: DVC does not see when it changes")
    if lm.path:
        # Of a binary the search itself says it, at once.
        if ready.copy(layout.text_file(lm.path), layout.LANGUAGE_MODEL) == "arpa":
            fit.warn_of_words(lm.path, layout.LANGUAGE_MODEL)
        write_json(layout.LANGUAGE_MODEL_NUMBERS, {})
        logger.info(f"{lm.path} is taken as it is; order, unit, extra_text and prune play no part")
        return
    model = estimate(_sentences(settings), lm.unit, lm.order, lm.prune)
    arpa.write(layout.LANGUAGE_MODEL, model)
    numbers = model.numbers(_transcripts("dev"))
    write_json(layout.LANGUAGE_MODEL_NUMBERS, numbers)
    logger.info(
        f"{numbers['lm_ngrams']} n-grams of {numbers['lm_words']} words; perplexity of the dev data "
        f"{numbers.get('lm_dev_perplexity', 'unknown: there are none')}"
    )


def _transcripts(split: str) -> Iterator[str]:
    return (utterance.text for utterance in Manifest(layout.manifest_path(split)))


def _sentences(settings: params.Params) -> Iterator[str]:
    yield from _transcripts("train")
    for name in settings.lm.extra_text:
        yield from read_sentences(layout.text_file(name), settings.text)


if __name__ == "__main__":
    stage.run(main, __doc__)
