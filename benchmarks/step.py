"""A training step on all cores, as the trainer takes it: batches from a worker, forward, backward, optimiser.

- audio: seconds of audio a second, of batches that are at hand; beside it the usual step (`plain`) with batches as a
  shuffled sampler makes them, of the same utterances and size, on the same cores, in a process of its own that has
  Paddle's and MKL's own settings, as a script has them. Medians of runs.
- real frames: the share of the padded batches that is not padding, over the batches measured.
- waiting: the share of the time in which the step had to wait for its batch.
- of the matrix product's rate: operations of convolutions, GRUs and output layer for the real frames (forward, and
  twice that backward), a second, over those of a product of two matrices of 1024 x 1024 on the same threads. What
  normalisation, CTC and the optimiser take counts as time, not as work.

Batches of 16 from the second, shuffled epoch, augmented. For one core: taskset -c 0 python -m benchmarks step.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from benchmarks import parts, plain
from benchmarks.corpus import Corpus
from benchmarks.table import RUNS, Row
from ds2 import cpu, params
from ds2.data import batches, mean_istd
from ds2.data.augment import Augmenter
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.distributed.process_group import Group
from ds2.model import arrays, build
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.params.networks import frames_a_step
from ds2.training.schedule import learning_rate
from ds2.training.step import Step

_BATCH = 16
EPOCH = 2
_SIZE = 1024
# Model, and how many batches are measured after the first two. A run of the comparison has a sixth of these.
CHANNELS_32 = params.ModelSettings(conv_channels=32, num_rnn_layers=2, rnn_layer_size=192)
_MODELS = {
    "demo, 8 channels": (params.ModelSettings(conv_channels=8, num_rnn_layers=2, rnn_layer_size=192), 24),
    "32 channels, 2 x 192": (CHANNELS_32, 24),
    "full, 3 x 1024": (params.ModelSettings(), RUNS),
}


@dataclass(frozen=True)
class Made:
    """What a training makes of a manifest: its second epoch's batches, how they are read, and the step."""

    settings: params.Params
    plan: batches.Batches
    assembler: Assembler
    tokens: int
    network: DeepSpeech2
    step: Step

    @classmethod
    def of(cls, model: params.ModelSettings, manifest: Manifest, settings: params.Params, group: Group) -> "Made":
        """For a model, in a process of a group."""
        train = settings.train.model_copy(update={"batch_size": _BATCH, "max_batch_seconds": None})
        settings = settings.model_copy(update={"model": model, "train": train})
        normalisation, _ = mean_istd.compute(manifest, settings, workers=1)
        vocabulary = Vocabulary.of(utterance.text for utterance in manifest)
        augmenter = Augmenter(settings.augment, settings.features)
        assembler = Assembler(settings.features, normalisation, vocabulary, frames_a_step(model), augmenter, train.seed)
        heard = manifest.durations / augmenter.speeds(train.seed, EPOCH, np.arange(len(manifest)))
        plan = batches.of_epoch(heard, _BATCH, train.seed, EPOCH)
        network = build(settings, len(vocabulary))
        network.train()
        optimizer = paddle.optimizer.Adam(parameters=network.parameters(), weight_decay=train.weight_decay or None)
        return cls(settings, plan, assembler, len(vocabulary), network, Step(network, optimizer, settings, group))


def rows(corpus: Corpus) -> list[Row]:
    """All of them."""
    paddle.set_device("cpu")
    with tempfile.TemporaryDirectory() as name:
        manifest = corpus.manifest(Path(name) / "manifest.train")
        found = []
        for title, (model, count) in _MODELS.items():
            found += _rows(title, model, count, manifest, corpus.settings)
        return found


def _rows(
    title: str, model: params.ModelSettings, count: int, manifest: Manifest, settings: params.Params
) -> list[Row]:
    made = Made.of(model, manifest, settings, Group())
    settings, plan, step, train = made.settings, made.plan, made.step, made.settings.train
    work = operations_a_frame(made.network, settings)
    real = padded = 0
    waited = total = 0.0
    with Loader(manifest, made.assembler, workers=1) as loader:
        rate = product_rate(cpu.threads())
        mark = time.perf_counter()
        for i, batch in enumerate(loader.load((plan[i] for i in range(min(count + 2, len(plan)))), EPOCH)):
            arrived = time.perf_counter()
            step([batch], i + 1, learning_rate(i + 1, train))
            done = time.perf_counter()
            if i >= 2:  # before that, memory is laid out and the worker starts
                waited, total = waited + arrived - mark, total + done - mark
                real, padded = (
                    real + int(batch.frames.sum()),
                    padded + batch.features.shape[0] * batch.features.shape[1],
                )
            mark = done
        runs = max(1, count // 6)
        usual = plain.shuffled(len(manifest), _BATCH, train.seed)
        ours, peers = (list(loader.load([of[i] for i in range(runs)], EPOCH)) for of in (plan, usual))
    own_rate = statistics.median(plain.rates(lambda batch: step([batch], 1, learning_rate(1, train)), ours))
    # Without what ds2 sets for MKL, which on AMD is half the rate.
    usual = parts.apart({"MKL_DEBUG_CPU_TYPE": ""}, plain.usual_rates, settings, made.tokens, peers)
    return [
        Row(f"training step, {title}: audio", "s/s", own_rate, statistics.median(usual)),
        Row(f"training step, {title}: real frames", "share", real / padded),
        Row(f"training step, {title}: waiting", "share", waited / total),
        Row(f"training step, {title}: of the matrix product's rate", "share", 3 * work * real / total / rate),
    ]


def operations_a_frame(network: DeepSpeech2, settings: params.Params) -> float:
    """Multiplications and additions of the forward pass for a frame of features."""
    products, mels = 0, settings.features.num_mel_bins
    for layer in network.conv.layers:
        mels = (mels + 1) // 2
        products += layer.conv.weight.size * mels  # every weight once for each place of the output
    for layer in network.rnn.layers:
        products += sum(weight.size for weight in layer.gru.parameters() if weight.ndim == 2)
    products += network.output.weight.size
    return 2 * products / frames_a_step(settings.model)


def product_rate(threads: int) -> float:
    """Operations a second of products of matrices, one on each thread."""
    left, right = (np.random.default_rng(i).random((_SIZE, _SIZE), np.float32) for i in range(2))
    seconds = []
    for _ in range(4 * RUNS):
        start = time.perf_counter()
        arrays.each(lambda _: left @ right, range(threads))
        seconds.append(time.perf_counter() - start)
    return threads * 2 * _SIZE**3 / statistics.median(seconds)
