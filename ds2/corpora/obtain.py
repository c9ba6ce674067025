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
    """An archive and the folder, relative to the repository's root, that is made of it; the rest as `unpack`'s."""

    archive: Archive
    folder: Path
    place: Place
    links_as_text: bool = False

    @property
    def target(self) -> Path:
        """The folder's whole path."""
        return layout.repository_root() / self.folder


def obtain(parts: Sequence[Part], download_dir: str) -> None:
    """Makes the folders of all parts of a corpus that are not there yet.

    The archives stay in runtime.download_dir; nothing needs them once the folders are made.

    Raises:
        UserError: too little space, no mirror has an archive, or a folder is in the way.
    """
    downloads = layout.user_folder(download_dir, "runtime.download_dir")
    missing = [part for part in parts if not _is_made(part)]
    try:
        with ExitStack() as stack:
            for part in missing:
                lock = part.target.with_name(f".{part.target.name}.lock")
                stack.enter_context(claimed(lock, download.at_work_on(part.target.name)))
            # Another run may have made some while this one waited.
            missing = [part for part in missing if not _is_made(part)]
            for part in missing:
                remove_unfinished(part.target)  # before the disk is looked at, which it may fill
            _check_space(missing, downloads)
            for part in missing:
                _make(part, downloads)
    except OSError as error:
        raise UserError(f"{error.filename or downloads} cannot be written: {error.strerror}") from None


def _make(part: Part, downloads: Path) -> None:
    path = download.fetch(part.archive, downloads)
    logger.info(f"unpacking {path} into {part.folder}")
    with replacing_folder(part.target) as folder:
        unpack(path, folder, part.place, _MOST * part.archive.unpacked, links_as_text=part.links_as_text)
        (folder / _MARK).write_text(part.archive.checksum + "\n", encoding="utf-8")
        os.sync()  # the new name must not reach the disk before the files


def below(*parents: str) -> Place:
    """A place for what lies in a folder of the archive, named with those it lies in: the same, without the folder."""

    def place(name: PurePosixPath) -> PurePosixPath | None:
        inner = name.parts[len(parents) :]
        return PurePosixPath(*inner) if inner and name.parts[: len(parents)] == parents else None

    return place


def _is_made(part: Part) -> bool:
    if not part.target.exists():
        return False
    try:
        return (part.target / _MARK).read_text(encoding="utf-8").strip() == part.archive.checksum
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{part.target} was not made from {part.archive.name}: move it away, or take the corpus out of corpora in "
            "params.yaml and write an annotation for what you have"
        ) from None


def _check_space(missing: Sequence[Part], downloads: Path) -> None:
    """Looks at all disks before the first byte is downloaded."""
    needs: Counter[int] = Counter()
    folders: dict[int, Path] = {}
    for part in missing:
        archive = part.archive
        there = max(download.size_of(downloads / name) for name in (archive.name, f"{archive.name}.part"))
        for folder, size in ((downloads, max(0, archive.size - there)), (part.target, archive.unpacked)):
            existing = next(path for path in (folder, *folder.parents) if path.exists())
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
