"""Where the network runs."""

import os
import resource

import paddle

from ds2.errors import UserError


def choose(use_gpu: str | bool) -> str:
    """Makes paddle compute on the first visible GPU or on the CPU, as runtime.use_gpu says: "gpu" or "cpu".

    Raises:
        UserError: a GPU is asked for and there is none that this paddle can use.
    """
    paddle.disable_signal_handler()  # it would print a report of its own where a stage is only told to stop
    usable = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if use_gpu is True and not usable:
        wheel = "no GPU is visible" if paddle.is_compiled_with_cuda() else "this paddle is built for the CPU only"
        raise UserError(f"runtime.use_gpu: true, but {wheel}; set it to auto, or see README on GPU wheels")
    if not usable or use_gpu is False:
        paddle.set_device("cpu")
        return "cpu"
    # One of several processes is told which.
    paddle.set_device(f"gpu:{os.environ.get('PADDLE_LOCAL_RANK', '0')}")
    return "gpu"


def be_deterministic() -> None:
    """Makes paddle choose GPU algorithms that give the same bits in every run. On a CPU they always do."""
    if paddle.is_compiled_with_cuda():
        paddle.set_flags({"FLAGS_cudnn_deterministic": True, "FLAGS_embedding_deterministic": 1})


def peak_memory_mb() -> float:
    """The most memory that this process has used so far, in MiB: of its GPU, on a CPU of the machine."""
    if paddle.get_device().startswith("gpu"):
        return paddle.device.cuda.max_memory_reserved() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
