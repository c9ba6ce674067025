"""From a checkpoint to a bundle that agrees with it."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from loguru import logger

from ds2 import files, layout, params
from ds2.checkpoint import disk
from ds2.data.manifest import Manifest
from ds2.decoding.kenlm import header
from ds2.errors import UserError
from ds2.export import card, graph, parity
from ds2.export.card import Score
from ds2.export.parity import Parity
from ds2.params.networks import frames_a_step
from ds2.recognition import bundle, choice, onnx_model, paddle_model
from ds2.recognition.bundle import Config
from ds2.recognition.calibration import Calibration
from ds2.recognition.paddle_model import PaddleModel

# The most that log-probabilities may differ from the checkpoint's, by how weights are stored.
LIMITS: dict[type[np.floating], float] = {np.float32: 1e-3, np.float16: 0.05}


@dataclass(frozen=True)
class Export:
    """A network that agrees with its checkpoint; nothing is written yet."""

    checkpoint: Path
    model: PaddleModel
    settings: params.Params  # whose section evaluate has the decoder that the bundle brings
    weights: type[np.floating]
    network: bytes  # model.onnx
    agreed: Parity
    chosen_by: Score | None  # which chose the weights
    commit: str | None  # of the repository, as `commit` has it


def prepare(checkpoint: Path, folder: Path, weights: type[np.floating]) -> Export:
    """Makes the network and compares it with its checkpoint.

    The decoder is that of params.yaml's section evaluate; without a params.yaml it is ctc_greedy.

    Raises:
        UserError: the checkpoint is none or damaged, `folder` holds something else than a bundle, the decoder's
            language model is missing, or the networks do not agree.
    """
    refuse_foreign(folder)
    if bundle.is_bundle(checkpoint):
        raise UserError(f"{checkpoint} is a bundle already: name the checkpoint that it was made of")
    model = paddle_model.load(checkpoint, False)
    settings = params.load() if layout.PARAMS.exists() else model.settings
    decoder = choice.decoder(settings.evaluate, model.vocabulary, model.rules, layout.LANGUAGE_MODEL)
    known = commit()
    about = {
        "checkpoint": checkpoint.as_posix(),
        "origin": model.origin,
        "commit": known or "",
        "sample_rate": str(model.features.sample_rate),
        "vocabulary_size": str(len(model.vocabulary)),
    }
    made = graph.build(model.network, model.statistics, weights, about)
    size = made.ByteSize()
    if size > onnx.checker.MAXIMUM_PROTOBUF:
        raise UserError(f"{checkpoint}: its network takes {size / 2**30:.1f} GiB, more than a file of ONNX can hold")
    network = made.SerializeToString()
    del made
    dev = layout.manifest_path("dev")
    manifest = Manifest(dev) if dev.exists() else None
    agreed = parity.measure(model, onnx_model.session(network), decoder, manifest)
    agreed.require(LIMITS[weights])
    if not agreed.heard:
        logger.warning(f"no recording of {dev} could be read: the networks were compared on random features alone")
    return Export(checkpoint, model, settings, weights, network, agreed, _chosen_by(checkpoint), known)


def _chosen_by(checkpoint: Path) -> Score | None:
    state = disk.glance(checkpoint)
    metric, rate = (state.made_of.get(name) for name in ("metric", "rate")) if state else (None, None)
    if not isinstance(metric, str) or not isinstance(rate, float | int):
        return None
    return Score(
        metric, f"{state.chosen_on} data", "ctc_greedy, at the end of the epoch, by the checkpoint", float(rate)
    )


def told(agreed: Parity) -> str:
    """How far the networks agree, a sentence."""
    on_audio = "no recordings were at hand"
    if agreed.heard:
        seconds, other = sum(one.seconds for one in agreed.heard), agreed.other_texts
        on_audio = (
            f"{agreed.audio:.1e} over {len(agreed.heard)} recordings of the dev data ({seconds / 60:.1f} minutes), of "
            f"which {other} have another text"
        )
    on_random = f"log-probabilities differ from the checkpoint's by at most {agreed.random:.1e} over random features"
    return f"{on_random}; {on_audio}"


def write(export: Export, folder: Path, scores: Sequence[Score], calibration: Calibration | None) -> None:
    """Writes the bundle under a temporary name and gives it its name; a bundle that was there is replaced.

    Scores are for the model card, the calibration of network and decoder for confidences and times.

    Raises:
        UserError: it cannot be read back as what was exported.
        OSError: the disk is full or not writable; what was there is kept.
    """
    refuse_foreign(folder)
    model, settings, chosen = export.model, export.model.settings, export.settings.evaluate
    with files.replacing_folder(folder) as target:
        (target / bundle.NETWORK).write_bytes(export.network)
        model.vocabulary.write(target / bundle.VOCABULARY)
        language_model = None
        if chosen.decoder == "ctc_beam_search":
            kind = "binary" if header.is_binary(layout.LANGUAGE_MODEL) else "arpa"
            language_model = bundle.LANGUAGE_MODELS[kind]
            shutil.copyfile(layout.LANGUAGE_MODEL, target / language_model)
        facts = _facts(export)
        step = frames_a_step(settings.model)
        config = Config(
            features=settings.features.model_dump(mode="json"),
            text=settings.text.model_dump(mode="json"),
            evaluate=chosen.model_dump(mode="json"),
            frames_a_step=step,
            step_seconds=model.step_seconds,
            usual_seconds=round(model.usual_seconds, 3),
            calibration=None if calibration is None else asdict(calibration),
            origin=model.origin,
            chosen_on=model.chosen_on,
            about=facts | {"scores": [asdict(score) for score in scores]},
        )
        bundle.write_config(target, config, language_model)
        known = settings, export.settings.corpora, model.statistics, _data()
        written = card.text(folder.resolve().name, facts, *known, scores, told(export.agreed))
        (target / bundle.CARD).write_text(written, encoding="utf-8")
        onnx_model.load(target, "auto")  # as its users will


def refuse_foreign(folder: Path) -> None:
    """Raises UserError where a folder holds what is no part of a bundle, which a new bundle would replace."""
    files.make_folder(folder.parent)
    if folder.is_file():
        raise UserError(f"{folder} is a file: name a folder for the bundle")
    own = {bundle.NETWORK, bundle.CONFIG, bundle.VOCABULARY, bundle.CARD, *bundle.LANGUAGE_MODELS.values()}
    foreign = sorted({path.name for path in folder.iterdir()} - own) if folder.is_dir() else []
    if foreign:
        raise UserError(f"{folder} holds {foreign[0]}, which is no part of a bundle: name another folder, or move it")


def commit() -> str | None:
    """The commit of the repository, with "+" where tracked files differ from it; None without git."""
    try:
        asked = [
            subprocess.run(["git", *command], capture_output=True, text=True, check=True, cwd=layout.repository_root())
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked[0].stdout.strip() + ("+" if asked[1].stdout.strip() else "")


def _facts(export: Export) -> dict[str, str]:
    model = export.model
    of_network = model.settings.model
    values = sum(int(parameter.size) for parameter in model.network.parameters() if not parameter.stop_gradient)
    return {
        "weights": f"{model.origin} of {export.checkpoint.as_posix()}, stored as {export.weights.__name__}",
        "git commit": export.commit or "not known",
        "network": f"{of_network.num_conv_layers} convolutions of {of_network.conv_channels} channels, "
        f"{of_network.num_rnn_layers} bidirectional GRUs of {of_network.rnn_layer_size}, {values:,} parameters",
        "vocabulary": f"{len(model.vocabulary):,} tokens",
        "decoder": export.settings.evaluate.decoder,
        "a step": f"{model.step_seconds:g} s",
    }


def _data() -> Mapping[str, float]:
    try:
        return json.loads(layout.DATA_NUMBERS.read_bytes())
    except (OSError, ValueError):
        return {}
