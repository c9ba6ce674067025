"""What has to be set before numpy and paddle are loaded for the CPU to be used well."""

import ctypes
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path


def prefer_fast_kernels(environment: MutableMapping[str, str] = os.environ, cpuinfo: str | None = None) -> None:
    """Sets what the user has not set.

    The MKL inside paddle's wheels asks for the vendor, not for the instruction set, and takes its slowest path on
    AMD; with MKL_DEBUG_CPU_TYPE whole training steps run 3 to 5 times faster there. NumPy's own threads only get in
    each other's way: features are small products, made in as many processes as there are cores, and statistics came
    out 6 times slower with them. `cpuinfo` is the text of /proc/cpuinfo, read from there when None.
    """
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    if cpuinfo is None:
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text() if path.exists() else ""
    if "AuthenticAMD" in cpuinfo and "avx2" in cpuinfo:
        environment.setdefault("MKL_DEBUG_CPU_TYPE", "5")


# As the user has it: paddle sets it to 1 when it is loaded.
_CHOSEN_THREADS = os.environ.get("OMP_NUM_THREADS", "")


def threads() -> int:
    """The threads that the network may use: OMP_NUM_THREADS, else one a core."""
    chosen = _CHOSEN_THREADS
    return int(chosen) if chosen.isdigit() and int(chosen) > 0 else len(os.sched_getaffinity(0))


# Of glibc's mallopt: memory free at the heap's end from which it is given back, and a block from which it is mapped.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _HEAP_BLOCK_BYTES = 256 << 20, 32 << 20


def keep_freed_memory() -> None:
    """Makes glibc reuse the memory of arrays.

    Else it gives the arrays of every utterance back to the kernel and takes them anew, page by page: a fifth of the
    time in which features were made went there.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):  # other C libraries lack it
        library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _HEAP_BLOCK_BYTES)
