"""From archives to folders of audio: what is missing is downloaded and unpacked, once."""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from loguru import logger

from ds2 import layout
from ds2.corpora import download
from ds2.corpora.archive import Archive
from ds2.corpora.unpack import Place, unpack
from ds2.errors import UserError
from ds2.files import claimed, remove_unfinished, replacing_folder

# In a folder that is complete: the checksum of the archive that it comes from.
_MARK = ".archive"
# More than so many times what an archive should hold is not unpacked; what it should hold is computed, not measured.
_MOST = 2


@dataclass(frozen=True, slots=True)
class Part:
    """An archive and the folder that is made of it.

    Attributes:
        archive: where the files come from.
        folder: relative to the repository's root.
        place: as `unpack`'s.
        links_as_text: as `unpack`'s.
    """

    archive: Archive
    folder: Path
    place: Place
    links_as_text: bool = False


def obtain(parts: Sequence[Part], download_dir: str) -> None:
    """Makes the folders of all parts that are not there yet.

    Args:
        parts: what a corpus consists of.
        download_dir: runtime.download_dir. The archives stay there; nothing needs them once the folders are made.

    Raises:
        UserError: too little space, no mirror has an archive, or a folder is in the way.
    """
    downloads = layout.repository_root() / Path(download_dir).expanduser()
    missing = [part for part in parts if not _is_made(part)]
    try:
        with ExitStack() as stack:
            for part in missing:
                target = _target(part)
                lock = target.with_name(f".{target.name}.lock")
                stack.enter_context(claimed(lock, download.at_work_on(target.name)))
            # Another run may have made some while this one waited.
            missing = [part for part in missing if not _is_made(part)]
            for part in missing:
                remove_unfinished(_target(part))  # before the disk is looked at, which it may fill
            _check_space(missing, downloads)
            for part in missing:
                _make(part, downloads)
    except OSError as error:
        raise UserError(f"{error.filename or downloads} cannot be written: {error.strerror}") from None


def _target(part: Part) -> Path:
    return layout.repository_root() / part.folder


def _make(part: Part, downloads: Path) -> None:
    path = download.fetch(part.archive, downloads)
    logger.info(f"unpacking {path} into {part.folder}")
    with replacing_folder(_target(part)) as folder:
        unpack(path, folder, part.place, _MOST * part.archive.unpacked, links_as_text=part.links_as_text)
        (folder / _MARK).write_text(part.archive.checksum + "\n", encoding="utf-8")
        os.sync()  # the new name must not reach the disk before the files


def below(*parents: str) -> Place:
    """A place for what lies in a folder of the archive: the same, without that folder.

    Args:
        parents: the folder and those it lies in, outermost first.
    """

    def place(name: PurePosixPath) -> PurePosixPath | None:
        if name.parts[: len(parents)] != parents or len(name.parts) == len(parents):
            return None
        return PurePosixPath(*name.parts[len(parents) :])

    return place


def _is_made(part: Part) -> bool:
    folder = _target(part)
    if not folder.exists():
        return False
    try:
        return (folder / _MARK).read_text(encoding="utf-8").strip() == part.archive.checksum
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} was not made from {part.archive.name}: move it away, or take the corpus out of corpora in "
            "params.yaml and write an annotation for what you have"
        ) from None


def _check_space(missing: Sequence[Part], downloads: Path) -> None:
    """Looks at all disks before the first byte is downloaded."""
    needs: Counter[int] = Counter()
    folders: dict[int, Path] = {}
    for part in missing:
        archive = part.archive
        there = max(_size(downloads / archive.name), _size(downloads / f"{archive.name}.part"))
        for folder, size in ((downloads, max(0, archive.size - there)), (_target(part), archive.unpacked)):
            existing = _existing(folder)
            device = existing.stat().st_dev
            needs[device] += size
            folders.setdefault(device, existing)
    for device, needed in needs.items():
        free = shutil.disk_usage(folders[device]).free
        if free < needed:
            raise UserError(
                f"the disk of {folders[device]} has {free / 1e9:.1f} GB free, but about {needed / 1e9:.1f} GB are "
                "needed: make room, or let runtime.download_dir name a folder on another disk"
            )


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
