import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.evaluation import curves
from ds2.reporting.history import History

pytestmark = pytest.mark.wheel


def test_the_curves_of_a_training_are_read(tmp_path):
    history = History()
    for step in range(1, 4):
        history.add_step(step, step, 3, 10.0 / step, 1e-3, 1.0)
    history.add_epoch(1, {"cer": 0.5, "wer": 0.75})
    history.write(tmp_path)
    assert curves.read(tmp_path / "steps.tsv", "step", "loss") == [
        (1, 10),
        (2, 5),
        (3, pytest.approx(10 / 3)),
    ]
    assert curves.read(tmp_path / "epochs.tsv", "epoch", "wer") == [(1, 0.75)]


def test_what_is_not_there_or_not_finite_is_left_out(tmp_path):
    path = tmp_path / "epochs.tsv"
    assert curves.read(path, "epoch", "cer") == []
    path.write_text("epoch\tloss\n1\tnan\n2\t3.5\n3\tinf\n")
    assert curves.read(path, "epoch", "loss") == [(2, 3.5)]
    assert curves.read(path, "epoch", "cer") == []


@given(st.lists(st.floats(0, 1e30), min_size=2, max_size=2000), st.booleans())
def test_every_curve_stays_within_its_picture(values, percent):
    points = list(enumerate(values, start=1))
    picture = curves.draw(points, percent)
    line = [tuple(map(float, point.split(","))) for point in picture.line.split()]
    assert 2 <= len(line) <= 240
    assert all(0 <= x <= curves.WIDTH and 0 <= y <= curves.HEIGHT for x, y in line)
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert len(picture.across) <= 10
    assert len(picture.up) <= 10
    assert all(0 <= y <= curves.HEIGHT for y, _ in picture.up)
    assert picture.last == points[-1]
    assert picture.lowest == min(points, key=lambda point: point[1])


def test_higher_values_stand_higher_and_a_wide_range_is_logarithmic():
    flat = curves.draw([(1, 3.0), (2, 2.0), (3, 1.0)])
    steep = curves.draw([(1, 100.0), (2, 10.0), (3, 1.0)])
    assert (flat.logarithmic, steep.logarithmic) == (False, True)
    for picture in (flat, steep):
        first, middle, last = (float(point.split(",")[1]) for point in picture.line.split())
        assert first < middle < last
        assert math.isclose(last - middle, middle - first, abs_tol=0.2)


def test_a_single_point_is_no_curve():
    assert curves.draw([(1, 2.0)]) is None
