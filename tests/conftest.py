"""The `device` fixture: one body per behaviour, run on every device and in every precision it computes in."""

import os
from functools import cache

os.environ.setdefault("KERAS_BACKEND", "jax")  # before anybody imports keras
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # beside a GPU it would take most of its memory, and compute in TF32
# Before anybody imports NumPy: the tests fill the cores by themselves, and BLAS threads that wait for one another made
# the small products of `reference` a hundred times slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TINYCNN_DEVICE", "cpu")  # where a test names no device, beside a GPU too

import pytest
import sampled
from hypothesis import HealthCheck, settings
from saved_trainings import saved_to

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
        help="run the tests of this device only (repeatable; by default of all that can be had)",
    )


def pytest_configure(config):
    for name in config.getoption("--device") or []:
        if name not in DEVICES:
            raise pytest.UsageError(f"--device {name}: there are: {', '.join(DEVICES)}")
        if why_not(name):
            raise pytest.UsageError(f"--device {name}: {why_not(name)}")


@cache
def why_not(name):
    """What keeps a device from being had here; None if nothing does."""
    try:
        tinycnn.get_device(name)
    except DeviceError as error:
        return str(error)


# ---------------------------------------------------------------- what is not run, and the line that says so

LEFT_OUT = {}  # what: how many tests, or why


def pytest_deselected(items):
    for item in items:
        if is_too_large(item):
            what = "that are too large for Numba's simulator"
        elif item.get_closest_marker("slow"):
            what = "that are slow, which `make test-all` runs"
        elif item.get_closest_marker("alike"):
            what = "that are like others, which `make test-all` runs"
        else:
            continue
        LEFT_OUT[what] = LEFT_OUT.get(what, 0) + 1


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one of xdist's processes, which have no summary of their own
        session.config.workeroutput["left_out"] = LEFT_OUT


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    LEFT_OUT.update(getattr(node, "workeroutput", {}).get("left_out", {}))  # the same from each of them


def pytest_terminal_summary(terminalreporter):
    for what, how in LEFT_OUT.items():
        line = f"{how} tests {what}" if isinstance(how, int) else f"{what}: {how}"
        terminalreporter.write_line(f"not run: {line}")


# What takes too long in Numba's simulator, where a block of 256 threads takes 5 ms and a product of two numbers half a
# microsecond. These are deselected there, visibly, and so is float64 but for the gradients, which need it; on a GPU the
# numba device runs them as all others.
TOO_LARGE_FOR_THE_SIMULATOR = (
    # whole networks and whole trainings; a step of breakdown-2 is in test_numba_kernels.py
    "test_training.py",
    "test_callbacks.py",
    "test_checkpoint.py",
    "test_fit_again.py",
    "test_frozen.py",
    "test_generators.py",
    "test_models.py",
    "test_own_losses.py",
    "test_threads_that_train_and_predict_at_once_give_what_each_gives_alone",
    "test_weights_of_images.py",
    "test_pictures.py",
    "test_readme.py",
    "test_a_network_s_gradients_are_those_of_the_reference",
    # many launches
    "test_totals_keep_float64_over_a_long_epoch",
    "test_results_are_identical_from_run_to_run",
    "test_results_stay_as_they_are_while_others_are_computed",
    # large arrays
    "test_more_images_than_a_grid_has_rows",
    "test_dropout_drops_its_share",
    "test_softmax_crossentropy_of_many_rows",
    "test_batch_normalisation_of_many_and_of_few_images[numba-float32-(64, 12, 12, 8)]",
    "test_sums_over_many_rows_keep_their_digits",
    # special values: NaN and both infinities together are enough
    *(f"test_special_values_come_out_as_the_reference_has_them[numba-float32-{v}-" for v in ("inf", "-inf", "-0.0")),
    "test_dense_with_one_of_everything_and_with_much_of_everything",
    # gradients: float64 alone, in which they are checked to more digits
    "test_the_gradients_of_every_operation[numba-float32",
    "test_two_backward_passes_add_up[numba-float32",
    "test_a_zero_upstream_gives_zero_gradients_everywhere[numba-float32",
    "test_images_that_no_gradient_is_wanted_for_get_none[numba-float32",
)


def device_of(item):
    """As in 'cpu-float32'; '' for a test that is not run on every device."""
    device = item.callspec.params.get("device") if hasattr(item, "callspec") else None
    return "-".join(device) if isinstance(device, tuple) else ""


def is_too_large(item):
    if not device_of(item).startswith("numba") or not is_simulated():
        return False
    again = device_of(item) == "numba-float64" and item.path.parent.name != "gradients"
    return again or any(part in item.nodeid for part in TOO_LARGE_FOR_THE_SIMULATOR)


@cache
def is_simulated():
    """Whether the numba device is Numba's simulator here."""
    return why_not("numba") is None and "simulator" in tinycnn.get_device("numba").remark


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(config, items):
    for item in items:
        for marker in item.iter_markers("slow_on"):
            if device_of(item).startswith(marker.args):
                item.add_marker("slow")
    large = [item for item in items if is_too_large(item)]
    if large:
        config.hook.pytest_deselected(items=large)
        items[:] = [item for item in items if not is_too_large(item)]
    for item in list(sampled.not_taken(items)):
        item.add_marker("alike")


def pytest_generate_tests(metafunc):
    if "device" not in metafunc.fixturenames:
        return
    kinds = []
    for name in metafunc.config.getoption("--device") or DEVICES:
        if why_not(name):
            LEFT_OUT[f"anything on {name}"] = why_not(name)
        else:
            kinds += [(name, dtype) for dtype in DEVICES[name][2]]
    metafunc.parametrize("device", kinds, indirect=True, ids=["-".join(kind) for kind in kinds])


@pytest.fixture
def device(request):
    """Each device that can be had, in each of its precisions, made the current one."""
    with tinycnn.use_device(*request.param) as made:
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


@pytest.fixture(scope="session")
def nvrtc():
    """NVIDIA's compiler; without it the test is skipped."""
    from tinycnn.devices.checks import compile_gate

    try:
        return compile_gate.load_nvrtc()
    except compile_gate.NvrtcMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def run(capsys):
    """run("list", "--json"), as `tinycnn list --json` -> (exit status, standard output, standard error)"""
    from tinycnn import command

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            command.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def refused(run):
    """refused("train", "x") -> the one line on standard error, after checking that it is one and the status is 2."""

    def call(*arguments):
        status, _, error = run(*arguments)
        assert status == 2
        assert error.startswith("tinycnn: ") and error.count("\n") == 1 and "Traceback" not in error
        return error

    return call


@pytest.fixture(scope="session")
def keras():
    """Keras 3, which computes by JAX."""
    keras = pytest.importorskip("keras", reason="Keras is not installed: pip install 'tinycnn[test]'")
    pytest.importorskip("jax", reason="JAX is not installed: pip install 'tinycnn[test]'")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend than JAX here")
    return keras


@pytest.fixture
def path(tmp_path):
    """Where the tests of checkpoints have theirs."""
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(float64, path):
    """A trained network, which is in the file there."""
    return saved_to(path)


@pytest.fixture(autouse=True)
def no_times_of_this_machine(monkeypatch, tmp_path_factory):
    """What was measured of kernels here is not what tests plan by."""
    from tinycnn.devices.gpu.fast import measured

    monkeypatch.setattr(measured, "folder", lambda: tmp_path_factory.getbasetemp() / "no times")
    if why_not("cuda"):  # what a stand-in for CuPy compiles is no machine code
        monkeypatch.setenv("TINYCNN_CUDA_CACHE", str(tmp_path_factory.getbasetemp() / "cuda"))


@pytest.fixture(autouse=True)
def fresh_session():
    """Every test starts with seed 0 and layers numbered from 1."""
    session.clear_session()
    session.set_random_seed(0)
