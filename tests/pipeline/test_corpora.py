import pytest

from tests.corpora.archives import offer_musan

pytestmark = pytest.mark.slow


def test_noises_named_as_a_corpus_are_there_before_the_training_and_added_later_they_train_anew(untrained):
    offer_musan(untrained.folder)
    untrained.change_params(train={"augment": True, "num_epoch": 1})
    printed = untrained.run("dvc", "repro")
    assert "0 files in dataset/noise: augment.noise is off" in printed
    untrained.commit("without noises")
    untrained.change_params(corpora=["musan"])
    printed = untrained.run("dvc", "repro")
    assert "Running stage 'corpus@musan'" in printed
    assert "1 files in dataset/noise" in printed
    assert "the training starts from the beginning" in printed
    assert "Running stage" not in untrained.run("dvc", "repro")
    untrained.commit("with noises")
    assert not [
        name for name in untrained.run("git", "ls-files").splitlines() if "musan." in name and "ds2" not in name
    ]
