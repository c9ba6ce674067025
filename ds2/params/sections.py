"""params.yaml as typed, bounded, documented objects. The defaults are those of a full-size training."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from ds2 import mel
from ds2.metrics import TOKENS
from ds2.params.networks import FRAMES_A_STEP
from ds2.params.types import Fraction, OptionalPath, PathName, Probability, Real, Text, added, off_from_false

# More than anybody needs, and still a number for every library.
_MANY = 1_000_000_000


class Section(BaseModel):
    """A section of params.yaml: no other keys, no guessing of types, read-only."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _min_and_max_in_order(self) -> Any:
        names = type(self).model_fields
        for low in [name for name in names if name.startswith("min_")]:
            for high in [name for name in (f"max_{low[4:]}", low[4:]) if name in names]:
                if getattr(self, low) > getattr(self, high):
                    raise ValueError(
                        f"{low} ({getattr(self, low):g}) must not be greater than {high} ({getattr(self, high):g})"
                    )
        return self


def is_section(annotation: Any) -> bool:
    """Whether a field holds parameters of its own."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def fields(section: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All parameters below a section with their full names, such as "train.num_epoch", in the order of params.yaml."""
    for name, field in section.model_fields.items():
        if is_section(field.annotation):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


class ManifestSettings(Section):
    """What becomes of the lines of dataset/annotation."""

    min_duration: Real = Field(0.5, ge=0, le=86_400, description="shorter audio is rejected, in seconds")
    max_duration: Real = Field(20.0, gt=0, le=86_400, description="longer audio is rejected, in seconds")
    dev_fraction: Fraction = Field(
        0.01, description="share of the speakers (else files) of other annotations held out as dev data"
    )
    test_fraction: Fraction = Field(
        0.01, description="the same for test data, where no annotation is called *.test.txt"
    )
    max_rejected_fraction: Probability = Field(
        0.05, description="a stage fails if more of the lines are rejected, or of the recordings unreadable"
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> "ManifestSettings":
        if self.min_duration == self.max_duration:
            raise ValueError(f"min_duration must be smaller than max_duration ({self.max_duration:g})")
        if self.dev_fraction + self.test_fraction >= 1:
            raise ValueError("dev_fraction and test_fraction together must be smaller than 1")
        return self


class TextSettings(Section):
    """How transcripts are normalised, besides what always holds."""

    lower_case: bool = Field(True, description="upper case becomes lower case")
    simplified: bool = Field(True, description="traditional Chinese becomes simplified")
    numbers: Literal["keep", "spoken", "reject"] = added(
        "keep",
        before="keep",
        description="digits: keep them, write them as spoken (Mandarin, English), or reject such transcripts",
    )


class FeaturesSettings(Section):
    """The features of one frame."""

    sample_rate: int = Field(16000, ge=4000, le=96000, description="audio is resampled to this rate, in Hz")
    num_mel_bins: int = Field(80, ge=8, le=256, description="mel filters")
    target_db: Annotated[Real, Field(ge=-60, le=0)] | None = Field(
        -20.0, description="every utterance is levelled to this RMS, in dB of full scale; null: as recorded"
    )
    remove_mean: bool = added(
        True, before=False, description="an utterance's mean, so a constant offset, does not count as level"
    )

    @property
    def size(self) -> int:
        """The values of a frame."""
        return self.num_mel_bins

    @model_validator(mode="after")
    def _filters_fit_the_spectrum(self) -> "FeaturesSettings":
        if not mel.filters(self.sample_rate, self.num_mel_bins).any(axis=0).all():
            raise ValueError(
                f"num_mel_bins ({self.num_mel_bins}) is too many for sample_rate {self.sample_rate}, whose spectrum "
                f"has points for {mel.most_filters(self.sample_rate)}"
            )
        return self


class MeanIstdSettings(Section):
    """The statistics that features are normalised with."""

    num_utterances: Annotated[int, Field(ge=1, le=_MANY)] | None = Field(
        None, description="training utterances used, evenly spread; null: all"
    )


class VocabularySettings(Section):
    """The tokens of the model's output."""

    count_threshold: int = Field(
        1, ge=1, le=_MANY, description="characters that the transcripts hold less often become <unk>"
    )


class ModelSettings(Section):
    """The architecture."""

    type: Literal[tuple(FRAMES_A_STEP)] = Field("deepspeech2", description=f"network: {', '.join(FRAMES_A_STEP)}")
    num_conv_layers: int = Field(2, ge=1, le=3, description="convolutions")
    conv_channels: int = Field(32, ge=1, le=512, description="channels of each convolution")
    num_rnn_layers: int = Field(3, ge=1, le=16, description="bidirectional GRU layers")
    rnn_layer_size: int = Field(1024, ge=1, le=8192, description="units of a GRU layer in each direction")
    dropout: Fraction = Field(0.1, description="dropout on the input of the output layer")


class NoiseSettings(Section):
    """Background noise."""

    prob: Probability = Field(0.5, description="share of utterances it is applied to")
    min_snr_dB: Real = Field(10.0, ge=-100, le=100, description="lowest signal-to-noise ratio, in dB")
    max_snr_dB: Real = Field(50.0, ge=-100, le=100, description="highest signal-to-noise ratio, in dB")
    noise_dir: PathName = Field("dataset/noise", description="folder of recordings of noise")


class ResampleSettings(Section):
    """Down and up again, as a telephone does."""

    prob: Probability = Field(0.0, description="share of utterances it is applied to")
    new_sample_rate: tuple[Annotated[int, Field(ge=1000, le=192000)], ...] = Field(
        (8000, 16000, 24000), min_length=1, description="rates to choose from, in Hz"
    )


class ReverbSettings(Section):
    """Rooms."""

    prob: Probability = Field(0.2, description="share of utterances it is applied to")
    reverb_dir: PathName = Field("dataset/reverb", description="folder of room impulse responses")


class ShiftSettings(Section):
    """Shift in time."""

    prob: Probability = Field(0.5, description="share of utterances it is applied to")
    min_shift_ms: Real = Field(-5.0, ge=-60_000, le=60_000, description="earliest shift, in milliseconds")
    max_shift_ms: Real = Field(5.0, ge=-60_000, le=60_000, description="latest shift, in milliseconds")


class SpecAugSettings(Section):
    """SpecAugment: masks in frequency and time, time warping."""

    prob: Probability = Field(0.5, description="share of utterances it is applied to")
    freq_mask_ratio: Probability = Field(0.15, description="widest frequency mask, as a share of the bins")
    n_freq_masks: int = Field(2, ge=0, le=100, description="frequency masks")
    time_mask_ratio: Probability = Field(0.05, description="widest time mask, as a share of the frames")
    n_time_masks: int = Field(2, ge=0, le=100, description="time masks")
    max_time_warp: int = Field(5, ge=0, le=1000, description="largest time warp, in frames")


class SpecSubAugSettings(Section):
    """Stretches of frames replaced by earlier ones."""

    prob: Probability = Field(0.5, description="share of utterances it is applied to")
    max_time: int = Field(30, ge=1, le=1000, description="longest stretch, in frames")
    num_time_sub: int = Field(3, ge=0, le=100, description="stretches")


class SpeedSettings(Section):
    """Faster and slower, pitch with it: 0.9, 1.0 or 1.1 times."""

    prob: Probability = Field(0.5, description="share of utterances it is applied to")


class VolumeSettings(Section):
    """Louder and softer: without effect unless features.target_db is null."""

    prob: Probability = Field(0.5, description="share of utterances it is applied to")
    min_gain_dBFS: Real = Field(-15.0, ge=-100, le=100, description="lowest gain, in dB")
    max_gain_dBFS: Real = Field(15.0, ge=-100, le=100, description="highest gain, in dB")


class AugmentSettings(Section):
    """The kinds of augmentation."""

    noise: NoiseSettings = NoiseSettings()
    resample: ResampleSettings = ResampleSettings()
    reverb: ReverbSettings = ReverbSettings()
    shift: ShiftSettings = ShiftSettings()
    spec_aug: SpecAugSettings = SpecAugSettings()
    spec_sub_aug: SpecSubAugSettings = SpecSubAugSettings()
    speed: SpeedSettings = SpeedSettings()
    volume: VolumeSettings = VolumeSettings()


class TrainSettings(Section):
    """The training."""

    num_epoch: int = Field(100, ge=1, le=1_000_000, description="total epochs; raise it after a run to train more")
    batch_size: int = Field(8, ge=1, le=100_000, description="utterances per batch, over all processes")
    max_batch_seconds: Annotated[Real, Field(gt=0, le=_MANY)] | None = Field(
        None,
        description="fill each batch up to this many seconds, padding included, instead of batch_size; null: off",
    )
    learning_rate: Real = Field(5e-4, gt=0, le=10, description="peak learning rate, reached after the warm-up")
    min_learning_rate: Real = Field(1e-5, ge=0, le=10, description="the learning rate does not decay below this")
    warmup_steps: int = Field(25000, ge=1, le=_MANY, description="steps of linear warm-up")
    grad_clip: Real = Field(5.0, gt=0, le=1e12, description="clip gradients to this global norm")
    weight_decay: Real = Field(0.0, ge=0, le=1, description="L2 penalty, added to the gradients")
    seed: int = Field(1, ge=0, lt=2**31, description="all randomness is derived from it")
    augment: bool = Field(True, description="apply the section augment to training utterances")
    amp: Annotated[Literal["off", "bf16", "fp16"], BeforeValidator(off_from_false)] = Field(
        "off", description="mixed precision: off, bf16 or fp16"
    )
    accumulate_grad: int = Field(1, ge=1, le=1000, description="batches whose gradients are accumulated into a step")
    max_nonfinite: int = Field(
        20, ge=1, le=_MANY, description="stop after this many consecutive steps without a finite loss"
    )
    save_interval: int = Field(
        2000, ge=1, le=_MANY, description="batches between checkpoints; every epoch ends with one too"
    )
    keep_checkpoints: int = Field(3, ge=1, le=_MANY, description="newest epochs kept, besides the best")
    evaluate_on: Literal["dev", "test"] | None = Field(
        "dev", description="data scored after every epoch: dev, test or null"
    )
    average_share: Annotated[Real, Field(gt=0, le=0.5)] | None = added(
        0.1,
        before=None,
        description="mean age of the averaged weights, as a share of the steps so far; null: no average",
    )
    resume_model: OptionalPath = Field(
        "auto", description="auto: this training's latest state; or a checkpoint's folder"
    )
    pretrained_model: OptionalPath = Field(None, description="checkpoint's folder to take the weights of; null: none")
    start_over: Text | None = added(
        None, before=None, description="a new word starts a new training with the same parameters; null: none"
    )

    @model_validator(mode="after")
    def _one_checkpoint_is_named(self) -> "TrainSettings":
        if self.pretrained_model is not None and self.resume_model not in ("auto", None):
            raise ValueError(
                "pretrained_model and resume_model both name a checkpoint: set the former to null or the latter to auto"
            )
        return self


class LanguageModelSettings(Section):
    """The n-gram model of the training transcripts."""

    order: int = Field(4, ge=2, le=6, description="length of the longest n-grams, in units; KenLM reads up to 6")
    unit: Literal["char", "word"] = Field("char", description="unit of the n-grams: char or word (between spaces)")
    extra_text: tuple[PathName, ...] = Field(
        (), description="text files besides the transcripts, one sentence a line, best in dataset/text"
    )
    prune: tuple[Annotated[int, Field(ge=0, le=_MANY)], ...] = Field(
        (), description="[0, 0, 1] leaves out n-grams of order 3 and more that occur once; empty: keep all"
    )
    path: OptionalPath = Field(None, description="a ready KenLM or ARPA file to use instead, best in dataset/text")

    @model_validator(mode="after")
    def _prune_fits_the_order(self) -> "LanguageModelSettings":
        if len(self.prune) > self.order:
            raise ValueError(f"prune has {len(self.prune)} numbers, but order is {self.order}: one for each order")
        if self.prune and self.prune[0] != 0:
            raise ValueError(f"prune must begin with 0, not {self.prune[0]}: single words or characters stay")
        if list(self.prune) != sorted(self.prune):
            raise ValueError(f"prune ({', '.join(map(str, self.prune))}) must not fall from one order to the next")
        return self


class EvaluateSettings(Section):
    """The scoring of the test set."""

    metrics_type: Literal[tuple(TOKENS)] = Field(
        "cer", description=f"rate that is reported first and chooses the model to use: {' or '.join(TOKENS)}"
    )
    decoder: Literal["ctc_greedy", "ctc_prefix_beam", "ctc_beam_search"] = Field(
        "ctc_greedy",
        description="ctc_greedy, ctc_prefix_beam (no language model) or ctc_beam_search (with the language model)",
    )
    beam_size: int = Field(300, ge=1, le=100_000, description="hypotheses that a beam search keeps per step")
    alpha: Real = Field(2.2, ge=0, le=100, description="ctc_beam_search: weight of the language model's ln P")
    beta: Real = Field(4.3, ge=-100, le=100, description="ctc_beam_search: length bonus per character")
    cutoff_prob: Real = Field(
        0.99,
        gt=0,
        le=1,
        description="likeliest tokens per step, up to this cumulative probability, enter the beam search",
    )
    cutoff_top_n: int = Field(
        40, ge=1, le=100_000, description="at most this many tokens per step enter the beam search"
    )
    hot_words: dict[Text, Annotated[Real, Field(gt=0, le=1000)]] | None = Field(
        None, description="words that a beam search favours, each with its boost above 0: {word: 5.0}"
    )
    checkpoint: PathName = Field("best_model", description="folder below models/: best_model, epoch_N")
    batch_size: int = Field(16, ge=1, le=100_000, description="utterances per forward pass")


class RuntimeSettings(Section):
    """How fast and where, never what: no stage depends on this section."""

    use_gpu: Literal["auto"] | bool = Field("auto", description="auto, true or false")
    num_workers: Literal["auto"] | Annotated[int, Field(ge=0, le=1024)] = Field(
        "auto", description="processes that read audio; 0: only the main one; auto: by the cores"
    )
    num_processes: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto",
        description="training processes per machine; auto: one per visible GPU, one on a CPU, which uses all cores",
    )
    probe_longest: bool = Field(True, description="try the longest batch before epoch 1, to see that memory suffices")
    deterministic: bool = Field(False, description="slower GPU algorithms that are reproducible to the bit")
    log_interval: int = Field(100, ge=1, le=_MANY, description="batches between log lines")
    download_dir: PathName = Field(
        "dataset/downloads", description="folder for the archives of public corpora; those there are used"
    )


class Params(Section):
    """All of params.yaml."""

    corpora: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], ...] = Field(
        (), description="built-in corpora to generate or download; your own data needs no name here"
    )
    manifest: ManifestSettings = ManifestSettings()
    text: TextSettings = TextSettings()
    features: FeaturesSettings = FeaturesSettings()
    mean_istd: MeanIstdSettings = MeanIstdSettings()
    vocabulary: VocabularySettings = VocabularySettings()
    model: ModelSettings = ModelSettings()
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()
    lm: LanguageModelSettings = LanguageModelSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    runtime: RuntimeSettings = RuntimeSettings()
