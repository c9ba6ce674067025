import shutil

import pytest

from tests.pipeline.running import epochs_trained

pytestmark = pytest.mark.slow


def test_experiments_run_in_a_folder_with_chinese_characters(trained, tmp_path):
    repository = trained.copy(tmp_path / "语音识别")
    warning = "the path of DVC's cache, "
    assert warning in repository.run("dvc", "repro", "-f", "-s", "train")
    more = ("dvc", "exp", "run", "--temp", "-n", "more", "-S", "train.num_epoch=3", "-s", "train")
    assert "'ascii' codec can't encode" in repository.run(*more, expect=255)
    shutil.move(repository.folder / ".dvc/cache", tmp_path / "cache")
    repository.run("dvc", "cache", "dir", "--local", str(tmp_path / "cache"))
    printed = repository.run(*more)
    assert epochs_trained(printed) == [3]
    assert warning not in printed
    repository.run("dvc", "exp", "apply", "more")
    assert repository.epochs()[-1] == "epoch_3"
