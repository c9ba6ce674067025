"""The networks that model.type names, and what has to be known of them without loading paddle."""

from typing import Any

# Frames of features that make one output step. A network's module in ds2/model has the name that stands here.
FRAMES_A_STEP = {"deepspeech2": 3}


def frames_a_step(model: Any) -> int:
    """Frames of features that make one output step of the network of a section `model`."""
    return FRAMES_A_STEP[model.type]
