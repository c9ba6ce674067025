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
    first = f"INFO    the whole log is in {path}"
    assert lines(path) == [
        first,
        "DEBUG   first: 你好",
        "WARNING doubt",
        first,
        "DEBUG   second: 你好",
        "WARNING doubt",
    ]


def test_a_file_says_what_the_block_ended_on(tmp_path):
    path = tmp_path / "a.log"
    with pytest.raises(ValueError, match="why"), log.also_to(path):
        raise ValueError("why")
    assert lines(path)[1:] == ["DEBUG   error: why"]


def test_a_name_that_is_not_unicode_is_logged(tmp_path):
    with log.also_to(tmp_path / "a.log"):
        logger.info("\udcff.wav")
    assert lines(tmp_path / "a.log")[1:] == [r"INFO    \udcff.wav"]


@pytest.mark.parametrize(
    ("name", "reason"), [("/dev/full", "No space left on device"), ("a file/a.log", "File exists")]
)
def test_a_file_that_cannot_be_written_is_told_once_and_ends_nothing(name, reason, tmp_path, capsys):
    (tmp_path / "a file").touch()
    with log.also_to(tmp_path / name):
        logger.debug("one")
        logger.debug("two")
    said = capsys.readouterr().err.splitlines()
    assert [line[20:] for line in said if "WARNING" in line] == [
        f"WARNING {tmp_path / name} cannot be written ({reason}): it will lack lines"
    ]
    assert not any("Traceback" in line for line in said)


def test_a_worker_process_logs_where_its_parent_does(tmp_path):
    with log.also_to(tmp_path / "a.log"):
        assert log.files() == (tmp_path / "a.log",)
    assert log.files() == ()
