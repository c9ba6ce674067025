import errno
import os

import pytest

from ds2.errors import UserError, ends_with_a_sentence


def end(error, capsys):
    @ends_with_a_sentence
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


def test_a_users_mistake_is_one_line_and_exit_code_1(capsys):
    assert end(UserError("a.txt: is empty"), capsys) == (1, "error: a.txt: is empty\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_that_names_the_file(number, capsys):
    code, printed = end(OSError(number, os.strerror(number), "results/train.json"), capsys)
    assert code == 1
    assert printed.startswith(f"error: results/train.json cannot be written ({os.strerror(number)})")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR])
def test_a_place_that_cannot_be_used_is_one_line_that_names_it(number, capsys):
    code, printed = end(OSError(number, os.strerror(number), "results"), capsys)
    assert code == 1
    assert printed.startswith(f"error: results cannot be used ({os.strerror(number)})")
    assert printed.count("\n") == 1


def test_other_errors_of_the_system_are_not_hidden():
    @ends_with_a_sentence
    def main():
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        main()


def test_ctrl_c_is_exit_code_130(capsys):
    assert end(KeyboardInterrupt(), capsys) == (130, "interrupted\n")


def test_that_there_is_no_temporary_folder_is_one_line(capsys):
    code, printed = end(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), capsys)
    assert (code, printed.count("\n")) == (1, 1)
    assert printed.endswith("['/tmp']: set TMPDIR to a folder that can be written\n")


def test_a_name_that_is_too_long_is_one_line(capsys):
    code, printed = end(OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "a" * 5000), capsys)
    assert (code, printed) == (1, f"error: {'a' * 50}... is too long for the path of a file or folder\n")
