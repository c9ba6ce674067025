"""Looks for the evaluate.alpha and evaluate.beta of the beam search that make the fewest errors on the dev set.

Not a part of the pipeline: run it by hand after training. It changes no parameter; the last line says how to adopt
what it found.

reads   models/, dataset/manifest.dev and its audio, dataset/lm.arpa
params  evaluate
writes  results/tune.tsv, results/tune.png
"""

from ds2 import stage
from ds2.errors import ends_with_a_sentence


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    settings, _ = stage.start(__doc__)
    # Not at the top: the worker processes import this module and do without paddle.
    from ds2.evaluation import session

    print(f"dvc exp run {session.tune(settings)}")


if __name__ == "__main__":
    main()
