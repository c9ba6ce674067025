import copy
import json

import pytest

from ds2.reporting.history import Choice, History


def filled(batches, epochs=1, cers=()):
    """A history of epochs of so many batches, the loss of a step being its number."""
    history = History()
    for epoch in range(1, epochs + 1):
        for batch in range(1, batches + 1):
            step = (epoch - 1) * batches + batch
            history.add_step(step, batch, batches, float(step), 0.1 / step, 2.0 * step)
        history.add_epoch(epoch, {"cer": cers[epoch - 1], "wer": 1.0} if cers else {})
    return history


def test_a_row_holds_the_means_since_the_last_row():
    history = filled(100)
    assert history.steps[0] == {"step": 2, "loss": 1.5, "learning_rate": 0.05, "grad_norm": 3.0}
    assert history.steps[1] == {"step": 4, "loss": 3.5, "learning_rate": 0.025, "grad_norm": 7.0}


@pytest.mark.parametrize(
    ("batches", "rows"), [(1, 1), (3, 3), (50, 50), (51, 26), (100, 50), (101, 34), (17664, 50), (200_000, 50)]
)
def test_an_epoch_has_at_most_fifty_rows_and_ends_with_one(batches, rows):
    history = filled(batches)
    assert len(history.steps) == rows <= 50
    assert history.steps[-1]["step"] == batches


def test_every_step_counts_in_exactly_one_row():
    history = filled(101, epochs=2)
    total, last = 0.0, 0
    for row in history.steps:
        total += row["loss"] * (row["step"] - last)
        last = row["step"]
    assert total == pytest.approx(sum(range(1, 203)))


def test_steps_that_were_left_out_leave_the_row_to_the_next_one():
    history = History()
    for step, batch in enumerate((1, 2, 4, 5, 6), start=1):  # of 102, rows at 3, 6, ...: nothing was done in batch 3
        history.add_step(step, batch, 102, float(step), 1.0, 1.0)
    assert [(row["step"], row["loss"]) for row in history.steps] == [(5, 3.0)]


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps():
    history = filled(10, epochs=3)
    assert [row["loss"] for row in history.epochs] == [5.5, 15.5, 25.5]
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3]


def test_the_best_is_the_first_epoch_with_the_lowest_rate_and_the_others_follow():
    history = filled(2, 5, [0.5, 0.2, 0.3, 0.2, 0.4])
    assert [one.epoch for one in history.ranked("cer")] == [2, 4, 3, 5, 1]
    assert history.best("cer") == Choice(2, averaged=False, metric="cer", rate=0.2)


def test_an_average_is_chosen_where_no_epoch_of_its_own_or_before_is_better():
    history = filled(2, 3, [0.5, 0.3, 0.2])
    for row, rate in zip(history.epochs, (0.6, 0.2, 0.2), strict=True):
        row["average_cer"] = rate
    assert [(one.epoch, one.averaged) for one in history.ranked("cer")] == [
        (2, True),
        (3, True),
        (3, False),
        (2, False),
        (1, False),
        (1, True),
    ]


def test_each_metric_has_a_best_of_its_own():
    history = filled(1, 3, [0.3, 0.2, 0.1])
    for row, rate in zip(history.epochs, (0.6, 0.5, 0.7), strict=True):
        row["wer"] = rate
    assert [history.best(metric).epoch for metric in ("cer", "wer")] == [3, 2]


def test_without_scores_the_last_epoch_is_the_best():
    history = filled(2, 3)
    assert history.ranked("cer") == [Choice(3), Choice(2), Choice(1)]
    assert history.best("cer") == Choice(3)


def test_before_the_first_epoch_there_is_no_best():
    assert History().best("cer") is None


@pytest.mark.parametrize("until", [0, 1, 2, 3, 60, 101, 150])
def test_a_history_goes_on_after_a_trip_through_json_as_if_nothing_had_been(until):
    def feed(history, steps):
        for step in steps:
            epoch, batch = divmod(step - 1, 101)
            history.add_step(step, batch + 1, 101, 1 / step, 0.1 / step, 3.7 / step)
            if batch == 100:
                history.add_epoch(epoch + 1, {"cer": 1 / step, "wer": 1.0})

    undisturbed, interrupted = History(), History()
    feed(undisturbed, range(1, 203))
    feed(interrupted, range(1, until + 1))
    continued = History.from_json(json.loads(json.dumps(interrupted.as_json())))
    assert continued == interrupted
    feed(continued, range(until + 1, 203))
    assert continued == undisturbed


def test_what_was_given_for_a_checkpoint_does_not_grow_with_the_history():
    history = filled(3)
    values = history.as_json()
    before = copy.deepcopy(values)
    history.add_step(4, 1, 3, 1.0, 1.0, 1.0)
    history.add_epoch(2, {})
    assert values == before


def test_the_tables_have_a_header_and_a_row_a_point(tmp_path):
    filled(2, 2, [0.25, 0.125]).write(tmp_path)
    assert (tmp_path / "steps.tsv").read_text().splitlines() == [
        "step\tloss\tlearning_rate\tgrad_norm",
        "1\t1\t0.1\t2",
        "2\t2\t0.05\t4",
        "3\t3\t0.033333333\t6",
        "4\t4\t0.025\t8",
    ]
    assert (tmp_path / "epochs.tsv").read_text().splitlines() == [
        "epoch\tloss\tcer\twer",
        "1\t1.5\t0.25\t1",
        "2\t3.5\t0.125\t1",
    ]


def test_without_scores_the_table_of_epochs_has_no_empty_columns(tmp_path):
    filled(2, 1).write(tmp_path)
    assert (tmp_path / "epochs.tsv").read_text() == "epoch\tloss\n1\t1.5\n"


def test_steps_of_long_trainings_stand_in_the_table_in_full(tmp_path):
    history = History()
    history.add_step(1_766_400, 1, 1, 0.5, 1e-5, 1.0)
    history.write(tmp_path)
    assert (tmp_path / "steps.tsv").read_text().splitlines()[1] == "1766400\t0.5\t1e-05\t1"


def test_tables_are_written_whole(tmp_path):
    filled(5, 2).write(tmp_path)
    filled(2, 1).write(tmp_path)
    assert len((tmp_path / "steps.tsv").read_text().splitlines()) == 3
