"""Trains a model, or goes on with a training that was stopped or is to have more epochs.

reads   dataset/manifest.{train,dev,test}, dataset/mean_istd.json, dataset/vocabulary.txt, models/
params  corpora, features, model, augment, train
writes  models/, results/train.json, results/curves/*.tsv; VisualDL's files under log/
"""

from ds2.errors import ends_with_a_sentence
from stages import command


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    settings, _ = command.start(__doc__)
    # Paddle takes seconds to load, and the worker processes that prepare batches, which import this module, need none.
    from ds2.training import session

    session.train(settings)


if __name__ == "__main__":
    main()
