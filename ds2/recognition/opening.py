"""Opens a trained model, whatever kind of folder it lies in."""

from pathlib import Path

from ds2 import layout
from ds2.errors import UserError
from ds2.recognition import bundle
from ds2.recognition.acoustic import AcousticModel


def load(folder: Path, use_gpu: str | bool) -> AcousticModel:
    """Opens a checkpoint, or a bundle that `python -m ds2 export` has made, told apart by their files.

    `use_gpu` is runtime.use_gpu; a bundle runs on the CPU.

    Raises:
        UserError: it does not exist or is damaged, or cannot be used here.
    """
    if bundle.is_bundle(folder):
        try:
            from ds2.recognition import onnx_model
        except ModuleNotFoundError as error:
            raise _without(folder, "a bundle", error, "run pip install '.[onnx]' in the repository") from None
        return onnx_model.load(folder, use_gpu)
    if not folder.exists() and bundle.is_bundle(layout.EXPORTED):
        raise UserError(f"{folder} does not exist: train first, or name the bundle that is there, {layout.EXPORTED}")
    try:
        from ds2.recognition import paddle_model  # paddle takes seconds to load, and a bundle needs none
    except ModuleNotFoundError as error:
        mended = "use a bundle that python -m ds2 export makes of it, or run make install in the repository"
        raise _without(folder, "no bundle, and a checkpoint", error, mended) from None
    return paddle_model.load(folder, use_gpu)


def _without(folder: Path, kind: str, error: ModuleNotFoundError, mended: str) -> Exception:
    """The sentence where a package is missing that a kind of folder needs; the error itself where it is another's."""
    package = str(error.name).split(".")[0]
    if package not in ("onnxruntime", "paddle", "safetensors"):
        return error
    return UserError(f"{folder} is {kind}, which needs the package {package}: {mended}")
