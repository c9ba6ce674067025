"""Of VisualDL what is not in the history: hyperparameters, speed, pictures, examples."""

import io

import numpy as np
import pytest
from PIL import Image

from ds2.data.loader import Batch
from ds2.evaluation.evaluator import Prediction
from ds2.reporting.history import History
from ds2.reporting.visual import Visual
from tests.training import tiny
from tests.training.visual import read_back

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a training of two epochs, continued by a third; VisualDL's folder after each."""
    root = tmp_path_factory.mktemp("trained")
    tiny.write_data(root)
    tiny.train(root, root, tiny.settings(num_epoch=2, augment=True))
    (root / "log").rename(root / "first")
    tiny.train(root, root, tiny.settings(num_epoch=3, augment=True))
    return root


def steps(folder, component):
    return {tag: [step for step, _ in records] for tag, records in read_back(folder, component).items()}


def hyperparameters(folder):
    [(_, found)] = read_back(folder, "hyper_parameters")["hparam"]
    values = {one.name: getattr(one, one.WhichOneof("type")) for one in found.hparamInfos}
    return values, [one.name for one in found.metricInfos]


def test_every_parameter_that_decides_a_training_is_a_hyperparameter(trained):
    values, metrics = hyperparameters(trained / "log")
    assert {name.split("/")[0] for name in values} == {"features", "model", "train", "augment"}
    assert values["train/num_epoch"] == 3
    assert values["train/learning_rate"] == pytest.approx(1e-2)
    assert values["train/augment"] == "true"
    assert values["train/evaluate_on"] == "dev"
    assert values["augment/spec_aug/prob"] == 1.0
    assert "train/pretrained_model" not in values  # null
    assert metrics == ["epoch/cer", "epoch/wer", "epoch/loss"]


def test_the_metrics_of_the_hyperparameters_are_scalars(trained):
    assert set(hyperparameters(trained / "log")[1]) <= set(read_back(trained / "log", "scalar"))


def test_without_scores_they_are_no_metrics_of_the_hyperparameters(tmp_path):
    Visual(History(), tmp_path, tiny.settings(evaluate_on=None)).close()
    assert hyperparameters(tmp_path)[1] == ["epoch/loss"]


def test_speed_pictures_and_examples_are_those_of_the_run_and_nothing_is_twice(trained):
    # Four batches an epoch, and a log line at each.
    speeds = ("speed/utterances_per_second", "speed/waiting_for_data")
    for folder, batches, epochs in (("first", range(1, 9), [1, 2]), ("log", range(9, 13), [3])):
        scalars = steps(trained / folder, "scalar")
        assert [scalars[tag] for tag in speeds] == [list(batches)] * 2
        assert scalars["train/loss"] == list(range(1, batches.stop))
        images = steps(trained / folder, "image")
        # The first batch of an epoch may have two utterances only.
        assert [images["features/1"], images["features/2"]] == [epochs, epochs]
        assert images.keys() <= {"features/1", "features/2", "features/3"}
        assert steps(trained / folder, "text") == {f"examples/{i}": epochs for i in (1, 2, 3, 4, 5)}


def test_the_shares_and_speeds_can_be(trained):
    scalars = read_back(trained / "first", "scalar")
    assert all(0 <= share <= 1 for _, share in scalars["speed/waiting_for_data"])
    assert all(speed > 0 for _, speed in scalars["speed/utterances_per_second"])


def test_an_example_is_the_transcript_and_what_was_understood(tmp_path):
    visual = Visual(History(), tmp_path, tiny.settings())
    predictions = [Prediction(f"{i}.wav", f"你好{i}", f"你{i}") for i in range(9)]
    visual.scored(predictions, 1)
    visual.scored(predictions[:2], 2)
    visual.close()
    texts = {tag: [text.encoded_text_string for _, text in found] for tag, found in read_back(tmp_path, "text").items()}
    assert texts == {
        "examples/1": ["你好0  →  你0", "你好0  →  你0"],
        "examples/2": ["你好2  →  你2", "你好1  →  你1"],
        "examples/3": ["你好4  →  你4"],
        "examples/4": ["你好6  →  你6"],
        "examples/5": ["你好8  →  你8"],
    }


def test_a_picture_is_the_features_without_padding_time_to_the_right_and_high_bins_above(tmp_path):
    values = np.full((2, 30, 20), -5.0, np.float32)
    values[0, :10, 15:] = 5.0  # high and early
    batch = Batch(values, np.array([30, 12]), np.zeros((2, 1)), np.ones(2), np.arange(2), 1.0)
    visual = Visual(History(), tmp_path, tiny.settings())
    visual.batch(batch, 4)
    visual.batch(batch, 4)  # only the first batch of an epoch
    visual.close()
    found = read_back(tmp_path, "image")
    assert {tag: [step for step, _ in records] for tag, records in found.items()} == {
        "features/1": [4],
        "features/2": [4],
    }
    first, second = (
        np.asarray(Image.open(io.BytesIO(found[tag][0][1].encoded_image_string))).sum(axis=2, dtype=int)
        for tag in ("features/1", "features/2")
    )
    assert first.shape == (20, 30)
    assert second.shape == (20, 12)
    bright = first > first.mean()
    assert bright[:5, :10].all()
    assert bright.sum() == 50
