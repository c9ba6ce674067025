"""The networks; `build` is the one door to them."""

import importlib

from ds2 import params
from ds2.model.network import Network


def build(settings: params.Params, tokens: int) -> Network:
    """Makes the network of the sections model and features, with random weights, for `tokens` tokens with the blank."""
    module = importlib.import_module(f"ds2.model.{settings.model.type}")
    return module.build(settings.model, settings.features.size, tokens)
