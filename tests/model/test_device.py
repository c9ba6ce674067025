import paddle
import pytest

from ds2 import params
from ds2.data.loader import worker_count
from ds2.errors import UserError, enough_memory
from ds2.model import device

pytestmark = pytest.mark.wheel

GPU = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0


@pytest.fixture(autouse=True)
def device_as_before():
    before = paddle.device.get_device()
    yield
    paddle.set_device(before)


def test_false_means_the_cpu_even_where_there_is_a_gpu():
    assert device.choose(False) == "cpu"
    assert paddle.device.get_device() == "cpu"


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_auto_means_the_cpu_where_there_is_no_gpu():
    assert device.choose("auto") == "cpu"
    assert paddle.device.get_device() == "cpu"
    assert "cpu" in str(paddle.ones([1]).place).lower()


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence_that_names_the_parameter():
    with pytest.raises(UserError) as error:
        device.choose(True)
    assert "runtime.use_gpu" in str(error.value)
    assert "\n" not in str(error.value)
    assert ("CPU only" in str(error.value)) != paddle.is_compiled_with_cuda()


@pytest.mark.skipif(not GPU, reason="there is no GPU")
@pytest.mark.parametrize("use_gpu", ["auto", True])
def test_a_gpu_that_is_there_is_used(use_gpu):
    assert device.choose(use_gpu) == "gpu"
    assert paddle.device.get_device().startswith("gpu")


@pytest.mark.parametrize("on", ["cpu", "gpu"])
@pytest.mark.parametrize("workers", [0, 1, 5, 100])
def test_a_number_of_workers_is_taken_at_its_word(workers, on):
    assert worker_count(params.RuntimeSettings(num_workers=workers), on, 4) == workers


@pytest.mark.parametrize(("on", "cores", "workers"), [("cpu", 64, 1), ("gpu", 2, 2), ("gpu", 8, 8), ("gpu", 64, 8)])
def test_auto_leaves_the_cores_to_the_network_on_a_cpu_and_is_bounded_on_a_gpu(on, cores, workers):
    assert worker_count(params.RuntimeSettings(), on, cores) == workers


@pytest.mark.parametrize(
    "error", [MemoryError("(ResourceExhausted) Fail to alloc"), RuntimeError("ResourceExhaustedError: out of memory")]
)
def test_a_lack_of_memory_is_told_by_the_sentence(error):
    with pytest.raises(UserError, match=r"^lower it$"), enough_memory("lower it"):
        raise error


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    with pytest.raises(RuntimeError, match="the shape is wrong"), enough_memory("lower it"):
        raise RuntimeError("the shape is wrong")
