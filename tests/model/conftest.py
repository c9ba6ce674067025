import pytest

from ds2.model import arrays


@pytest.fixture(params=["our own code for CPUs", "Paddle's layers"])
def by(request, monkeypatch):
    """Both ways through the network; the second is that of GPUs, on the CPU."""
    if request.param == "Paddle's layers":
        monkeypatch.setattr(arrays, "on_cpu", lambda tensor: False)
    return request.param
