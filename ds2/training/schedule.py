"""The learning rate as a pure function of the step."""

from ds2 import params


def learning_rate(step: int, train: params.TrainSettings) -> float:
    """Rises linearly to `learning_rate` over the warm-up, then falls with the inverse square root of the step.

    Vaswani et al. 2017, "Attention Is All You Need", section 5.3, scaled so that its top is `learning_rate`.

    Args:
        step: from 1.
        train: the section of params.yaml.
    """
    if step <= train.warmup_steps:
        return train.learning_rate * step / train.warmup_steps
    return max(train.min_learning_rate, train.learning_rate * (train.warmup_steps / step) ** 0.5)
