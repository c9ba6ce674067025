"""Recordings that were accepted into a manifest and cannot be read any more: how many of them a stage tolerates."""

from ds2 import params


def bearable(recordings: int, manifest: params.ManifestSettings) -> int:
    """The number of recordings that may be unreadable: the same share of them as the manifest stage may reject."""
    return int(recordings * manifest.max_rejected_fraction + 1e-9)


def sentence(count: int, recordings: int, first: str, manifest: params.ManifestSettings) -> str:
    """The error of a stage that could not read `count` of the `recordings` so far; `first` has its reason in it."""
    return (
        f"{count} of {recordings} training recordings could not be read so far, more than "
        f"manifest.max_rejected_fraction ({manifest.max_rejected_fraction:g}) allows; the first is {first}: mount the "
        "disk or put the files back and run the same command again, or make the manifest anew with dvc repro -f "
        "manifest"
    )
