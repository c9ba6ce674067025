import pytest

from tests.pipeline import kills

pytestmark = [pytest.mark.slow, pytest.mark.wheel]


@pytest.mark.parametrize(
    ("workers", "aims"),
    [(0, ("saving", "evaluating", "between renames", "any file", "anywhere")), (2, ("starting", "first batch"))],
)
def test_a_training_killed_again_and_again_ends_with_the_same_bits(workers, aims, tmp_path):
    report = kills.run(tmp_path, len(aims), workers, seed=1, aims=aims)
    assert report.faults == []
    assert report.hits.total() == len(aims)
