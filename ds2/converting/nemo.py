"""NeMo's manifests: one JSON object a line, whose relative paths count from the manifest's folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ds2.converting.rows import Account, Row, locate, name_of, objects
from ds2.errors import UserError

_KEYS = ("audio_filepath", "audio_filename", "text", "text_filepath", "normalized_text", "speaker", "offset")
_KNOWN = {*_KEYS, "duration", "channel", "shard_id"}


def find(source: Path) -> dict[str, Path]:
    """A manifest, or the folder of several (.json, .jsonl)."""
    found = [*source.glob("*.json"), *source.glob("*.jsonl")] if source.is_dir() else [source]
    if not found:
        raise UserError(f"{source} holds no manifest: there is no .json or .jsonl in it")
    return {name_of(path): path for path in sorted(found)}


def read(path: Path, account: Account) -> Iterator[Row]:
    """The utterances of a manifest; lines of tarred ones cannot be carried over."""
    for number, item in objects(path, account, _KNOWN):
        if "shard_id" in item:
            account.leave(
                "lines of a tarred manifest: unpack the shards, and convert the manifest they were made of",
                path,
                number,
                item.get("audio_filepath"),
            )
            continue
        audio = item.get("audio_filepath", item.get("audio_filename"))
        times = {key: item.get(key) for key in ("offset", "duration")}
        yield Row(path, number, audio, _text(item, path), item.get("speaker"), **times, channel=item.get("channel"))


def _text(item: dict[str, Any], manifest: Path) -> Any:
    if "text" in item or "text_filepath" not in item:
        return item.get("text", item.get("normalized_text"))
    found = locate(str(item["text_filepath"]), manifest.parent)
    try:
        return Path(found).read_text(encoding="utf-8-sig") if found else None
    except ValueError:  # no UTF-8
        return None
