"""The `device` fixture: one body per behaviour, run on every device and in every precision it computes in."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # before anybody imports keras
# Before anybody imports NumPy: the tests fill the cores by themselves, and BLAS threads that wait for one another made
# the small products of `reference` a hundred times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

import tinycnn
from tinycnn import session
from tinycnn.devices import DEVICES, DeviceError

settings.register_profile(
    "tinycnn",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("tinycnn")


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        action="append",
        metavar="NAME",
        help="run the tests of this device only (repeatable; all by default)",
    )


def pytest_configure(config):
    for name in config.getoption("--device") or []:
        if name not in DEVICES:
            raise pytest.UsageError(f"--device {name}: there are: {', '.join(DEVICES)}")


# What takes too long in Numba's simulator, where a block of 256 threads takes 5 ms and a product of two numbers half a
# microsecond. These are deselected there, visibly, and so is float64 but for the gradients, which need it; on a GPU the
# numba device runs them as all others.
TOO_LARGE_FOR_THE_SIMULATOR = (
    # whole networks and whole trainings; a step of breakdown-2 is in test_numba_kernels.py
    "test_training.py",
    "test_callbacks.py",
    "test_checkpoint.py",
    "test_models.py",
    "test_pictures.py",
    "test_readme.py",
    "test_a_network_s_gradients_are_those_of_the_reference",
    # many launches
    "test_accumulate_keeps_float64_over_a_long_epoch",
    "test_results_are_identical_from_run_to_run",
    "test_results_stay_as_they_are_while_others_are_computed",
    # large arrays
    "test_dropout_drops_its_share",
    "test_softmax_crossentropy_of_many_rows",
    "test_batch_normalisation_of_many_and_of_few_images[numba-float32-(64, 12, 12, 8)]",
    "test_sums_over_many_rows_keep_their_digits",
    "test_dense_with_one_of_everything_and_with_much_of_everything",
    # gradients: float64 alone, in which they are checked to more digits
    "test_the_gradients_of_every_operation[numba-float32",
    "test_two_backward_passes_add_up[numba-float32",
    "test_a_zero_upstream_gives_zero_gradients_everywhere[numba-float32",
    "test_images_that_no_gradient_is_wanted_for_get_none[numba-float32",
)


def pytest_collection_modifyitems(config, items):
    def too_large(item):
        device = item.callspec.params.get("device") if hasattr(item, "callspec") else None
        if device is None or device[0] != "numba":
            return False
        again = device[1] == "float64" and item.path.parent.name != "gradients"
        return again or any(part in item.nodeid for part in TOO_LARGE_FOR_THE_SIMULATOR)

    large = [item for item in items if too_large(item)]
    if large and is_simulated():
        config.hook.pytest_deselected(items=large)
        items[:] = [item for item in items if item not in large]


def is_simulated():
    """Whether the numba device is Numba's simulator here."""
    try:
        return "simulator" in tinycnn.get_device("numba").remark
    except DeviceError:
        return False


def pytest_generate_tests(metafunc):
    if "device" not in metafunc.fixturenames:
        return
    wanted = metafunc.config.getoption("--device") or list(DEVICES)
    kinds = [(name, dtype) for name, (_, _, dtypes) in DEVICES.items() if name in wanted for dtype in dtypes]
    metafunc.parametrize("device", kinds, indirect=True, ids=["-".join(kind) for kind in kinds])


@pytest.fixture
def device(request):
    """Each device in each of its precisions, made the current one; skipped, with the reason, where it cannot be had."""
    name, dtype = request.param
    try:
        made = tinycnn.get_device(name, dtype)
    except DeviceError as error:
        pytest.skip(f"no {name} device: {error}")
    with tinycnn.use_device(name, dtype):
        yield made


@pytest.fixture
def reference():
    """The reference in float32, made the current device."""
    with tinycnn.use_device("reference") as made:
        yield made


@pytest.fixture
def float64():
    """The oracle, made the current device: the reference in float64."""
    with tinycnn.use_device("reference", "float64") as made:
        yield made


@pytest.fixture(autouse=True)
def fresh_session():
    """Every test starts with seed 0 and layers numbered from 1."""
    session.clear_session()
    session.set_random_seed(0)
