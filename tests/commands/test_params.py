import subprocess
import sys

from ds2 import params
from tests.documents import ROOT


def test_every_parameter_is_explained():
    done = subprocess.run(
        [sys.executable, "-m", "ds2", "params"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" = ")[0] for line in done.stdout.splitlines()[::2]] == params.names()


def test_who_reads_it_may_stop():
    command = f"{sys.executable} -m ds2 params | true"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
