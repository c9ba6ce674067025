"""Installs the packages that make works with; it needs none itself. Make has seen to it that Python is a known one."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ds2 import cuda
from ds2.errors import UserError, ends_with_a_sentence

# Compute capabilities that paddlepaddle-gpu 2.6.2 has code for; code for 8.6 runs on 8.9 too.
_CAPABILITIES = ((6, 1), (8, 9))
_PAGE = "https://www.paddlepaddle.org.cn/install/quick"
_OLDEST_PIP = (20, 3)  # older ones know no manylinux_2_28


@ends_with_a_sentence
def main() -> None:
    """Installs what PADDLE and PADDLE_INDEX name into .venv/$PADDLE.

    Raises:
        UserError: no GPU of this machine can run the wheel, or something is not there that is needed.
    """
    wheel, index = os.environ["PADDLE"], os.environ.get("PADDLE_INDEX", "")
    venv = Path(".venv", wheel)
    kept = venv / ".index"
    if index and wheel != "gpu":
        raise UserError("PADDLE_INDEX names where paddlepaddle-gpu 3.x comes from: set PADDLE=gpu too, or unset it")
    changed = index and not (kept.exists() and kept.read_text() == index)
    if wheel == "gpu" and not index:
        _check_gpus()
    _make(venv, anew=bool(changed))
    if changed:
        kept.write_text(index)
    print(f"installing into {venv} (once; some minutes)", flush=True)
    if not index:
        _pip(venv, "--require-hashes", "-r", f"requirements/{wheel}.txt")
    else:
        _install_from(index, venv)


@ends_with_a_sentence
def link() -> None:
    """Makes the links that paddlepaddle-gpu 2.6 needs, if that is what .venv/$PADDLE has."""
    for packages in Path(".venv", os.environ["PADDLE"]).glob("lib/python3*/site-packages"):
        cuda.link(packages)


def _check_gpus() -> None:
    """Says which GPUs the pinned wheel cannot run; raises UserError where there is no other."""
    command = ["nvidia-smi", "--query-gpu=compute_cap,name", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    except OSError:
        return
    found = re.findall(r"^(\d+)\.(\d+), (.+)$", told, re.MULTILINE)  # none from an old driver: it knows no compute_cap
    gpus = {f"{name} ({major}.{minor})": (int(major), int(minor)) for major, minor, name in found}
    lowest, highest = _CAPABILITIES
    foreign = [gpu for gpu, capability in gpus.items() if not lowest <= capability <= highest]
    if not foreign:
        return
    newer = max(gpus.values()) > highest
    mended = (
        f"make PADDLE=gpu PADDLE_INDEX=... repro installs a newer one, from the address that {_PAGE} gives for your "
        "CUDA, and make PADDLE=cpu repro uses the CPU"
        if newer
        else "make PADDLE=cpu repro uses the CPU"
    )
    sentence = f"paddlepaddle-gpu 2.6.2 runs compute capability 6.1 to 8.9, not {', '.join(foreign)}: {mended}"
    if len(foreign) == len(gpus):
        raise UserError(sentence)
    print(f"{sentence}; CUDA_VISIBLE_DEVICES names the GPUs to use", file=sys.stderr)


def _make(venv: Path, anew: bool) -> None:
    """Makes the environment where there is none with a pip in it; raises UserError where it cannot, or pip is old."""
    asked = [venv / "bin/python", "-c", "import pip; print(pip.__version__)"]
    told = subprocess.run(asked, capture_output=True, text=True).stdout if asked[0].exists() else ""
    if anew or not told:
        done = subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=False)
        if done.returncode != 0:
            raise UserError(
                f"{sys.executable} cannot make {venv}: its venv and pip are needed (apt-get install "
                "python3-venv, or the like)"
            )
        told = subprocess.run(asked, capture_output=True, text=True).stdout
    if tuple(map(int, re.findall(r"\d+", told)[:2])) < _OLDEST_PIP:
        raise UserError(
            f"{venv} has pip {told.strip()}, and some packages need 20.3 or later: run {asked[0]} -m pip install "
            "--upgrade pip"
        )


def _install_from(index: str, venv: Path) -> None:
    """Installs the CPU's pins but for paddle, with their hashes, and paddle for the GPU from the index, without."""
    blocks = re.split(r"\n(?=\S)", Path("requirements/cpu.txt").read_text())
    (version,) = [found[1] for block in blocks if (found := re.match(r"paddlepaddle==(\S+)", block))]
    print(f"paddlepaddle-gpu {version} and what only it needs (nvidia-*) come from {index}, without hashes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        pinned, names = Path(folder, "pinned.txt"), Path(folder, "names.txt")
        blocks = [block for block in blocks if not block.startswith("paddlepaddle==")]
        pinned.write_text("\n".join(blocks))
        # Without hashes, so that all else is neither replaced nor, where it is missing, taken in another version.
        names.write_text("\n".join(block.partition(" \\")[0] for block in blocks))
        _pip(venv, "--require-hashes", "-r", str(pinned))
        _pip(venv, "--index-url", index, "--constraint", str(names), f"paddlepaddle-gpu=={version}")


def _pip(venv: Path, *arguments: str) -> None:
    command = [venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode != 0:
        raise UserError("pip has failed, and says above why; what it has installed is kept: run make again")
