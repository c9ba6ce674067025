"""How far an error rate could be off by chance, as other speakers or other sentences would have shown."""

from collections.abc import Sequence

import numpy as np

from ds2.evaluation.error_rate import Errors

_RESAMPLES = 2000


def interval(errors: Sequence[Errors], speakers: Sequence[str | None]) -> tuple[float, float]:
    """The 95 % interval of a corpus's error rate, by the percentile bootstrap (Bisani and Ney 2004).

    What is drawn anew, with replacement, are whole speakers where every utterance names one (not None) and there are
    several, for one speaker's utterances are wrong together; else utterances. The same for the same utterances.
    """
    counts = np.array([(one.total, one.reference_length) for one in errors], np.float64)
    names = {None} if None in speakers else set(speakers)
    if len(names) > 1:
        order = {name: i for i, name in enumerate(sorted(names))}
        grouped = np.zeros((len(order), 2))
        np.add.at(grouped, [order[name] for name in speakers], counts)
        counts = grouped
    random = np.random.default_rng(0)
    rates = np.empty(_RESAMPLES)
    for i in range(_RESAMPLES):
        wrong, length = counts[random.integers(0, len(counts), len(counts))].sum(axis=0)
        rates[i] = wrong / length if length else float(wrong > 0)
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(low), float(high)
