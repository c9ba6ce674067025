"""The demo corpus: commands to a home and a car in synthetic Mandarin, made in seconds, without a download.

Every sentence stands in one part only, and the voices of the test and dev parts are not heard in training.
"""

import hashlib
import os
import random
import sys
import traceback
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import soundfile
import soxr

from ds2 import layout, parallel, params
from ds2.corpora import annotations, espeak, grammar
from ds2.errors import UserError
from ds2.files import replacing

_SEED = 2016  # the year of the DeepSpeech2 paper
_SAMPLE_RATE = 16000
_COUNTS = {"train": 1350, "dev": 64, "test": 100}  # sentences
_RANGES = ((210, 290), (35, 65), (40, 70))  # of rate, pitch and pitch_range
_LEVELS = (-35, -22)
# dB below the speech. The quietest is just above digital silence, which is left out: its logarithm would stretch the
# deviation that features are normalised with by half, and its frames are clipped to those of quiet noise anyway.
_LOUDEST_ROOM, _LOUDEST_EDGE, _QUIETEST = 30, 0, 55
_LONGEST_EDGE = 1000  # milliseconds
# Variants of the Mandarin voice that sound like different people.
_VOICES = {
    "train": (
        *("m1", "m2", "m3", "m5", "m6", "m7", "m8", "f1", "f2", "f4", "f5", "adam", "anika", "antonio", "belinda"),
        *("caleb", "david", "edward", "gustave", "ian", "linda", "marcelo", "michel", "pablo", "quincy", "shelby"),
        *("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee"),
        *("Marco", "Mario", "Michael", "Mike", "Reed", "benjamin", "boris", "ed", "grandma", "iven", "max", "miguel"),
        *("norbert", "paul", "pedro", "sandro", "travis", "victor", "zac"),
    ),
    "dev": ("steph", "john"),
    "test": ("m4", "f3", "robert", "aunty"),
}


@dataclass(frozen=True, slots=True)
class Noise:
    """A stationary noise."""

    below: int  # dB below the speech
    colour: float  # its power falls with the frequency to this power: 0 is white, 1 pink, 2 brown


@dataclass(frozen=True, slots=True)
class Edge:
    """What is recorded before the speech or after it; a model that has never heard such edges finds words in them."""

    room: int  # milliseconds of the room alone, next to the speech
    other: int  # milliseconds of another noise, beyond the room
    noise: Noise  # the other one


@dataclass(frozen=True, slots=True)
class SpokenSentence:
    """A sentence and how it is spoken and recorded."""

    text: str
    voice: str  # libespeak-ng's name of it
    rate: int  # words a minute
    pitch: int  # from 0 to 99
    pitch_range: int  # from 0 to 99
    room: Noise  # under the speech
    level: int  # RMS of the speech, in dB of full scale
    before: Edge
    after: Edge

    @property
    def audio(self) -> Path:
        """Where it lies; the name follows from all that decides the sound, so an existing file is the right one."""
        what = " ".join(map(str, astuple(replace(self, voice=""))))
        digest = hashlib.blake2b(what.encode("utf-8"), digest_size=6).hexdigest()
        return layout.AUDIO / "demo" / self.voice / f"{digest}.flac"


def utterances() -> dict[str, list[SpokenSentence]]:
    """All of train, dev and test, the same every time."""
    draw = random.Random(_SEED)
    texts = iter(grammar.sentences(sum(_COUNTS.values()), _SEED))
    parts = {
        split: [_drawn(next(texts), draw.choice(_VOICES[split]), draw, 2) for _ in range(count)]
        for split, count in _COUNTS.items()
    }
    # Single words with long edges are mostly noise. Measured: without them some trainings said every sentence at the
    # ends of the recording, learned slowly, and heard a sentence in any noise.
    parts["train"] += [_drawn(text, draw.choice(_VOICES["train"]), draw, 0.5) for text in grammar.words()]
    return parts


def _drawn(text: str, voice: str, draw: random.Random, cut: float) -> SpokenSentence:
    def noise(loudest: int) -> Noise:
        return Noise(draw.randint(loudest, _QUIETEST), round(draw.uniform(0, 2), 1))

    def edge() -> Edge:
        length = round(_LONGEST_EDGE * draw.random() ** cut)
        other = draw.choice((0, length, draw.randint(0, length)))
        return Edge(length - other, other, noise(_LOUDEST_EDGE))

    numbers = [draw.randint(*ends) for ends in _RANGES]
    return SpokenSentence(text, voice, *numbers, noise(_LOUDEST_ROOM), draw.randint(*_LEVELS), edge(), edge())


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Speaks what is missing and writes demo.<split>.txt, as `corpora.build`; UserError: no libespeak-ng is there."""
    parts = utterances()
    everything = [spoken for part in parts.values() for spoken in part]
    missing = [spoken for spoken in everything if not (layout.repository_root() / spoken.audio).exists()]
    if missing:
        espeak.synthesizer()  # says at once, and here, if it is not installed
    workers = parallel.processes(runtime.num_workers)
    for _ in parallel.ordered_map(_speak, parallel.chunks(missing, 32), len(missing), workers, name):
        pass
    lines = {
        split: [annotations.Spoken(spoken.audio.as_posix(), spoken.text, f"demo-{spoken.voice}") for spoken in part]
        for split, part in parts.items()
    }
    annotations.write(annotation, name, lines)


def _speak(chunk: Sequence[SpokenSentence]) -> None:
    voice = espeak.synthesizer()
    for spoken in chunk:
        # libespeak-ng remembers what it said, and what it says next depends on it, even after a restart of the
        # library. A forked copy that has said nothing yet speaks the same in any order and any process.
        child = os.fork()
        if child == 0:
            _write_and_exit(voice, spoken)
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise UserError(f"{spoken.audio} could not be made: see the message above, and run the stage again")


def _recorded(speech: np.ndarray, spoken: SpokenSentence) -> np.ndarray:
    """Speech, float32 [n], as a microphone records it: in a room, between its edges, at its level."""
    random = np.random.default_rng(list(spoken.text.encode("utf-8")))

    def heard(noise: Noise, count: int) -> np.ndarray:
        return coloured_noise(noise.colour, count, random) * 10 ** (-noise.below / 20)

    edges = (spoken.before, spoken.after)
    in_room = np.pad(speech / np.sqrt(np.mean(speech**2)), [_samples(edge.room) for edge in edges])
    in_room += heard(spoken.room, len(in_room))
    before, after = (heard(edge.noise, _samples(edge.other)) for edge in edges)
    return np.concatenate([before, in_room, after]) * 10 ** (spoken.level / 20)


def _samples(milliseconds: int) -> int:
    return milliseconds * _SAMPLE_RATE // 1000


def coloured_noise(colour: float, count: int, random: np.random.Generator) -> np.ndarray:
    """Noise with an RMS of 1 and of a colour as in `Noise`, float64 [count]; below 20 Hz it is white."""
    length = max(count, _SAMPLE_RATE)  # a shorter one has no low frequencies
    spectrum = np.fft.rfft(random.standard_normal(length))
    spectrum *= np.maximum(np.fft.rfftfreq(length, 1 / _SAMPLE_RATE), 20) ** (-colour / 2)
    samples = np.fft.irfft(spectrum, length)
    return samples[:count] / np.sqrt(np.mean(samples**2))


def _write_and_exit(voice: espeak.Synthesizer, spoken: SpokenSentence) -> NoReturn:
    try:
        samples = voice.speak(spoken.text, f"cmn+{spoken.voice}", spoken.rate, spoken.pitch, spoken.pitch_range)
        samples = _recorded(soxr.resample(samples, voice.sample_rate, _SAMPLE_RATE, quality="HQ"), spoken)
        with replacing(layout.repository_root() / spoken.audio, "wb") as file:
            soundfile.write(file, np.clip(samples, -1.0, 1.0), _SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        os._exit(0)
    except (OSError, soundfile.LibsndfileError, UserError) as error:
        print(error, file=sys.stderr, flush=True)
    except Exception:
        traceback.print_exc()
    finally:  # never back into what the parent does
        os._exit(1)
