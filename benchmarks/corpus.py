"""The recordings that everything is measured on."""

import functools
from dataclasses import dataclass
from pathlib import Path

from ds2 import layout, params
from ds2.data import manifest
from ds2.data.manifest import Manifest, Utterance
from ds2.errors import UserError


@dataclass(frozen=True)
class Corpus:
    """Recordings, and folders of noise and impulse responses.

    Attributes:
        lines: (absolute audio path, transcript).
        settings: params.yaml's, with these folders and augmentation on.
    """

    lines: tuple[tuple[str, str], ...]
    settings: params.Params

    @classmethod
    def find(cls, folder: Path | None, noise: Path | None, reverb: Path | None) -> "Corpus":
        """Of a folder with a train.txt, else of zh-dsp20-strings beside the repository, else the demo's.

        Raises:
            UserError: none of them is there.
        """
        beside = Path.cwd().parent / "zh-dsp20-strings"
        if folder is None and beside.is_dir():
            folder = beside
        path = layout.ANNOTATION / "demo.train.txt" if folder is None else folder / "train.txt"
        if not path.exists():
            raise UserError(f"{path} does not exist: give --data a folder with a train.txt, or run dvc repro corpus")
        root = Path.cwd() if folder is None else folder.resolve()
        fields = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        values = params.load().model_dump(mode="json")
        values["train"]["augment"] = True
        for kind, key, chosen in (("noise", "noise_dir", noise), ("reverb", "reverb_dir", reverb)):
            values["augment"][kind][key] = str(Path(chosen or values["augment"][kind][key]).resolve())
        return cls(tuple((str(root / line[0]), line[1]) for line in fields), params.from_dict(values))

    def first(self, count: int) -> "Corpus":
        """Of so many utterances, evenly spread."""
        step = max(1, len(self.lines) // count)
        return Corpus(self.lines[::step][:count], self.settings)

    def manifest(self, path: Path) -> Manifest:
        """Writes their manifest."""
        manifest.write(path, self.utterances)
        return Manifest(path)

    @functools.cached_property
    def utterances(self) -> list[Utterance]:
        """As they stand in a manifest."""
        from ds2.audio import reading
        from ds2.data import text

        found = []
        for name, transcript in self.lines:
            duration = reading.inspect(Path(name)).duration
            found.append(Utterance(name, duration, text.normalize(transcript, self.settings.text)))
        return found
