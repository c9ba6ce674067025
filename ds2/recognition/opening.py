"""Opening a trained model, whatever computes it."""

from pathlib import Path

from ds2.recognition.acoustic import AcousticModel


def model(folder: Path, use_gpu: str | bool) -> AcousticModel:
    """Opens the model in a folder.

    Args:
        folder: of a checkpoint.
        use_gpu: as runtime.use_gpu.

    Raises:
        UserError: it does not exist or is damaged, or there is no such device.
    """
    from ds2.recognition import paddle_model  # paddle takes seconds to load, and not everybody who imports this opens

    return paddle_model.load(folder, use_gpu)


def mean(models: Path, count: int, use_gpu: str | bool) -> AcousticModel:
    """Opens the mean of the last `count` epochs in a folder of checkpoints.

    Raises:
        UserError: as `model`, or there are fewer.
    """
    from ds2.recognition import paddle_model

    return paddle_model.load_mean(models, count, use_gpu)
