"""Makes a built-in corpus.

reads   nothing
params  corpora
writes  dataset/annotation/NAME.<split>.txt, and audio under dataset/audio/NAME/ (noises: dataset/noise/NAME/,
        impulse responses: dataset/reverb/NAME/)
"""

from ds2 import corpora, layout, stage
from ds2.corpora import registry
from ds2.errors import ends_with_a_sentence


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    settings, arguments = stage.start(__doc__, ("name", f"one of: {', '.join(registry.NAMES)}"))
    corpora.build(arguments.name, layout.ANNOTATION, settings.runtime)


if __name__ == "__main__":
    main()
