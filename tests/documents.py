"""README, CONTRIBUTING and the pages of docs/: what stands in their code blocks and spans."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each in English and in Chinese.
PAIRS = [
    (path, path.with_name(f"{path.stem}.zh-CN.md"))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if not path.name.endswith(".zh-CN.md")
]
PAGES = [path for pair in PAIRS for path in pair]

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s{2,}# .*$")
_PROGRAMS = r"\.ci/run|cp|df|du|dvc|export|find|git|head|iconv|make|nvidia-smi|pip|python|ruff|source|srun|visualdl"
_COMMAND = re.compile(rf"(?:\w+=\S+ )*(?:{_PROGRAMS})(?: .+)?")
# Mentions of programs, which nobody types without an argument.
_NAMES = {
    "dvc",
    "git",
    "make",
    "python",
    "dvc add",
    "dvc exp apply",
    "dvc exp run",
    "dvc plots",
    "python -m ds2 convert",
    "python -m ds2 transcribe",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: the word behind the fence, and the text."""

    tag: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, without their indentation."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        Block(tag, "\n".join(line.removeprefix(indent) for line in text.split("\n"))) for indent, tag, text in found
    ]


def spans(page: Path) -> list[str]:
    """All inline code of a page."""
    return re.findall(r"`([^`\n]+)`", _BLOCK.sub("", page.read_text(encoding="utf-8")))


def commands(page: Path) -> list[str]:
    """What a reader may type, in order and each once: from blocks tagged sh, and inline code that is a command."""
    found = [command for block in blocks(page) if block.tag == "sh" for command in _logical_lines(block.text)]
    found += [span for span in spans(page) if _COMMAND.fullmatch(span) and span not in _NAMES]
    return list(dict.fromkeys(found))


def untranslated(block: Block) -> Block:
    """A block without its comments, and a list of files (tagged tree) without what is said of them."""
    if block.tag == "tree":
        return Block(block.tag, "\n".join(re.split(r"\s{2,}", line)[0] for line in block.text.split("\n")))
    return Block(block.tag, without_comments(block.text))


def without_comments(text: str) -> str:
    """Lines without the comments behind them."""
    return "\n".join(_COMMENT.sub("", line) for line in text.split("\n"))


def _logical_lines(text: str) -> list[str]:
    found, begun = [], ""
    for line in without_comments(text).strip().split("\n"):
        begun += line
        try:
            shlex.split(begun)
        except ValueError:  # a quotation goes on
            begun += "\n"
            continue
        if begun:
            found.append(begun)
        begun = ""
    return found
