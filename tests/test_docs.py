"""The pages say the same in both languages, and nothing that the code does not say."""

import ast
import functools
import itertools
import re
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import params
from ds2.annotation import files
from ds2.annotation.files import Source
from tests import documents
from tests.documents import PAGES, PAIRS, ROOT

EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
EACH_PAIR = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)
TAGS = {"json", "sh", "text", "tree", "yaml"}
# Beginnings of lines that are not the log's or an error's: a table of metrics, an annotation.
NO_MESSAGES = ("Path ", "results/", "/data/", "dataset/")
# A message is recognised by so many letters of its own.
LETTERS = 9


@EACH_PAIR
def test_both_languages_have_the_same_code(pair):
    english, chinese = pair
    assert sorted(documents.spans(english)) == sorted(documents.spans(chinese))
    blocks = [[documents.untranslated(block) for block in documents.blocks(page)] for page in pair]
    assert blocks[0] == blocks[1]


@EACH_PAIR
def test_both_languages_have_the_same_chapters(pair):
    headings = [re.findall(r"^#+ ", re.sub(r"```.*?```", "", _read(page), flags=re.DOTALL), re.M) for page in pair]
    assert headings[0] == headings[1]


@EACH_PAGE
def test_every_block_says_what_it_is(page):
    assert {block.tag for block in documents.blocks(page)} <= TAGS


@EACH_PAGE
def test_links_lead_to_files_and_headings_that_exist(page):
    for target in re.findall(r"\]\(([^)]+)\)", _read(page)):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", _read(file), re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles], target


def test_readme_names_every_page():
    for language in (0, 1):
        readme = _read(PAIRS[0][language])
        assert [pair[language].name for pair in PAIRS[2:] if f"(docs/{pair[language].name})" not in readme] == []


@EACH_PAGE
def test_parameters_that_are_named_exist(page):
    sections = "|".join(params.Params.model_fields)
    named = re.findall(rf"`((?:{sections})\.[A-Za-z_.]+)", _read(page))
    known = {*params.names(), *(name.rsplit(".", 1)[0] for name in params.names())}
    assert [
        name
        for name in named
        if name not in known and not name.endswith((".arpa", ".bin", ".onnx", ".png", ".py", ".tsv", ".txt"))
    ] == []


@EACH_PAGE
def test_parameters_that_are_set_can_be_set(page):
    for command in documents.commands(page):
        words = shlex.split(command) if "dvc exp run" in command else []
        for option in [word for before, word in itertools.pairwise(words) if before == "-S"]:
            name, _, value = option.partition("=")
            for one in value.split(",") if "--queue" in words else [value]:
                values = _nested(name, _yaml(one))
                params.from_dict(values)
    for block in documents.blocks(page):
        if block.tag == "yaml":
            params.from_dict(_yaml(block.text))


@EACH_PAGE
def test_what_is_quoted_is_what_the_code_says(page):
    lines = [line for block in documents.blocks(page) if block.tag == "text" for line in block.text.splitlines()]
    unknown = [line for line in lines if not line.startswith(NO_MESSAGES) and not _is_said(line)]
    assert unknown == []


def test_an_annotation_in_the_pages_is_one_that_the_code_takes(tmp_path):
    (block,) = (block for block in documents.blocks(ROOT / "docs/own-data.md") if block.tag == "json")
    (tmp_path / "my.jsonl").write_text(block.text, encoding="utf-8")
    found = list(files.read(Source(tmp_path / "my.jsonl", "train")))
    assert [(line.piece.offset, line.piece.channel, line.speaker) for line in found] == [
        (12.48, 0, "zhang"),
        (15.6, 1, "li"),
    ]


def test_the_reasons_for_rejection_are_those_of_the_code():
    code = "".join(_read(path) for path in sorted((ROOT / "ds2/annotation").glob("*.py")))
    reasons = {*re.findall(r'reject\(\s*"(\w+)"', code), *re.findall(r'^_REASON = "(\w+)"', code, re.M)}
    table = _read(ROOT / "docs/own-data.md").partition("| reason |")[2].partition("\n\n")[0]
    assert {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1:2][0] if row else "")
    } == reasons


def test_the_kinds_of_augmentation_and_their_parameters_are_those_of_the_code():
    table = _read(ROOT / "docs/augmentation.md").partition("| kind |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    said = {row[1].strip(" `"): ["prob", *re.findall(r"`(\w+)`", row[3])] for row in rows}
    kinds = params.AugmentSettings.model_fields
    assert said == {kind: list(section.annotation.model_fields) for kind, section in kinds.items()}


def test_nobody_is_told_to_install_a_strangers_project():
    # On the package index ds2 is another project.
    telling = re.compile(r"\bpip3? install\b[^\n`]*\sds2\b(?!/)")
    assert telling.search("pip install --user ds2[cpu]")
    said = [*PAGES, ROOT / "pyproject.toml", ROOT / "Makefile", *(ROOT / "recipes").iterdir()]
    said += [path for folder in ("ds2", "stages", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.*")]
    texts = {path: _read(path) for path in said if path.suffix in (".md", ".py", ".html", ".yaml", ".toml", "")}
    assert [path for path, text in texts.items() if telling.search(text)] == []


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _yaml(text: str):
    return YAML(typ="safe", pure=True).load(text)


def _nested(name: str, value):
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def _is_said(line: str) -> bool:
    """Whether some text of the code, with its expressions filled in, begins the line."""
    return any(re.match(pattern, f"{line} ") for pattern in _messages())


@functools.cache
def _messages() -> list[str]:
    """Every text in ds2/ and stages/ that is long enough to be told, as a pattern."""
    found = []
    for path in [*(ROOT / "ds2").rglob("*.py"), *(ROOT / "stages").glob("*.py")]:
        for node in ast.walk(ast.parse(_read(path))):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
                letters = sum(len(re.findall(r"\w", text)) for text in texts if isinstance(text, str))
                if letters >= LETTERS and all(text is None or isinstance(text, str) for text in texts):
                    found.append("".join(".*?" if text is None else re.escape(text) for text in texts))
    return found
