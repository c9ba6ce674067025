import gzip
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ds2.corpora.obtain import below
from ds2.corpora.unpack import unpack
from ds2.errors import UserError
from tests.corpora.archives import special, tar_gz, zipped

MOST = 1 << 20


def everything(name: PurePosixPath) -> PurePosixPath:
    return name


@pytest.fixture
def opened(tmp_path):
    """opened(content, place, ...) unpacks an archive and returns what is in the folder then, by name."""

    def unpacked(content: bytes, place=everything, name="corpus.tgz", **options) -> dict[str, bytes]:
        archive = tmp_path / name
        archive.write_bytes(content)
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        unpack(archive, folder, place, MOST, **options)
        return files(folder)

    return unpacked


def files(folder: Path) -> dict[str, bytes]:
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outside(folder: Path) -> list[str]:
    """What lies beside the folder and the archive."""
    return sorted(path.name for path in folder.parent.iterdir() if path != folder and path.name != "corpus.tgz")


MEMBERS = (("a/one.wav", b"1"), ("./a/b/two.wav", b"22"), ("three.txt", b""))


def test_a_tar_and_a_zip_are_unpacked(opened):
    expected = {"a/one.wav": b"1", "a/b/two.wav": b"22", "three.txt": b""}
    assert opened(tar_gz(*MEMBERS, folders=["a", "a/b", "empty"])) == expected
    assert opened(zipped(*MEMBERS, ("a/", b"")), name="corpus.zip") == expected


def test_a_place_chooses_and_moves(opened):
    content = tar_gz(("top/data/a.wav", b"1"), ("top/data/b/c.wav", b"2"), ("top/other", b"3"), ("top/data", b"4"))
    assert opened(content, below("top", "data")) == {"a.wav": b"1", "b/c.wav": b"2"}


def test_a_tar_in_a_tar_is_unpacked_where_it_lies_and_is_not_left_there(opened):
    inner = tar_gz(("train/S1/a.wav", b"1"), ("train/S1/b.wav", b"2"))
    content = tar_gz(("top/wav/S1.tar.gz", inner), ("top/text", b"t"), ("top/wav/S2.tar.gz", tar_gz(("dev/c", b"3"))))
    assert opened(content, below("top")) == {
        "wav/train/S1/a.wav": b"1",
        "wav/train/S1/b.wav": b"2",
        "wav/dev/c": b"3",
        "text": b"t",
    }


LINKS = [
    pytest.param(special("a/link", tarfile.SYMTYPE, "/etc/passwd"), id="symbolic link"),
    pytest.param(special("a/link", tarfile.SYMTYPE, ".."), id="symbolic link upwards"),
    pytest.param(special("a/link", tarfile.LNKTYPE, "three.txt"), id="hard link"),
    pytest.param(special("a/null", tarfile.CHRTYPE), id="character device"),
    pytest.param(special("a/disk", tarfile.BLKTYPE), id="block device"),
    pytest.param(special("a/pipe", tarfile.FIFOTYPE), id="pipe"),
]


@pytest.mark.parametrize("member", LINKS)
def test_links_and_devices_are_refused(opened, tmp_path, member):
    with pytest.raises(UserError, match=f"corpus.tgz is not unpacked: it holds '{member.name}'"):
        opened(tar_gz(*MEMBERS, member, (f"{member.name}/evil", b"x")))
    assert outside(tmp_path / "folder") == []


@pytest.mark.parametrize("member", LINKS)
def test_what_is_not_wanted_may_be_anything(opened, member):
    assert opened(tar_gz(member, ("top/a", b"1")), below("top")) == {"a": b"1"}


def test_a_symbolic_link_may_be_wanted_as_text(opened):
    content = tar_gz(special("train/a.trn", tarfile.SYMTYPE, "../data/a.trn"), ("data/a.trn", b"1"))
    assert opened(content, links_as_text=True) == {"train/a.trn": b"../data/a.trn", "data/a.trn": b"1"}
    with pytest.raises(UserError, match="neither a file nor a folder"):
        opened(tar_gz(special("train/a.trn", tarfile.LNKTYPE, "data/a.trn")), links_as_text=True)


BOMB = ("bomb", bytes(3 * MOST))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("corpus.tgz", tar_gz(*MEMBERS, BOMB), id="tar"),
        pytest.param("corpus.tgz", tar_gz(("inner.tgz", tar_gz(BOMB))), id="tar in a tar"),
        pytest.param("corpus.zip", zipped(*MEMBERS, BOMB), id="zip"),
        pytest.param("corpus.tgz", tar_gz(*((f"{i}", bytes(MOST // 4)) for i in range(9))), id="many files"),
    ],
)
def test_no_more_is_written_than_there_may_be(opened, tmp_path, name, content):
    with pytest.raises(UserError, match=f"{name} is not unpacked: it holds more than {MOST} bytes"):
        opened(content, name=name)
    assert sum(map(len, files(tmp_path / "folder").values())) <= MOST


def test_links_in_a_zip_are_refused(opened):
    link = zipfile.ZipInfo("a/link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="a link to '/etc/passwd'"):
        opened(zipped((link, b"/etc/passwd")), name="corpus.zip")


HOSTILE = ["/etc/evil", "../evil", "a/../../evil", "a/..", "..", "//evil", "a/b/../../../evil", "/"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("wanted", [everything, below("top")], ids=["wanted", "not wanted"])
def test_names_that_lead_out_are_refused(opened, tmp_path, name, wanted):
    with pytest.raises(UserError, match="is not unpacked: it holds"):
        opened(tar_gz(("first", b"1"), (name, b"x")), wanted)
    with pytest.raises(UserError, match="is not unpacked: it holds"):
        opened(tar_gz(("top/inner.tar.gz", tar_gz((name, b"x")))), wanted)
    if not name.endswith("/"):
        with pytest.raises(UserError, match="is not unpacked: it holds"):
            opened(zipped((name, b"x")), wanted, name="corpus.zip")
    assert [found for found in outside(tmp_path / "folder") if found != "corpus.zip"] == []


PART = st.one_of(st.sampled_from(["..", ".", "", "a", "b", "...", "~", "c:", "\\", "a\n"]), st.text(max_size=3))
NAME = st.lists(PART, min_size=1, max_size=6).map("/".join).filter(lambda name: "\0" not in name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(names=st.lists(NAME, min_size=1, max_size=4), nested=st.booleans())
@example(names=["a", "a/b"], nested=False)
@example(names=["a" * 300], nested=False)
@example(names=["\udcff"], nested=False)
def test_no_name_leads_out(tmp_path_factory, names, nested):
    tmp_path = tmp_path_factory.mktemp("hostile")
    content = tar_gz(*((name, b"x") for name in names))
    (tmp_path / "corpus.tgz").write_bytes(tar_gz(("deep/inner.tgz", content)) if nested else content)
    (tmp_path / "folder").mkdir()
    try:
        unpack(tmp_path / "corpus.tgz", tmp_path / "folder", everything, MOST)
    except UserError as error:
        assert "corpus.tgz" in str(error)
    assert outside(tmp_path / "folder") == []
    assert set(files(tmp_path / "folder").values()) <= {b"x"}


@pytest.mark.parametrize("name", ["corpus.tgz", "corpus.zip"])
def test_a_damaged_archive_is_one_sentence(opened, name):
    whole = tar_gz(*MEMBERS, ("big", bytes(range(256)) * 1000)) if name.endswith(".tgz") else zipped(*MEMBERS)
    for content in (b"", b"no archive at all", whole[: len(whole) // 2], whole[:40] + b"\xff" * 20 + whole[60:]):
        with pytest.raises(UserError, match=r"is damaged|is not unpacked|cannot be unpacked") as caught:
            opened(content, name=name)
        assert name in str(caught.value)


def test_a_member_of_a_zip_without_a_name_is_a_sentence(opened):
    with pytest.raises(UserError, match=r"corpus\.zip"):
        opened(zipped(("x.wav", b"1")).replace(b"x.wav", b"\0.wav"), name="corpus.zip")


def test_a_file_that_is_shorter_than_its_header_says_is_damage(opened):
    whole = tar_gz(("big", bytes(100_000)))
    with pytest.raises(UserError, match="is damaged"):
        opened(gzip.compress(gzip.decompress(whole)[:50_000]))


PLAIN = gzip.decompress(tar_gz(*MEMBERS, special("l", tarfile.SYMTYPE, "x"), ("nested.tgz", tar_gz(*MEMBERS))))
ZIP = zipped(*MEMBERS, ("ü.wav", bytes(2000)))


@settings(max_examples=300)
@given(
    kind=st.sampled_from(["tgz", "gz", "zip"]),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_any_damage_is_a_sentence_or_goes_unnoticed_and_stays_inside(tmp_path_factory, kind, changes):
    tmp_path = tmp_path_factory.mktemp("damaged")
    data = bytearray({"tgz": gzip.compress(PLAIN), "gz": PLAIN, "zip": ZIP}[kind])
    for place, value in changes:
        data[place % len(data)] = value
    archive = tmp_path / ("corpus.zip" if kind == "zip" else "corpus.tgz")
    archive.write_bytes(gzip.compress(data) if kind == "gz" else data)
    (tmp_path / "folder").mkdir()
    try:
        unpack(archive, tmp_path / "folder", everything, MOST, links_as_text=True)
    except UserError as error:
        assert archive.name in str(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "folder"]
    files(tmp_path / "folder")
