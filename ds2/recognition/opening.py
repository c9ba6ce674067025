"""Opens a trained model, whatever kind of folder it lies in."""

from pathlib import Path

from ds2.recognition import bundle
from ds2.recognition.acoustic import AcousticModel


def load(folder: Path, use_gpu: str | bool) -> AcousticModel:
    """Opens a checkpoint, or a bundle that `python -m ds2 export` has made, told apart by their files.

    `use_gpu` is runtime.use_gpu; a bundle runs on the CPU.

    Raises:
        UserError: it does not exist or is damaged, or cannot be used here.
    """
    if bundle.is_bundle(folder):
        from ds2.recognition import onnx_model

        return onnx_model.load(folder, use_gpu)
    from ds2.recognition import paddle_model  # paddle takes seconds to load, and a bundle needs none

    return paddle_model.load(folder, use_gpu)
