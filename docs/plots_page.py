"""Makes .dvc/plots.html, the page that `dvc plots` fills: it has its scripts in it, while DVC's own needs a network.

Run it to take other versions of the scripts: python docs/plots_page.py (it needs npm and a network).
"""

import hashlib
import json
import re
import subprocess
import tempfile
from pathlib import Path

PAGE = Path(__file__).parents[1] / ".dvc" / "plots.html"

# npm package, version, sha256 of build/NAME.min.js in it. DVC draws with vega 5 and vega-lite 5.
PACKAGES = (
    ("vega", "5.33.1", "463f3db6a40b20e9747b4ed38f37ed0add508838f9141b1cf8366784b07b30c8"),
    ("vega-lite", "5.23.0", "58c27358e26f2d319cf62f45bc17a4c8362f08645001df2ec8d341eee4097c7f"),
    ("vega-embed", "6.29.0", "12d02acfbe3ec59ef9a37dd4822a2e04e2961b5bbb671bbe661d2221715b99da"),
)

# Of what these depend on: for Node, the command line and TypeScript only, not in the scripts.
NOT_IN_THE_SCRIPTS = {"commander", "iconv-lite", "node-fetch", "rw", "vega-typings", "yargs", "@types/estree"}

_DISCLAIMER = re.compile("TH(E|IS) SOFTWARE IS PROVIDED")

# The menu of a plot keeps what works without a network: to save the picture.
HEAD = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>ds2</title>
{refresh_tag}
<style>
body { font-family: system-ui, sans-serif; margin: 2em; color: #222 }
#plots { display: flex; flex-wrap: wrap; gap: 2em; align-items: flex-start }
table { border-collapse: collapse; margin: 0 0 2em }
th, td { padding: 0.25em 0.9em; text-align: left; border-bottom: 1px solid #ddd }
td:nth-child(n+3) { font-variant-numeric: tabular-nums }
</style>
"""

TAIL = """\
<script>
vegaEmbed = (embed => (where, spec) => embed(where, spec, {
  actions: {export: true, source: false, compiled: false, editor: false}
}))(vegaEmbed);
</script>
</head>
<body>
<!-- tables -->
<div id="plots">
{plot_divs}
</div>
</body>
</html>
"""


def main() -> None:
    """Installs the scripts with npm and writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = [f"{name}@{version}" for name, version, _ in PACKAGES]
        subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", *wanted], cwd=folder, check=True)
        installed = Path(folder) / "node_modules"
        scripts = "".join(_script(installed, *package) for package in PACKAGES)
        comment = f"Made by docs/plots_page.py. The scripts and what they include:\n\n{_licences(installed)}"
    if any(word in scripts for word in ("{plot_divs}", "{refresh_tag}", "{scripts}")) or "-->" in comment:
        raise SystemExit("a script has the text of a placeholder in it, or a licence that of a comment's end")
    PAGE.write_text(f"{HEAD}<!--\n{comment}-->\n{scripts}{TAIL}", encoding="utf-8")


def _script(installed: Path, name: str, version: str, sha256: str) -> str:
    code = (installed / name / "build" / f"{name}.min.js").read_bytes()
    found = hashlib.sha256(code).hexdigest()
    if found != sha256:
        raise SystemExit(f"{name} {version} is not what it was: the sha256 of its script is {found}")
    text = code.decode().partition("//# sourceMappingURL")[0].strip()
    return f"<script>\n/* {name} {version}, see the licences above */\n{text}\n</script>\n"


def _licences(installed: Path) -> str:
    """The licences: all who have one, with their copyright lines, then its terms, once."""
    owners: dict[str, dict[str, list[str]]] = {}
    terms_of: dict[str, str] = {}
    for name in sorted(_packages(installed)):
        for head, terms in _parts(_licence(installed, name)):
            same = " ".join(terms.split())  # lines are broken at other places
            terms_of.setdefault(same, terms)
            owners.setdefault(same, {}).setdefault(head, []).append(name)
    return "\n\n".join(
        "\n\n".join([*(f"{', '.join(names)}:\n\n{head}".strip() for head, names in heads.items()), terms_of[same]])
        + "\n"
        for same, heads in owners.items()
    )


def _parts(licence: str) -> list[tuple[str, str]]:
    """Title and copyright lines, and the terms that follow them, of each licence in a text: some have several."""
    found, head, terms = [], [], []
    for paragraph in re.split(r"\n\s*\n", licence):
        if paragraph.startswith("Copyright"):
            # Terms end in a disclaimer; what stands behind it is the title of the next licence.
            end = max((i for i, one in enumerate(terms, start=1) if _DISCLAIMER.match(one)), default=0)
            if end:
                found.append((head, terms[:end]))
                head = []
            head, terms = [*head, *terms[end:], paragraph], []
        else:
            terms.append(paragraph)
    return [("\n\n".join(head), "\n\n".join(terms)) for head, terms in [*found, (head, terms)]]


def _packages(installed: Path) -> set[str]:
    """The packages in the scripts."""
    found: set[str] = set()
    pending = [name for name, *_ in PACKAGES]
    while pending:
        name = pending.pop()
        if name not in found | NOT_IN_THE_SCRIPTS:
            found.add(name)
            pending += json.loads((installed / name / "package.json").read_text()).get("dependencies", {})
    return found


def _licence(installed: Path, name: str) -> str:
    for path in sorted((installed / name).iterdir()):
        if path.name.lower().startswith("licen"):
            return path.read_text(encoding="utf-8").strip()
    if name.startswith("vega"):  # some packages of theirs leave it out
        return (installed / "vega-lite" / "LICENSE").read_text(encoding="utf-8").strip()
    raise SystemExit(f"{name} has no licence")


if __name__ == "__main__":
    main()
