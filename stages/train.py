"""Trains a model, or goes on with a training that was stopped or is to have more epochs.

reads   dataset/manifest.{train,dev,test}, dataset/mean_istd.json, dataset/vocabulary.txt, models/
params  corpora, features, model, augment, train, evaluate.metrics_type, manifest.max_rejected_fraction
writes  models/, results/train.json, results/training.json, results/curves/*.tsv; the log and VisualDL's files under
        log/
"""

import os
import sys

from ds2 import params, stage
from ds2.distributed import launch


def main(settings: params.Params) -> None:
    """The stage."""
    if launch.needed():
        plan = launch.plan(settings)
        if plan.size > 1:
            launch.supervise(plan, "stages.train")
            return
    # Paddle takes seconds to load, and the worker processes that prepare batches, which import this module, need none.
    from ds2.distributed import process_group
    from ds2.training import session

    try:
        session.train(settings)
    except process_group.LostError as error:
        print(f"another process of the training is gone: {error}", file=sys.stderr)
        os._exit(launch.LOST)  # at once: paddle's own end of a broken connection can hang or crash
    if not launch.needed():
        # At once too: a peer that ends sooner breaks the connection, and a process was seen to abort at its end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    stage.run(main, __doc__)
