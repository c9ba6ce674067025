import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.table import Row, show

ROOT = Path(__file__).parents[1]


def test_the_table_has_a_ratio_where_there_is_a_peer():
    lines = show([Row("reading", "lines/s", 9000.0, 1000.0), Row("memory", "GB", 1.25)]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["reading", "lines/s", "9,000", "1,000", "9.0"]
    assert cells[3] == ["memory", "GB", "1.25", "", ""]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.slow
def test_one_command_measures_both_sides_after_their_results_agreed(workspace, write_audio):
    shutil.copy(ROOT / "params.yaml", workspace)
    for i in range(20):
        write_audio(f"corpus/{i}.flac", 1.0 + i / 20)
    (workspace / "corpus/train.txt").write_text("".join(f"{i}.flac\t今天天气\n" for i in range(20)), encoding="utf-8")
    write_audio("hum/hum.wav", 3.0)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "data", "--data", "corpus", "--noise", "hum", "--reverb", "hum"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    ratios = re.findall(r"^\| (.+?) +\| .+/s.*?([\d.]+) \|$", done.stdout, re.MULTILINE)
    assert len(ratios) == 5
