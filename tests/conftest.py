"""The `device` fixture: one body per behaviour, run on every device and in every precision it computes in."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # before anybody imports keras

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
def float64():
    """The oracle, made the current device: the reference in float64."""
    with tinycnn.use_device("reference", "float64") as made:
        yield made


@pytest.fixture(autouse=True)
def fresh_session():
    """Every test starts with seed 0 and layers numbered from 1."""
    session.clear_session()
    session.set_random_seed(0)
