"""The log in a file: all of it, appended, and no reason to end a run."""

import pytest
from loguru import logger

from ds2 import log


def lines(path):
    """Without the time."""
    return [line[20:] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_gets_the_log_of_a_block_and_what_the_terminal_is_spared(tmp_path):
    path = tmp_path / "log" / "a.0.5.log"
    logger.info("before")
    for word in ("first", "second"):
        with log.also_to(path):
            logger.log(log.FILE_ONLY, f"{word}: 你好")
            logger.warning("doubt")
    logger.info("after")
    assert lines(path) == ["DEBUG   first: 你好", "WARNING doubt", "DEBUG   second: 你好", "WARNING doubt"]


def test_a_file_says_what_the_block_ended_on(tmp_path):
    path = tmp_path / "a.log"
    with pytest.raises(ValueError, match="why"), log.also_to(path):
        raise ValueError("why")
    assert lines(path) == ["DEBUG   error: why"]


def test_a_name_that_is_not_unicode_is_logged(tmp_path):
    with log.also_to(tmp_path / "a.log"):
        logger.info("\udcff.wav")
    assert lines(tmp_path / "a.log") == [r"INFO    \udcff.wav"]


@pytest.mark.parametrize(
    ("name", "reason"), [("/dev/full", "No space left on device"), ("a file/a.log", "File exists")]
)
def test_a_file_that_cannot_be_written_is_told_once_and_ends_nothing(name, reason, tmp_path, capsys):
    (tmp_path / "a file").touch()
    with log.also_to(tmp_path / name):
        capsys.readouterr()
        logger.debug("one")
        logger.debug("two")
    said = [line for line in capsys.readouterr().err.splitlines() if " | DEBUG " not in line]
    assert len(said) == 1
    assert "WARNING" in said[0]
    assert f"{tmp_path / name} cannot be written ({reason})" in said[0]


def test_a_worker_process_logs_where_its_parent_does(tmp_path):
    with log.also_to(tmp_path / "a.log"):
        assert log.files() == (tmp_path / "a.log",)
    assert log.files() == ()
