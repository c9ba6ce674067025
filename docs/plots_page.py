"""Makes .dvc/plots.html, the page that `dvc plots` fills: it has its scripts in it, while DVC's own needs a network.

Run it to take other versions of the scripts: python docs/plots_page.py (it needs npm and a network).
"""

import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

PAGE = Path(__file__).parents[1] / ".dvc" / "plots.html"

# npm package, version, sha256 of what npm packs, and the script in it. DVC draws with vega 5 and vega-lite 5.
PACKAGES = (
    ("vega", "5.33.1", "1b8504b6731c5311be3269c4d84ca996a5cc293bc772283293ede20c490e16c3", "vega.min.js"),
    ("vega-lite", "5.23.0", "e4cbfdd8f6f1abe381c59cd558fd6a559c12b1496bfdf2e0c3295263a40fe4da", "vega-lite.min.js"),
    ("vega-embed", "6.29.0", "ecf1ee709c2bac9e0a4ead6908114b05b62c71493e10a8a4308109bb070f8eb1", "vega-embed.min.js"),
)

# Of the packages that the three scripts carry in them.
INSIDE = """\
vega.min.js contains d3 (Copyright Mike Bostock) and topojson-client (Copyright Michael Bostock), vega-embed.min.js
contains semver (Copyright Isaac Z. Schlueter and Contributors), all under the ISC licence:

Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
provided that the above copyright notice and this permission notice appear in all copies.
THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL
IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE.

vega-embed.min.js contains fast-json-patch (Copyright (c) 2017-2021 Joachim Wester) and
json-stringify-pretty-compact (Copyright (c) 2014, 2016, 2017, 2019, 2021, 2022 Simon Lydell), under the MIT licence:

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:
The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

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
    """Packs the scripts with npm and writes the page."""
    licence, scripts = "", []
    for name, version, sha256, script in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True)
            [archive] = Path(folder).iterdir()
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != sha256:
                raise SystemExit(f"{name} {version} is not what it was: its sha256 is {found}")
            with tarfile.open(archive) as packed:
                code = packed.extractfile(f"package/build/{script}").read().decode()
                if name == "vega-lite":  # the three are of the same people, under the same licence
                    licence = packed.extractfile("package/LICENSE").read().decode()
        code = code.partition("//# sourceMappingURL")[0].strip()
        scripts.append(f"<script>\n/* {name} {version}, see the licences above */\n{code}\n</script>\n")
    names = ", ".join(f"{name} {version}" for name, version, *_ in PACKAGES)
    comment = f"Made by docs/plots_page.py. The scripts are those of {names}:\n\n{licence}\n{INSIDE}"
    if any(word in "".join(scripts) for word in ("{plot_divs}", "{refresh_tag}", "{scripts}")) or "--" in comment:
        raise SystemExit("a script has the text of a placeholder in it, or a licence that of a comment's end")
    PAGE.write_text(f"{HEAD}<!--\n{comment}-->\n{''.join(scripts)}{TAIL}", encoding="utf-8")


if __name__ == "__main__":
    main()
