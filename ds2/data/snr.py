"""A cheap guess of how far speech stands out from the noise around it."""

import numpy as np


def estimate(log_mel: np.ndarray) -> float:
    """The loud frames' power over the quiet frames', of one utterance, in dB, from 0 to 60; 0 without frames.

    Loud and quiet are the 90th and the 10th percentile of `log_mel`, ln of power, not normalised, float32 [frames, mel
    bins]: what NIST's stnr takes from the histogram of frame energies, made simpler. The quiet frames are noise only
    where there are pauses: in speech without any the estimate is too low. It is good for sorting utterances of one
    corpus, not for comparing with a measured ratio.
    """
    if len(log_mel) == 0:
        return 0.0
    power = np.exp(log_mel, dtype=np.float64).sum(axis=1)
    noise, speech = np.percentile(power, (10, 90))
    # Digital silence between words would make it hundreds.
    return float(np.clip(10.0 * np.log10(speech / noise), 0.0, 60.0))
