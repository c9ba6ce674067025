"""Warnings that are said once."""

from pathlib import Path

from loguru import logger

_SAID = Path(".ds2/said")


def warn(name: str, occasion: str, sentence: str) -> None:
    """Logs a warning, and not again as long as the occasion is the same."""
    said = _SAID / name
    if said.exists() and said.read_text(encoding="utf-8") == occasion:
        return
    logger.warning(sentence)
    said.parent.mkdir(parents=True, exist_ok=True)
    said.write_text(occasion, encoding="utf-8")
