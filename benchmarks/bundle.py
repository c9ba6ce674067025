"""Recognising with an exported network and with its checkpoint: full size, random weights, the same recordings.

- end to end: samples in memory to texts with times: features, network, ctc_greedy, alignment; ds2 is the bundle, the
  peer the checkpoint's network in paddle.
- of the network alone: end to end with the bundle over the time of the graph on the same features.

Seconds a second of audio, of the processor and by the clock, medians of runs in turns. For one core: taskset -c 0
python -m benchmarks bundle.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import paddle

from benchmarks.corpus import Corpus
from benchmarks.table import RUNS, Row
from ds2 import params
from ds2.audio import reading
from ds2.data import features
from ds2.data.loader import Batch, unlabelled
from ds2.data.mean_istd import MeanIstd, Moments
from ds2.data.vocabulary import Vocabulary
from ds2.decoding.greedy import Greedy
from ds2.export import graph
from ds2.model import build
from ds2.recognition import onnx_model
from ds2.recognition.bundle import Bundle, Config
from ds2.recognition.onnx_model import OnnxModel
from ds2.recognition.paddle_model import PaddleModel
from ds2.recognition.recognised import recognise

_TOKENS = 4300
_BATCHES = (1, 4, 16)
# Of _DRAWN recordings the _MEASURED of medium length are measured: real batches have similar lengths too.
_DRAWN, _MEASURED = 64, 16


def rows(corpus: Corpus) -> list[Row]:
    """All of them."""
    paddle.set_device("cpu")
    settings = corpus.settings.model_copy(update={"model": params.ModelSettings()})
    rate = settings.features.sample_rate
    samples = sorted((reading.load(path, rate) for path, _ in corpus.first(_DRAWN).lines), key=len)
    start = max(0, (len(samples) - _MEASURED) // 2)
    samples = samples[start : start + _MEASURED]
    seconds = sum(map(len, samples)) / rate
    network, exported = _models(settings, samples)
    found = []
    for size in _BATCHES:
        batches = [samples[start : start + size] for start in range(0, len(samples), size)]
        inputs = [unlabelled([features.extract(one, settings.features) for one in batch]) for batch in batches]
        work = (
            lambda batches=batches: _recognise(exported, batches),
            lambda batches=batches: _recognise(network, batches),
            lambda inputs=inputs: _alone(exported, inputs),
        )
        for name, (ours, paddles, alone) in _medians(work, seconds).items():
            found.append(Row(f"recognising, batch {size}: end to end, {name}", "s/s", ours, paddles))
            found.append(
                Row(f"recognising, batch {size}: end to end beside the network alone, {name}", "s/s", ours, alone)
            )
    return found


def _models(settings: params.Params, samples: Sequence[np.ndarray]) -> tuple[PaddleModel, OnnxModel]:
    """The same network, in paddle and exported; its tokens are the first Han characters."""
    total = Moments.empty(settings.features.size)
    for one in samples:
        total = total.merge(Moments.of(features.extract(one, settings.features)))
    deviation = np.sqrt(total.deviations / total.frames)
    normalisation = MeanIstd(total.mean, 1.0 / deviation, total.frames, total.utterances, settings.features)
    vocabulary = Vocabulary.of([chr(0x4E00 + i) for i in range(_TOKENS - 2)])
    paddle.seed(0)
    network = build(settings, len(vocabulary))
    network.eval()
    model = PaddleModel(network, vocabulary, normalisation, settings, "cpu")
    made = graph.build(network, normalisation, np.float32, {})
    config = Config({}, {}, {}, 3, model.step_seconds, model.usual_seconds, None, "", None)
    opened = Bundle(Path(), settings, vocabulary, config, None, None, "")
    return model, OnnxModel(onnx_model.session(made.SerializeToString()), opened)


def _recognise(model: PaddleModel | OnnxModel, batches: Sequence[Sequence[np.ndarray]]) -> None:
    for batch in batches:
        values = [model.statistics.normalize(features.extract(one, model.features)) for one in batch]
        for logs in model.log_probabilities(unlabelled(values)):
            recognise(model, Greedy(), logs)


def _alone(model: OnnxModel, inputs: Sequence[Batch]) -> None:
    for batch in inputs:
        model.session.run(None, {"features": batch.features, "lengths": batch.frames})


def _medians(work: Sequence[Callable[[], None]], audio: float) -> dict[str, list[float]]:
    """Seconds a second of audio of each piece of work, by clock; the first run, which lays out memory, is left out."""
    clocks = {"processor": time.process_time, "wall": time.perf_counter}
    spent: dict[str, list[list[float]]] = {name: [[] for _ in work] for name in clocks}
    for _ in range(RUNS + 1):
        for i, one in enumerate(work):
            starts = {name: clock() for name, clock in clocks.items()}
            one()
            for name, clock in clocks.items():
                spent[name][i].append(clock() - starts[name])
    return {name: [statistics.median(one[1:]) / audio for one in each] for name, each in spent.items()}
