"""MODEL_CARD.md: what a bundle was trained on and how well it does, for people who get it without the repository."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ds2 import params
from ds2.data.mean_istd import MeanIstd
from ds2.data.parts import count


@dataclass(frozen=True, slots=True)
class Score:
    """An error rate; all rates are shares, 0.05 for 5 %."""

    metric: str  # cer or wer
    data: str  # what it was measured on
    how: str  # by which decoder, and who has measured
    rate: float
    low: float | None = None  # the ends of its 95 % interval; None: not known
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" ({self.low:.2%} to {self.high:.2%})"
        return f"{self.rate:.2%}{interval}"


def text(
    title: str,
    about: Mapping[str, str],
    settings: params.Params,
    corpora: Sequence[str],
    statistics: MeanIstd,
    data: Mapping[str, float],
    scores: Sequence[Score],
    parity: str,
) -> str:
    """The card, in Markdown.

    Args:
        title: what the model is called.
        about: facts about the file, by name.
        settings: those of the training.
        corpora: the built-in ones that it was trained on.
        statistics: those of the training's features.
        data: results/data.json, or nothing where there is none.
        scores: all that is known.
        parity: how far the network agrees with its checkpoint, a sentence.
    """
    frames = statistics.frames
    heard = f"{frames / 360_000:.2f} hours in {count(statistics.utterances, 'utterance')}"
    lines = [
        f"# {title}",
        "",
        "A DeepSpeech2 speech recogniser (Amodei et al. 2016), trained with CTC and exported by ds2. `model.onnx` "
        "takes `features` (float32 [B, T, size], log-mel filter banks as `config.json` describes them, not normalised) "
        "and `lengths` (int64 [B]) and gives `log_probabilities` (float32 [B, T', tokens], natural logarithms) and "
        "`steps` (int64 [B]). `vocabulary.txt` has a token a line; line 0 is the blank of CTC.",
        "",
        "In a checkout of ds2, without Paddle:",
        "",
        "    pip install '.[onnx]'",
        "    python -m ds2 transcribe --model FOLDER a.wav",
        "",
        "## Training data",
        "",
        *([f"- built-in corpora: {', '.join(corpora)}"] if corpora else []),
        f"- features were normalised with the statistics of {heard}, before any augmentation",
        *_parts(data),
        "",
        "## Error rates",
        "",
        *_table(("metric", "data", "measured", "rate (95 % interval)"), [_row(score) for score in scores]),
        "" if scores else "None is known.",
        "Intervals are bootstrapped over speakers where these are known, else over utterances.",
        "",
        "## Network",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        f"- parity: {parity}",
        "",
        "## Parameters of the training",
        "",
        "```yaml",
        *(
            f"{name}: {json.dumps(value, ensure_ascii=False)}"
            for name, value in params.values(settings).items()
            if name.split(".")[0] in ("features", "text", "model", "augment", "train")
        ),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _parts(data: Mapping[str, float]) -> list[str]:
    lines = []
    for part in ("train", "dev", "test"):
        if f"{part}_utterances" in data:
            speakers = data.get(f"{part}_speakers")
            named = "" if speakers is None else f", {count(int(speakers), 'speaker')}"
            hours = data.get(f"{part}_hours", 0.0)
            lines.append(f"- {part}: {hours:.2f} hours, {count(int(data[f'{part}_utterances']), 'utterance')}{named}")
    return lines


def _row(score: Score) -> tuple[str, ...]:
    return score.metric.upper(), score.data, score.how, str(score)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
