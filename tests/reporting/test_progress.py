"""A bar where the standard error is a terminal, log lines where it is none: in real processes, one with a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import timedelta
from types import SimpleNamespace

import pytest

from ds2.reporting import progress
from ds2.reporting.history import History
from ds2.reporting.progress import Bar, Lines
from ds2.reporting.reporter import Moment
from tests.process import ROOT, Stage
from tests.training import tiny

pytestmark = pytest.mark.wheel

CHOSEN = {"num_epoch": 2}


@pytest.fixture
def root(workspace):
    tiny.write_data(workspace)
    tiny.write_params(workspace, **CHOSEN)
    return workspace


def on_a_terminal(root, columns=120):
    """What a terminal gets from the train stage."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "COLUMNS"))}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train"], cwd=root, env=environment, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    got = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        got += part
    os.close(ours)
    assert process.wait() == 0, got.decode()
    return got.decode()


def screen(got):
    """The lines that stay: of what was written over, the last."""
    lines = []
    for line in got.replace("\r\n", "\n").split("\n"):
        seen = ""
        for part in line.split("\r"):
            seen = part + seen[len(part) :]
        lines.append(seen.rstrip())
    return lines


def test_a_terminal_gets_one_bar_an_epoch_and_no_line_of_a_batch(root):
    got = on_a_terminal(root)
    assert "Train epoch:" not in got
    [file] = root.glob("log/*.log")
    assert len(re.findall(r" DEBUG   Train epoch: .*, learning_rate: ", file.read_text())) == 8
    bars = re.findall(r"\repoch (\d)/2 \|[^|]*\| (\d)/4, (loss [^\r\n]*)", got)
    assert [int(epoch) for epoch, _, _ in bars] == sorted(int(epoch) for epoch, _, _ in bars)
    assert {epoch for epoch, _, _ in bars} == {"1", "2"}
    assert all("CER" not in words for epoch, _, words in bars if epoch == "1")
    words = [words for epoch, _, words in bars if epoch == "2"]
    assert re.match(r"loss [\d.]+, lr 0\.005, CER [\d.]+, .*\d\d:\d\d left, \d\d:\d\d left in all", words[0])


def test_a_terminal_gets_a_bar_while_the_dev_set_is_scored(root):
    bars = re.findall(r"\rscoring manifest\.dev:[^\r\n]*?(\d+)/(\d+)", on_a_terminal(root))
    utterances = str(len((root / "dataset/manifest.dev").read_text().splitlines()))
    assert [done for done, _ in bars].count("0") == 4  # two an epoch: its own weights and the average's
    assert {of for _, of in bars} == {utterances}


def test_the_lines_above_a_bar_stay_whole_and_the_bar_goes(root):
    got = screen(on_a_terminal(root))
    # Before the first epoch paddle has its say too.
    start = next(i for i, seen in enumerate(got) if " epoch 1: 4 batches" in seen)
    got = [seen for seen in got[start:] if seen]
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING) +\S.*")
    assert [seen for seen in got if not line.fullmatch(seen)] == []
    assert len([seen for seen in got if " Epoch: [" in seen]) == 2
    assert len(got) == len({seen[20:] for seen in got})


def test_elsewhere_there_are_lines_and_no_bar(root):
    stage = Stage(root)
    assert stage.end() == 0, stage.log
    [file] = root.glob("log/*.log")
    for text in (stage.log, file.read_text()):
        assert len(re.findall("Train epoch: ", text)) == 8
    assert "\r" not in stage.log
    assert "left," not in stage.log
    assert "scoring" not in stage.log


def test_on_a_narrow_terminal_no_bar_breaks_into_two_lines(root):
    got = on_a_terminal(root, columns=50)
    assert all(len(part) <= 50 for part in re.findall(r"\r(epoch [^\r\n]*)", got))


class Terminal:
    """Remembers what is written to it."""

    def __init__(self):
        self.written = ""

    def write(self, text):
        self.written += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    found = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=found))
    return found


SECOND = timedelta(seconds=1)


def at(epoch, batch, batches=4, eta=SECOND, **rest):
    return Moment(epoch, 3, batch, batches, 10 * epoch + batch, 1.25, 0.1, SECOND, eta, **rest)


def bar(metric="cer", **scores):
    """A bar after an epoch of these scores, if there are any."""
    history = History()
    if scores:
        history.add_epoch(1, scores)
    return Bar(history, tiny.choosing_by(metric, tiny.settings()))


def test_what_is_shown_follows_the_standard_error(terminal):
    assert isinstance(progress.shown(History(), tiny.settings()), Bar)
    terminal.isatty = lambda: False
    assert type(progress.shown(History(), tiny.settings())) is Lines


def test_a_bar_of_a_continued_epoch_starts_where_it_goes_on(terminal):
    shown = bar(cer=0.5, wer=0.75)
    shown.step(at(1, 3, eta=70 * SECOND))
    assert "epoch 1/3" in terminal.written
    assert re.search(r"\| 3/4, loss 1.25, lr 0.1, CER 0.5000, 00:01 left, 01:10 left in all", terminal.written)
    shown.close()


def test_a_bar_shows_the_metric_that_chooses_the_best_epoch_and_the_recent_speed(terminal):
    shown = bar("wer", cer=0.5, wer=0.75)
    shown.step(at(2, 1, speed=12.34))
    assert "loss 1.25, lr 0.1, WER 0.7500, 12.3 utt/s, 00:01 left" in terminal.written
    shown.close()


def test_an_epoch_whose_last_batch_could_not_be_used_ends_its_bar_all_the_same(terminal):
    shown = bar()
    shown.step(at(1, 3))
    shown.step(at(2, 1, batches=7))
    assert "epoch 2/3" in terminal.written
    assert "1/7" in terminal.written
    shown.close()


def test_a_bar_that_is_closed_leaves_nothing(terminal):
    shown = bar()
    shown.step(at(1, 1))
    shown.close()
    shown.close()
    assert screen(terminal.written) == [""]


def test_a_bar_says_nothing_at_an_interval(terminal, log):
    shown = bar()
    shown.step(at(1, 4, interval=(1.0, 0.1)))
    shown.close()
    assert log == []
    assert screen(terminal.written) == [""]
