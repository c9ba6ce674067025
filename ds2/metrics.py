"""The error rates that evaluate.metrics_type names, and what each of them counts."""


def characters(text: str) -> list[str]:
    """The tokens of the CER: characters without spaces, as sclite scores Mandarin."""
    return [character for character in text if not character.isspace()]


def words(text: str) -> list[str]:
    """The tokens of the WER: what stands between spaces."""
    return text.split()


# A rate is a line here: all that scores, chooses and shows goes through this table.
TOKENS = {"cer": characters, "wer": words}
