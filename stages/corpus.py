"""Makes a built-in corpus.

reads   nothing
params  corpora
writes  dataset/annotation/NAME.<split>.txt, and audio under dataset/audio/NAME/ (noises: dataset/noise/NAME/,
        impulse responses: dataset/reverb/NAME/)
"""

from ds2 import corpora, layout, params, stage
from ds2.corpora import registry


def main(settings: params.Params, name: str) -> None:
    """The stage."""
    corpora.build(name, layout.ANNOTATION, settings.runtime)


if __name__ == "__main__":
    stage.run(main, __doc__, name=f"one of: {', '.join(registry.NAMES)}")
