"""Computes the mean and inverse standard deviation of the training features.

reads   dataset/manifest.train and its audio
params  features, mean_istd, manifest.max_rejected_fraction
writes  dataset/mean_istd.json
"""

from loguru import logger

from ds2 import layout, parallel, params, stage
from ds2.data import mean_istd
from ds2.data.manifest import Manifest


def main(settings: params.Params) -> None:
    """The stage."""
    manifest = Manifest(layout.manifest_path("train"))
    statistics, unreadable = mean_istd.compute(manifest, settings, parallel.processes(settings.runtime.num_workers))
    for reason in unreadable:
        logger.warning(f"left out of the statistics: {reason}")
    statistics.write(layout.MEAN_ISTD)
    logger.info(f"statistics over {statistics.frames} frames of {statistics.utterances} utterances")


if __name__ == "__main__":
    stage.run(main, __doc__)
