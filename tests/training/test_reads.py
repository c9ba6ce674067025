"""What a step costs beside its arithmetic: values that the host waits for."""

import traceback
from collections import Counter

import paddle
import pytest

from ds2.model import unfolded_conv
from ds2.reporting.reporter import Moment, Reporter
from ds2.training import step
from tests.training import tiny

pytestmark = pytest.mark.wheel

# What numpy computes, on a CPU only: it waits for nothing.
NUMPYS = (unfolded_conv.__file__,)
READERS = ("numpy", "item", "tolist", "__float__", "__int__", "__bool__", "__index__", "__array__")


@pytest.fixture
def reads(monkeypatch):
    """Counts, by the line that made them, the calls that give the host what is in a tensor."""
    found, inside = Counter(), []

    def counted(name):
        real = getattr(paddle.Tensor, name)

        def read(self, *arguments, **options):
            if not inside:  # one may be made of another
                caller = next(frame for frame in reversed(traceback.extract_stack()) if "/ds2/" in frame.filename)
                if caller.filename not in NUMPYS:
                    found[f"{caller.filename}: {caller.line}"] += 1
            inside.append(name)
            try:
                return real(self, *arguments, **options)
            finally:
                inside.pop()

        return read

    for name in READERS:
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


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("log_interval", [1, 7])
def test_a_step_reads_one_small_value(queued, log_interval, tmp_path, monkeypatch, reads):
    monkeypatch.setattr(step, "queued", lambda: queued)
    tiny.write_data(tmp_path, tiny.TEXTS * 15)  # 53 batches
    each, chosen = EachStep(reads), tiny.settings(num_epoch=1, grad_clip=0.1, evaluate_on=None)
    chosen = chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"log_interval": log_interval})})
    tiny.train(tmp_path, tmp_path / "place", chosen, watcher=each)
    assert len(each.seen) == 53
    made = each.seen[50] - each.seen[0]
    assert list(made.values()) == [50], made
