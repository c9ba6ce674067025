"""What a step costs beside its arithmetic: values that the host waits for."""

import traceback
from collections import Counter

import paddle
import pytest

from ds2.reporting.reporter import Moment, Reporter
from tests.training import tiny

pytestmark = pytest.mark.wheel

READERS = ("numpy", "item", "tolist", "__float__", "__int__", "__bool__", "__index__", "__array__", "__len__")


@pytest.fixture
def reads(monkeypatch):
    """Counts, by the line that made them, the calls that give the host what is in a tensor."""
    found, inside = Counter(), []

    def counted(name):
        real = getattr(paddle.Tensor, name)

        def read(self, *arguments, **options):
            if not inside:  # one may be made of another
                caller = next(frame for frame in reversed(traceback.extract_stack()) if "/ds2/" in frame.filename)
                found[f"{caller.filename.rpartition('/ds2/')[2]}: {caller.line}"] += 1
            inside.append(name)
            try:
                return real(self, *arguments, **options)
            finally:
                inside.pop()

        return read

    for name in READERS:
        if name != "__len__":
            monkeypatch.setattr(paddle.Tensor, name, counted(name))
    return found


class EachStep(Reporter):
    """Keeps what was counted up to every step."""

    def __init__(self, counts: Counter) -> None:
        super().__init__()
        self._counts = counts
        self.seen: list[Counter] = []

    def step(self, now: Moment) -> None:
        self.seen.append(self._counts.copy())


def test_a_step_reads_one_small_value(tmp_path, reads):
    tiny.write_data(tmp_path, tiny.TEXTS * 15)  # 53 batches
    each = EachStep(reads)
    tiny.train(tmp_path, tmp_path / "place", tiny.settings(num_epoch=1), watcher=each)
    assert len(each.seen) == 53
    made = each.seen[50] - each.seen[0]
    assert made.total() == 50, made
