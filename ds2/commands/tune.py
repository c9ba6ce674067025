"""Finds the evaluate.alpha and evaluate.beta of the beam search that make the fewest errors on the dev set.

Run it after training: it reads the checkpoint of params.yaml's section evaluate, dataset/manifest.dev and
dataset/lm.arpa, and writes results/tune.tsv and results/tune.png. It changes no parameter: the last line that it prints
is the command that adopts what it found.

    python -m ds2 tune
"""

import argparse

from loguru import logger

from ds2 import layout, log, params
from ds2.data.manifest import Manifest
from ds2.decoding import beam
from ds2.evaluation import session, tuning
from ds2.recognition.manifest_pass import ManifestPass


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    log.to_terminal()
    settings = params.load()
    chosen = settings.evaluate.model_copy(update={"decoder": "ctc_beam_search"})
    model, name = session.chosen_model(settings)
    search = beam.search(chosen, model.vocabulary, model.rules, layout.LANGUAGE_MODEL)
    manifest = Manifest(layout.manifest_path("dev"))
    with session.loader(settings, model, manifest) as loader:
        utterances = tuning.collect(ManifestPass(model, manifest, loader, chosen.batch_size), manifest, search)
    logger.info(f"{name} on {len(utterances.references)} utterances of {manifest.path}: now the weights")
    metric = chosen.metrics_type
    points = tuning.tune(utterances, search, model.vocabulary, metric)
    tuning.write_table(layout.TUNING, points, metric)
    tuning.write_picture(layout.TUNING_PICTURE, points, metric)
    best = tuning.best(points)
    greedy = tuning.greedy(utterances, model.vocabulary, metric)
    logger.info(
        f"dev {metric.upper()} {best.errors.rate:.5f} with alpha {best.alpha:g} and beta {best.beta:g}, "
        f"{greedy.rate:.5f} with ctc_greedy"
    )
    if best.errors.total >= greedy.total:
        logger.warning(f"{layout.LANGUAGE_MODEL} does not help on the dev set: keep evaluate.decoder at ctc_greedy")
    print(
        "dvc exp run -S evaluate.decoder=ctc_beam_search "
        f"-S evaluate.alpha={best.alpha:g} -S evaluate.beta={best.beta:g}"
    )
