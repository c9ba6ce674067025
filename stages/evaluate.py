"""Recognises the test data with a trained model and scores the result.

reads   models/, dataset/manifest.test and its audio, dataset/manifest.dev for confidences that mean something,
        results/curves/ for the report, dataset/lm.arpa for ctc_beam_search
params  evaluate
writes  results/evaluate.json, results/evaluation.json, results/predictions.jsonl, results/errors.txt,
        results/report.html
"""

from ds2 import params, stage


def main(settings: params.Params) -> None:
    """The stage."""
    # Not at the top: the worker processes import this module and do without paddle.
    from ds2.evaluation import session

    session.evaluate(settings)


if __name__ == "__main__":
    stage.run(main, __doc__)
