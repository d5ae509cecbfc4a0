"""How the cuda device compiles and keeps the kernels of one shape, on a stand-in for CuPy."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import stand_in_cupy
from helpers import assert_close, assert_same_bits, images, normal
from oracles import rng_of

import tinycnn
from tinycnn import layers, models
from tinycnn.command import doctor
from tinycnn.devices.base import Wanted
from tinycnn.devices.checks import fast_cases
from tinycnn.devices.checks.fast_cases import Case
from tinycnn.devices.gpu import cuda
from tinycnn.devices.gpu.fast import cubins
from tinycnn.devices.gpu.fast import launches as fast
from tinycnn.devices.gpu.fast import plan as planner
from tinycnn.devices.gpu.fast.instances import BACKWARD_DATA, FORWARD, GemmTile, plan_of
from tinycnn.shapes import UNPADDED, Geometry

PADDING = ((1, 1), (1, 1))


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(stand_in_cupy.cuda, "nvrtc", stand_in_cupy.Nvrtc())
    monkeypatch.setenv("TINYCNN_CUDA_CACHE", str(tmp_path / "kept"))
    return stand_in_cupy


@pytest.fixture
def compiled(stand_in):
    """The names of the kernels that NVRTC was given, in the order of their compilation."""
    return stand_in.cuda.nvrtc.compiled


def both_passes(device, x_shape=(3, 9, 8, 10), w_shape=(3, 3, 10, 18), padding=PADDING):
    """Everything that a layer computes, as NumPy arrays."""
    rng = rng_of(1)
    x, w, b = (device.asarray(normal(rng, *shape)) for shape in (x_shape, w_shape, w_shape[3:]))
    y = fast.conv2d_forward(device, x, w, b, (1, 1), padding, True)
    dy = device.asarray(normal(rng, *y.shape))
    gradients = fast.conv2d_backward(device, dy, y, x, w, (1, 1), padding, Wanted(True, True, True))
    return [device.numpy(device.whole(a)) for a in (y, *gradients)]


def assert_same(found, want):
    for one, other in zip(found, want, strict=True):
        assert_same_bits(one, other)


def kept(suffix):
    return sorted(Path(os.environ["TINYCNN_CUDA_CACHE"]).glob(f"*{suffix}"))


def test_a_layer_computes_what_it_computes_in_the_emulator(compiled):
    want = both_passes(tinycnn.get_device("emulator"))
    assert_same(both_passes(cuda.CudaDevice()), want)
    assert len(compiled) == len(set(compiled)) == len(kept(".cubin")) == len(kept(".json")) == 3


def test_a_sum_in_slices_is_the_same_in_a_recorded_step(stand_in):
    """Its arrivals are zeroed once, before the first replay; every launch leaves zeros to the next."""
    device, rng, found = cuda.CudaDevice(), rng_of(2), []
    x, w = device.asarray(normal(rng, 33, 300)), device.asarray(normal(rng, 300, 10))
    want = device.numpy(fast.dense_forward(device, x, w, None, False))
    recorded = device.record(lambda: found.append(fast.dense_forward(device, x, w, None, False)))
    for _ in range(4):
        recorded()
        assert_same_bits(device.numpy(found[-1]), want)
    assert recorded.graph.launches == 3


def test_smaller_batches_neither_plan_nor_compile(compiled, monkeypatch):
    """20 images in batches of 8, 9 to validate and 11 to predict: all by what batches of 8 take."""
    asked, choices, device = [], planner.choices, cuda.CudaDevice()
    monkeypatch.setattr(planner, "choices", lambda layer, *rest: (asked.append(layer.N), choices(layer, *rest))[1])
    monkeypatch.setitem(tinycnn.devices._made, ("cuda", "float32"), device)
    device.path = "fast"
    x, y = images(rng_of(5), 20)

    def made():
        return models.Sequential(
            [
                layers.Conv2D(8, 3, activation="relu", input_shape=x.shape[1:]),
                layers.Conv2D(4, 1, activation="relu"),
                layers.Flatten(),
                layers.Dense(y.shape[1], activation="softmax"),
            ]
        )

    with tinycnn.use_device("cuda"):
        model = made()
        model.compile("sgd", "categorical_crossentropy")
        model.fit(x[:8], y[:8], batch_size=8, verbose=0)
        products = len(compiled)
        model.fit(x, y, batch_size=8, validation_data=(x[:9], y[:9]), verbose=0)
        found = model.predict(x[:11], batch_size=8)
    assert products == len(set(compiled)) == len(compiled) == 8  # each layer's three, the first without its images'
    assert set(asked) == {8}
    with tinycnn.use_device("reference"):
        twin = made()
        twin.set_weights(model.get_weights())
        assert_close(found, twin.predict(x[:11]), 100)


def test_a_cooperative_launch_is_one_of_cupys(stand_in, monkeypatch):
    """And refused where the GPU, here of 3 multiprocessors, does not hold all blocks at once."""
    device, made = cuda.CudaDevice(), []
    called = stand_in_cupy.Function.__call__
    monkeypatch.setattr(stand_in_cupy.Function, "__call__", lambda *a, **k: (made.append(k), called(*a, **k)))
    x, y = device.asarray(np.array([-1.0, 2.0, 3.0])), device.empty((3,))
    device.launch("relu", "relu_forward<T>", (6,), (1024,), x, y, np.int64(3), cooperative=True)
    np.testing.assert_array_equal(device.numpy(y), [0, 2, 3])
    assert [k.get("enable_cooperative_groups") for k in made] == [True]
    with pytest.raises(tinycnn.devices.DeviceError, match="all of its 7 blocks.* holds 6"):
        device.launch("relu", "relu_forward<T>", (7,), (1024,), x, y, np.int64(3), cooperative=True)


def test_what_was_compiled_once_is_not_compiled_again(compiled):
    both_passes(cuda.CudaDevice())
    compiled.clear()
    both_passes(cuda.CudaDevice())  # as in a new process
    assert compiled == []


def test_many_kernels_are_built_at_once_and_those_that_are_there_are_left(stand_in, compiled):
    emulator, driver = tinycnn.get_device("emulator"), cuda.CudaDevice().driver
    both_passes(emulator)
    wanted = [one for one in emulator.driver.modules if one[0].startswith("fast/")][:6]
    driver.build(wanted)
    assert sorted(compiled) == sorted({kernel for _, kernel in wanted})
    driver.build(wanted)
    assert len(compiled) == len(wanted) and set(wanted) <= set(driver.functions)


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(p.read_bytes()[:-1]), lambda p: p.write_bytes(b"{}")])
@pytest.mark.parametrize("suffix", [".cubin", ".json"])
def test_a_damaged_file_is_noticed_and_compiled_again(compiled, damage, suffix):
    want = both_passes(cuda.CudaDevice())
    compiled.clear()
    damage(kept(suffix)[0])
    with pytest.warns(UserWarning, match=r"\.cubin was damaged, it is compiled again"):
        assert_same(both_passes(cuda.CudaDevice()), want)
    assert len(compiled) == 1
    both_passes(cuda.CudaDevice())
    assert len(compiled) == 1


def test_doctor_says_where_the_code_is_and_how_to_be_rid_of_it(compiled):
    both_passes(cuda.CudaDevice())
    (facts,) = [cache for cache in doctor.caches() if cache["device"] == "cuda"]
    sizes = [path.stat().st_size for path in (*kept(".cubin"), *kept(".json"))]
    assert (facts["files"], facts["bytes"]) == (6, sum(sizes)) and facts["folder"] == os.environ["TINYCNN_CUDA_CACHE"]
    os.system(facts["emptied_by"])
    assert not kept(".cubin") and not kept(".json")


def test_another_nvrtc_or_gpu_compiles_anew(stand_in, compiled, monkeypatch):
    both_passes(cuda.CudaDevice())
    monkeypatch.setattr(stand_in.Device, "compute_capability", "75")
    both_passes(cuda.CudaDevice())
    monkeypatch.setattr(stand_in.Nvrtc, "getVersion", lambda self: (13, 1))
    both_passes(cuda.CudaDevice())
    monkeypatch.setattr(cubins, "library", lambda: (1, 2.0))  # another release of the same version
    both_passes(cuda.CudaDevice())
    assert len(compiled) == 12 and len(set(compiled)) == 3


def test_the_longest_unused_make_room_for_what_is_needed(stand_in, compiled, monkeypatch):
    both_passes(cuda.CudaDevice())
    old = kept(".cubin")
    for age, path in enumerate(old):
        os.utime(path, (10**9 + age, 10**9 + age))
    monkeypatch.setattr(cubins, "ROOM", sum(path.stat().st_size for path in old) + 1)
    both_passes(cuda.CudaDevice(), (2, 6, 6, 4), (3, 3, 4, 4), UNPADDED)
    now = kept(".cubin")
    assert old[0] not in now and len(now) < 6 and [p.stem for p in now] == [p.stem for p in kept(".json")]
    monkeypatch.setattr(cubins, "ROOM", 0)
    compiled.clear()
    both_passes(cuda.CudaDevice(), (2, 7, 6, 4), (3, 3, 4, 4), UNPADDED)
    assert len(compiled) == 3 and len(kept(".cubin")) == 1  # what is needed now is kept, though there is no room


def test_a_folder_that_cannot_be_written_keeps_nothing_and_all_works(compiled, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TINYCNN_CUDA_CACHE", str(tmp_path / "file" / "kept"))
    monkeypatch.setattr(cubins, "_temporary", [])
    assert_same(both_passes(cuda.CudaDevice()), both_passes(tinycnn.get_device("emulator")))
    assert len(compiled) == 3
    both_passes(cuda.CudaDevice())
    assert len(compiled) == 3  # as long as this process lives


def test_a_write_that_fails_leaves_nothing_behind(compiled, monkeypatch):
    replace = os.replace

    def full(source, target):
        if Path(os.environ["TINYCNN_CUDA_CACHE"]) in Path(target).parents:
            raise OSError(errno.ENOSPC, "no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(cubins, "_temporary", [])
    both_passes(cuda.CudaDevice())
    assert len(compiled) == 3 and list(Path(os.environ["TINYCNN_CUDA_CACHE"]).iterdir()) == []


def test_more_shared_memory_than_every_gpu_has_is_asked_for(stand_in):
    tile = GemmTile(64, 1, 1, 32, 16, 8, 8, 4, 4, 1, 1)
    case = Case(Geometry.of((4, 5, 5, 8), (3, 3, 8, 16), (1, 1), UNPADDED), BACKWARD_DATA, tile, 1, True)
    of, rng = case.layer, rng_of(3)
    arrays = [normal(rng, *shape) for shape in (of.x_shape, of.w_shape, (of.K,), of.y_shape, of.y_shape)]
    devices = cuda.CudaDevice(), tinycnn.get_device("emulator")
    found = [device.numpy(*fast_cases.run(device, case, *map(device.asarray, arrays))) for device in devices]
    assert_same_bits(*found)
    assert list(devices[0].driver.shared_of.values()) == [case.plan(4).shared] and case.plan(4).shared > 48 * 1024


def test_the_flag_of_the_last_block_counts_among_what_is_asked_for(stand_in):
    """A tile of 48 KB, which every block may have; in slices it needs 16 bytes more."""
    tile, rng = GemmTile(128, 1, 1, 96, 16, 8, 8, 4, 3, 2, 1), rng_of(4)
    layer = Geometry.of_product(5, 40, 10)
    assert plan_of(layer, FORWARD, tile, 2, False, 4).shared == 48 * 1024
    x, w = normal(rng, *layer.x_shape), normal(rng, *layer.w_shape)
    found = []
    for device in (cuda.CudaDevice(), tinycnn.get_device("emulator")):
        plan = plan_of(layer, FORWARD, tile, 2, False, device.itemsize)
        found.append(device.numpy(fast.forward(device, plan, layer, device.asarray(x), device.asarray(w), None, False)))
    assert_same_bits(*found)


def test_a_kernel_that_nvrtc_refuses_is_an_error_with_its_log(stand_in):
    with pytest.raises(RuntimeError, match=r"Refused<float> does not compile for sm_90: NVRTC_ERROR.*\n.*undefined"):
        cuda.CudaDevice().driver.build([("fast/conv_gemm", "Refused<float>")])
    assert not stand_in.cuda.nvrtc.programs


def test_what_a_killed_process_was_writing_goes_after_a_day(tmp_path):
    old, new = tmp_path / "writing-old", tmp_path / "writing-new"
    old.touch(), new.touch()
    os.utime(old, (0, 0))
    cubins.replace(tmp_path, "a.cubin", b"code")
    assert {path.name for path in tmp_path.iterdir()} == {"writing-new", "a.cubin"}
