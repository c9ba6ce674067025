import pytest

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
