import os
import resource
import sys

import numpy as np
import pytest

from ds2 import cpu
from ds2.cpu import prefer_fast_kernels

AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx avx2 fma\n"
OLD_AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx\n"
INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx avx2 fma\n"


def test_amd_with_avx2_takes_the_fast_path():
    environment = {}
    prefer_fast_kernels(environment, AMD)
    assert environment == {"OPENBLAS_NUM_THREADS": "1", "MKL_DEBUG_CPU_TYPE": "5"}


@pytest.mark.parametrize("cpuinfo", [INTEL, OLD_AMD, ""])
def test_other_processors_are_left_to_choose_for_themselves(cpuinfo):
    environment = {}
    prefer_fast_kernels(environment, cpuinfo)
    assert environment == {"OPENBLAS_NUM_THREADS": "1"}


def test_what_the_user_has_set_stays():
    environment = {"OPENBLAS_NUM_THREADS": "4", "MKL_DEBUG_CPU_TYPE": "2", "PATH": "/bin"}
    prefer_fast_kernels(environment, AMD)
    assert environment == {"OPENBLAS_NUM_THREADS": "4", "MKL_DEBUG_CPU_TYPE": "2", "PATH": "/bin"}


@pytest.mark.parametrize(("chosen", "threads"), [("3", 3), ("1", 1), ("", None), ("0", None), ("many", None)])
def test_the_network_has_the_threads_that_the_user_has_set_else_one_a_core(chosen, threads, monkeypatch):
    monkeypatch.setattr(cpu, "_CHOSEN_THREADS", chosen)
    assert cpu.threads() == (threads or len(os.sched_getaffinity(0)))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_arrays_take_the_memory_of_those_before_them():
    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            np.ones(2_000_000, np.uint8).sum()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert faults() < 20 * 2_000_000 / 4096 / 2
