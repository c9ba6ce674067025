import hashlib
import re

import pytest

from ds2.corpora import musan
from tests.corpora.archives import recording, tar_gz

pytestmark = pytest.mark.slow


def offer(repository) -> None:
    """Puts a tiny MUSAN where a user would put the real one, and makes its checksum the right one."""
    content = tar_gz(("musan/noise/a.wav", recording(2.0)), ("musan/music/b.wav", b""))
    (repository.folder / "dataset/downloads").mkdir()
    (repository.folder / "dataset/downloads" / musan.ARCHIVE.name).write_bytes(content)
    path = repository.folder / "ds2/corpora/musan.py"
    source, count = re.subn(r"md5:\w+", f"md5:{hashlib.md5(content).hexdigest()}", path.read_text(encoding="utf-8"))
    assert count == 1
    path.write_text(source, encoding="utf-8")


def test_noises_named_as_a_corpus_are_there_before_the_training_and_added_later_they_train_anew(untrained):
    offer(untrained)
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
