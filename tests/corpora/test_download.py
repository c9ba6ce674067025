import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ds2.corpora import archive, download
from ds2.errors import UserError
from tests.corpora.conftest import archive_of

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def fetch(tmp_path):
    """fetch(archive) downloads without pauses into a folder `downloads`."""

    def fetch(wanted, timeout=20.0):
        return download.fetch(wanted, tmp_path / "downloads", timeout, pauses=(0.0, 0.0, 0.0))

    return fetch


@pytest.fixture
def downloads(tmp_path):
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_archive_is_downloaded_whole_and_nothing_else_stays(fetch, mirror, downloads):
    server = mirror(CONTENT)
    path = fetch(archive_of(CONTENT, server))
    assert path.read_bytes() == CONTENT
    assert names(downloads) == ["corpus.tgz"]
    assert server.asked == [None]


def test_a_second_time_asks_no_server(fetch, mirror):
    server = mirror(CONTENT)
    wanted = archive_of(CONTENT, server)
    assert fetch(wanted) == fetch(wanted)
    assert len(server.asked) == 1


def test_a_connection_that_breaks_is_gone_on_with_where_it_broke(fetch, mirror):
    server = mirror(CONTENT)
    server.cuts = [100_000, 50_000, None]
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_without_a_terminal_the_log_says_every_tenth_that_came(fetch, mirror, log):
    server = mirror(CONTENT)
    server.cuts = [100_000, None]
    fetch(archive_of(CONTENT, server))
    tenths = [line for line in log if re.fullmatch(r"corpus\.tgz: \d+% of 0\.00 GB", line)]
    assert tenths == sorted(set(tenths), key=lambda line: int(line.split()[1].rstrip("%")))
    assert tenths[-1] == "corpus.tgz: 100% of 0.00 GB"


def test_a_connection_that_falls_silent_is_gone_on_with(fetch, mirror):
    server = mirror(CONTENT)
    server.cuts = [100_000]
    server.stalls = True
    assert fetch(archive_of(CONTENT, server), timeout=0.5).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_starts_again_and_the_file_is_right(fetch, mirror):
    server = mirror(CONTENT)
    server.ranges = False
    server.cuts = [100_000, None]
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_without_ranges_does_not_cost_what_is_there(fetch, mirror, downloads):
    short, right = mirror(CONTENT), mirror(CONTENT)
    short.ranges = False
    short.cuts = [100_000, 250_000, 10_000, 0]
    (downloads / "corpus.tgz.part").write_bytes(CONTENT[:200_000])
    assert fetch(archive_of(CONTENT, short, right)).read_bytes() == CONTENT
    assert right.asked == ["bytes=250000-"]


def test_a_mirror_that_only_drips_is_given_up_and_what_came_is_kept(fetch, mirror):
    slow, right = mirror(CONTENT), mirror(CONTENT)
    slow.drips = True
    assert fetch(archive_of(CONTENT, slow, right), timeout=0.5).read_bytes() == CONTENT
    assert len(slow.asked) == 4
    assert 0 < int(right.asked[0].removeprefix("bytes=").removesuffix("-")) < len(CONTENT)


def test_a_server_that_does_not_say_how_long_the_file_is_will_do(fetch, mirror):
    server = mirror(CONTENT)
    server.length = False
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT


def test_a_file_that_changes_between_two_connections_is_not_mixed(fetch, mirror):
    server = mirror(OTHER)
    server.cuts = [100_000, None]

    def change(seconds):
        server.content = CONTENT

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download.time, "sleep", change)
        assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_weak_etag_does_not_cost_what_is_there(fetch, mirror):
    server = mirror(CONTENT)
    server.weak = True
    server.cuts = [100_000, None]
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.sent == [100_000, 200_000]


def test_another_part_of_the_file_than_asked_for_is_not_taken(fetch, mirror):
    odd, right = mirror(CONTENT), mirror(CONTENT)
    odd.cuts = [100_000, None]
    odd.late = 5
    assert fetch(archive_of(CONTENT, odd, right)).read_bytes() == CONTENT
    assert right.asked == ["bytes=100000-"]


def test_wrong_bytes_are_thrown_away_and_the_next_mirror_is_tried(fetch, mirror, downloads):
    wrong, right = mirror(OTHER), mirror(CONTENT)
    assert fetch(archive_of(CONTENT, wrong, right)).read_bytes() == CONTENT
    assert names(downloads) == ["corpus.tgz"]
    assert right.asked == [None]


def test_wrong_bytes_everywhere_are_one_sentence_and_leave_nothing(fetch, mirror, downloads):
    wanted = archive_of(CONTENT, mirror(OTHER), mirror(OTHER[::-1]))
    with pytest.raises(UserError, match="could not be downloaded") as caught:
        fetch(wanted)
    assert str(caught.value).count(wanted.checksum) == 2
    assert "runtime.download_dir" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(downloads) == []


def test_what_was_there_may_be_to_blame_for_wrong_bytes_before_the_mirror_is(fetch, mirror, downloads):
    (downloads / "corpus.tgz.part").write_bytes(OTHER[:100_000])
    server = mirror(CONTENT)
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked == ["bytes=100000-", None]


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_mirror_without_the_file_is_asked_once(fetch, mirror, status):
    without, right = mirror(CONTENT), mirror(CONTENT)
    without.status = [status] * 10
    assert fetch(archive_of(CONTENT, without, right)).read_bytes() == CONTENT
    assert len(without.asked) == 1


def test_a_busy_server_is_asked_again_and_not_for_ever(fetch, mirror):
    server = mirror(CONTENT)
    wanted = archive_of(CONTENT, server)
    server.status = [503, 429]
    assert fetch(wanted).read_bytes() == CONTENT
    assert len(server.asked) == 3
    broken = mirror(CONTENT)
    broken.status = [503] * 100
    with pytest.raises(UserError, match="503 Service Unavailable"):
        fetch(archive_of(CONTENT, broken, name="another.tgz"))
    assert len(broken.asked) == 4


def test_pauses_grow_and_start_over_when_the_download_gets_on(fetch, mirror, monkeypatch, tmp_path):
    content = random.Random(3).randbytes(5 << 20)
    server = mirror(content)
    server.cuts = [1000, 1000, 2 << 20, 1000, None]
    pauses = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    wanted = archive_of(content, server)
    assert download.fetch(wanted, tmp_path, pauses=(1.0, 2.0, 4.0)).read_bytes() == content
    assert pauses == [1.0, 2.0, 1.0, 2.0]


def test_a_mirror_that_is_not_there_is_passed_over(fetch, mirror):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{unused.getsockname()[1]}/corpus.tgz"
        right = mirror(CONTENT)
        wanted = archive_of(CONTENT, right)
        wanted = archive.Archive(wanted.name, (gone, *wanted.addresses), wanted.size, wanted.checksum, 0)
        assert fetch(wanted).read_bytes() == CONTENT


def test_an_error_page_does_not_take_the_place_of_what_is_there(fetch, mirror, downloads):
    page, right = mirror(b"<html>this domain is for sale</html>"), mirror(CONTENT)
    page.ranges = False
    (downloads / "corpus.tgz.part").write_bytes(CONTENT[:200_000])
    assert fetch(archive_of(CONTENT, page, right)).read_bytes() == CONTENT
    assert right.asked == ["bytes=200000-"]


@pytest.mark.parametrize("other", [OTHER[:1000], OTHER + b"more"], ids=["shorter", "longer"])
def test_a_mirror_with_a_file_of_another_size_does_not_cost_what_is_there(fetch, mirror, downloads, other):
    odd, right = mirror(other), mirror(CONTENT)
    (downloads / "corpus.tgz.part").write_bytes(CONTENT[:200_000])
    assert fetch(archive_of(CONTENT, odd, right)).read_bytes() == CONTENT
    assert [odd.asked, right.asked] == [["bytes=200000-"]] * 2


def test_a_web_page_of_unknown_length_does_not_take_the_place_of_what_is_there(fetch, mirror, downloads):
    page, right = mirror(b"<html>log in to this network first</html>"), mirror(CONTENT)
    page.ranges = page.length = False
    page.kind = "text/html; charset=utf-8"
    (downloads / "corpus.tgz.part").write_bytes(CONTENT[:200_000])
    assert fetch(archive_of(CONTENT, page, right)).read_bytes() == CONTENT
    assert right.asked == ["bytes=200000-"]


def test_a_connection_that_breaks_without_having_said_the_length_is_gone_on_with(fetch, mirror):
    server = mirror(CONTENT)
    server.length = False
    server.cuts = [100_000, None]
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-"]


def test_a_server_that_does_not_stop_cannot_fill_the_disk(fetch, mirror, downloads):
    endless = mirror(OTHER * 10)
    endless.ranges = endless.length = False
    with pytest.raises(UserError, match="the server sends more than 300000 bytes"):
        fetch(archive_of(CONTENT, endless))
    assert names(downloads) == []
    assert len(endless.asked) == 1


def test_a_redirection_is_followed_and_gone_on_with(fetch, mirror, downloads):
    first, right = mirror(b""), mirror(CONTENT)
    first.elsewhere = right.address
    (downloads / "corpus.tgz.part").write_bytes(CONTENT[:200_000])
    assert fetch(archive_of(CONTENT, first)).read_bytes() == CONTENT
    assert right.asked == ["bytes=200000-"]


def test_two_runs_that_share_the_folder_do_not_write_into_the_same_file_at_once(fetch, mirror, downloads):
    server = mirror(CONTENT)
    server.cuts = [100_000]
    server.stalls = True
    wanted = archive_of(CONTENT, server)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(fetch, wanted)
        until = time.monotonic() + 20
        while not server.sent and time.monotonic() < until:
            time.sleep(0.01)
        second = threads.submit(fetch, wanted)
        time.sleep(0.5)
        server.let_go.set()
        assert first.result() == second.result() == downloads / "corpus.tgz"
    assert server.asked == [None, "bytes=100000-"]
    assert (downloads / "corpus.tgz").read_bytes() == CONTENT
    assert names(downloads) == ["corpus.tgz"]


def test_without_any_mirror_what_came_so_far_is_kept(fetch, mirror, downloads):
    server = mirror(CONTENT)
    server.cuts = [1000, 1000, 1000, 1000, 1000]
    with pytest.raises(UserError, match="the connection broke off after 4000 of 300000 bytes"):
        fetch(archive_of(CONTENT, server))
    assert names(downloads) == ["corpus.tgz.part"]
    server.cuts = []
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=4000-"


def test_a_complete_part_needs_no_server(fetch, downloads):
    (downloads / "corpus.tgz.part").write_bytes(CONTENT)
    assert fetch(archive_of(CONTENT)).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_started_over(fetch, mirror, downloads):
    (downloads / "corpus.tgz.part").write_bytes(CONTENT + b"more")
    assert fetch(archive_of(CONTENT, mirror(CONTENT))).read_bytes() == CONTENT


def test_an_archive_that_is_there_is_used(fetch, downloads):
    (downloads / "corpus.tgz").write_bytes(CONTENT)
    assert fetch(archive_of(CONTENT)) == downloads / "corpus.tgz"


def test_an_incomplete_archive_of_the_users_is_gone_on_with(fetch, mirror, downloads):
    (downloads / "corpus.tgz").write_bytes(CONTENT[:250_000])
    server = mirror(CONTENT)
    assert fetch(archive_of(CONTENT, server)).read_bytes() == CONTENT
    assert server.asked == ["bytes=250000-"]


def test_another_file_of_the_archives_name_is_put_aside_and_kept(fetch, mirror, downloads):
    (downloads / "corpus.tgz").write_bytes(OTHER)
    assert fetch(archive_of(CONTENT, mirror(CONTENT))).read_bytes() == CONTENT
    assert (downloads / "corpus.tgz.wrong").read_bytes() == OTHER


def test_a_folder_that_cannot_be_written_is_one_sentence(mirror, tmp_path):
    for content in (CONTENT, CONTENT[:100]):
        server = mirror(content)
        (tmp_path / "corpus.tgz.part").symlink_to("/dev/full")
        with pytest.raises(UserError, match="part cannot be written: No space left on device"):
            download.fetch(archive_of(content, server), tmp_path, pauses=(0.0,))
        assert server.asked == [None]
        (tmp_path / "corpus.tgz.part").unlink(missing_ok=True)


PROGRAM = """
import sys
from pathlib import Path
from ds2.corpora import archive, download
address, size, checksum, folder = sys.argv[1:]
print(download.fetch(archive.Archive("corpus.tgz", (address,), int(size), checksum, 0), Path(folder)))
"""


def test_killed_in_the_middle_and_started_again_it_goes_on_from_there(mirror, downloads):
    server = mirror(CONTENT)
    server.cuts = [180_000]
    server.stalls = True
    wanted = archive_of(CONTENT, server)
    command = [sys.executable, "-c", PROGRAM, server.address, str(wanted.size), wanted.checksum, str(downloads)]
    part = downloads / "corpus.tgz.part"
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size >= 100_000) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    begun = part.stat().st_size
    assert 100_000 <= begun <= 180_000
    assert names(downloads) == ["corpus.tgz.part"]
    server.stalls = False
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
    assert (downloads / "corpus.tgz").read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={begun}-"]


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_checksum_names_its_algorithm(tmp_path, algorithm):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    digest = hashlib.new(algorithm, CONTENT).hexdigest()
    assert download.matches(path, f"{algorithm}:{digest}")
    path.write_bytes(CONTENT[:-1])
    assert not download.matches(path, f"{algorithm}:{digest}")
