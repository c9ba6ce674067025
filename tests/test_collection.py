import os
import subprocess
import sys

import pytest

from tests.documents import ROOT


def collected(seed: int) -> list[str]:
    """The names of all tests as pytest prints them, with strings hashed by ``seed``."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": str(seed), "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow
def test_the_names_of_the_tests_depend_on_neither_the_time_nor_the_order_of_sets():
    # Pytest-xdist refuses to start where its workers collect different names.
    first = collected(1)
    second = collected(2)  # seconds later: gzip and zip write the time in seconds
    assert len(first) > 1000
    assert first == second
