"""Every step of kernels/ladder on the emulator: right on odd shapes, without faults, and as its lesson says."""

import ctypes
import json
import re
import sys

import gpu_timing
import ladder as ladder_benchmark
import machine
import numpy as np
import pytest
import readme_tables
import stand_in_cupy
import versus
from helpers import assert_close, assert_same_bits, normal
from sides import TinycnnSide

import tinycnn
from tinycnn import devices, emulator, kernels
from tinycnn.devices import DeviceError
from tinycnn.devices.checks import compile_gate
from tinycnn.devices.checks.cases import Operations
from tinycnn.devices.checks.compile_gate import ARCHITECTURES
from tinycnn.devices.gpu import cuda, ladder
from tinycnn.devices.gpu.ladder import DIRECTIONS, STEPS, Conv

TENSOR_CORES, SPECIALISED = "8_tensor_cores", "9_specialised"
ATOMICS = ("3_shared_filters", "4_halo_tile", "5_register_blocking")
UNPADDED = ((0, 0), (0, 0))
CASES = {  # x (N,H,W,C), w (R,S,C,K), stride, padding: nothing is a multiple of a tile
    "one channel": ((1, 11, 7, 1), (5, 3, 1, 19), (1, 1), ((2, 2), (1, 1))),
    "uneven strides and padding": ((2, 9, 10, 5), (3, 2, 5, 7), (1, 2), ((1, 0), (0, 1))),
    "fours of channels": ((3, 13, 9, 8), (3, 3, 8, 36), (2, 1), ((0, 1), (1, 0))),
    "many channels, few filters": ((1, 6, 6, 37), (1, 4, 37, 3), (1, 1), UNPADDED),
    "fours of channels only": ((2, 6, 5, 4), (2, 3, 4, 6), (1, 1), ((1, 1), (0, 2))),
    "fours of filters only": ((1, 5, 6, 3), (3, 1, 3, 8), (1, 2), UNPADDED),
    "strides beyond the filter": ((2, 10, 9, 3), (2, 2, 3, 4), (3, 4), ((0, 2), (3, 0))),
    "one output": ((1, 3, 4, 2), (3, 4, 2, 5), (1, 1), UNPADDED),
}
FIRST = "the first layer of breakdown-2"  # of those that are counted: one channel, so the lesson promises little there
EVERY_STEP = pytest.mark.parametrize("step", STEPS)


@pytest.fixture(scope="module")
def emulated():
    """The device `emulator`: the ladder is float32, and these tests are of its kernels alone."""
    try:
        return tinycnn.get_device("emulator", "float32")
    except DeviceError as error:
        pytest.skip(f"no emulator: {error}")


def arrays(conv, seed=0):
    rng = np.random.default_rng(seed)
    return [normal(rng, *shape) for shape in (conv.x_shape, conv.w_shape, conv.y_shape)]


def all_directions(on, step, conv, x, w, dy):
    """{direction: the step's result} for these inputs, rounded to float32."""
    x, w, dy = (on.asarray(a) for a in (x, w, dy))
    return {
        "forward": ladder.forward(on, step, conv, x, w),
        "backward_data": ladder.backward_data(on, step, conv, dy, w),
        "backward_filter": ladder.backward_filter(on, step, conv, x, dy),
    }


def oracle(conv, stride, padding, x, w, dy):
    """The same in float64 by NumPy."""
    reference = tinycnn.get_device("reference", "float64")
    return {
        "forward": reference.conv2d_forward(x, w, None, stride, padding, False),
        "backward_data": reference.conv2d_backward_data(dy, w, conv.x_shape, stride, padding),
        "backward_filter": reference.conv2d_backward_filter(x, dy, conv.w_shape, stride, padding),
    }


def terms(conv):
    """How many products a sum has at most."""
    return {
        "forward": conv.R * conv.S * conv.C,
        "backward_data": conv.R * conv.S * conv.K,
        "backward_filter": conv.N * conv.P * conv.Q,
    }


# ---------------------------------------------------------------- the numbers


@EVERY_STEP
@pytest.mark.parametrize("case", CASES)
def test_a_step_computes_the_convolution_and_its_gradients(emulated, step, case):
    x_shape, w_shape, stride, padding = CASES[case]
    conv = Conv.of(x_shape, w_shape, stride, padding)
    inputs = arrays(conv)
    if step == SPECIALISED:
        of_all = [Conv.of(*case) for case in CASES.values()]  # built together
        emulated.driver.build((f"ladder/{step}", ladder.kernel_of(step, d, c)) for c in of_all for d in DIRECTIONS)
    got, want = all_directions(emulated, step, conv, *inputs), oracle(conv, stride, padding, *inputs)
    for direction in DIRECTIONS:
        if step == TENSOR_CORES:
            error = np.linalg.norm(got[direction] - want[direction]) / np.linalg.norm(want[direction])
            assert 2.0**-14 < error < 2.0**-10, "neither float32 nor worse than TF32"
        else:
            assert_close(got[direction], want[direction], length=terms(conv)[direction])


def test_tensor_cores_are_exact_for_what_tf32_holds(emulated):
    stride, padding = CASES["uneven strides and padding"][2:]
    conv = Conv.of(*CASES["uneven strides and padding"])
    inputs = [np.clip(np.round(a * 64), -2047, 2047) / 64 for a in arrays(conv)]  # 11 bits
    got, want = all_directions(emulated, TENSOR_CORES, conv, *inputs), oracle(conv, stride, padding, *inputs)
    for direction in DIRECTIONS:
        assert_close(got[direction], want[direction], length=terms(conv)[direction])


def test_tensor_cores_round_to_the_nearest_tf32_and_halves_away_from_0(emulated):
    ulp = 2.0**-10  # of TF32, between 1 and 2
    steps = [0, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 700.49, 1023.5]
    scales = [1, -1, 2.0**-40, -(2.0**30)]
    x = np.array([scale * (1 + step * ulp) for step in steps for scale in scales], np.float32).astype(np.float64)
    unit = 2.0 ** (np.floor(np.log2(np.abs(x))) - 10)
    want = np.sign(x) * np.floor(np.abs(x) / unit + 0.5) * unit
    x, want = np.append(x, [0, np.inf, -np.inf, np.nan]), np.append(want, [0, np.inf, -np.inf, np.nan])
    conv = Conv.of((1, 1, x.size, 1), (1, 1, 1, 1), (1, 1), UNPADDED)
    ones = emulated.asarray(np.ones((1, 1, 1, 1)))
    got = ladder.forward(emulated, TENSOR_CORES, conv, emulated.asarray(x.reshape(conv.x_shape)), ones)
    np.testing.assert_array_equal(got.ravel(), want.astype(np.float32))


@EVERY_STEP
def test_an_output_that_is_nan_or_infinite_is_seen(emulated, step):
    conv = Conv.of((1, 5, 5, 4), (3, 3, 4, 4), (1, 1), UNPADDED)
    x, w, dy = arrays(conv)
    x[0, 2, 2, 1], dy[0, 1, 1, 2] = np.nan, np.inf
    got = all_directions(emulated, step, conv, x, w, dy)
    assert np.isnan(got["forward"]).all()  # every window of 3 x 3 has the middle pixel
    assert not np.isfinite(got["backward_data"][0, 1:4, 1:4]).any()
    assert np.isnan(got["backward_filter"][:, :, 1]).all()


def test_the_steps_without_atomics_add_in_one_order_whatever_the_blocks_do(emulated):
    """A partial dw for each share of the sum: the same shares in another order are the same numbers."""
    conv = Conv.of((2, 12, 12, 4), (3, 3, 4, 8), (1, 1), UNPADDED)
    x, _, dy = (emulated.asarray(a) for a in arrays(conv))
    for step in STEPS:
        first, second = (ladder.backward_filter(emulated, step, conv, x, dy) for _ in range(2))
        assert_same_bits(first, second)
    shares = ladder.shape_of("6_implicit_gemm", "backward_filter", conv).grid[2]
    assert shares > 1 and {step for step in STEPS if STEPS[step].sums == "atomics"} == set(ATOMICS)


# ---------------------------------------------------------------- faults


@EVERY_STEP
def test_check_finds_nothing(emulated, step):
    """The launches that the file describes, and odd ones: strides, padding, channels that are no multiples of four."""
    on, path = Operations("float32"), kernels.path(f"ladder/{step}")
    for case in ("uneven strides and padding", "one channel"):
        conv = Conv.of(*CASES[case])
        all_directions(on.device, step, conv, *arrays(conv))
    launches = [launch for file, launch in on.driver.launches if file == f"ladder/{step}"]
    assert emulator.check(path, launches + emulator.read_launches(path)) == []


def test_check_finds_the_barrier_that_the_lesson_removes(emulated, tmp_path):
    """The exercise of kernels/ladder/README.md."""
    (tmp_path / "ladder").mkdir()
    (tmp_path / "common.cuh").write_text((kernels.FOLDER / "common.cuh").read_text())
    text = kernels.path("ladder/3_shared_filters").read_text()
    first = "        __syncthreads();  // all is there before anybody reads\n"
    assert text.count(first) == 1
    mine = tmp_path / "ladder" / "mine.cu"
    mine.write_text(text.replace(first, ""))
    reports = emulator.check(mine, [la for la in emulator.read_launches(mine) if la.kernel == "conv2d_forward"])
    assert {report.kind for report in reports} >= {"race"}


# ---------------------------------------------------------------- launches


@EVERY_STEP
def test_the_launches_that_a_file_describes_are_those_of_the_table(step):
    described = emulator.read_launches(kernels.path(f"ladder/{step}"))
    for direction, launch in zip(DIRECTIONS, described, strict=True):
        conv = Conv(*map(int, launch.args[3:]), *map(int, re.findall(r"\b\d+\b", launch.kernel)))
        assert launch.kernel == ladder.kernel_of(step, direction, conv)
        assert conv.x_shape == (2, 9, 10, 8) and conv.w_shape == (3, 2, 8, 12)
        shape = ladder.shape_of(step, direction, conv)
        assert (launch.grid, launch.block, launch.shared) == (shape.grid, shape.block, shape.shared)


def test_what_does_not_fit_is_refused_before_the_launch(emulated):
    large = Conv.of((1, 40, 40, 4), (20, 20, 4, 8), (1, 1), UNPADDED)
    with pytest.raises(ValueError, match="5_register_blocking: filters of 20 x 20 do not fit into 48 KB"):
        ladder.shape_of("5_register_blocking", "forward", large)
    assert ladder.shape_of("6_implicit_gemm", "forward", large).shared == 0
    many = Conv.of((70000, 3, 3, 1), (1, 1, 1, 1), (1, 1), UNPADDED)
    with pytest.raises(ValueError, match="1_naive: a convolution of .* is too large for one launch"):
        ladder.shape_of("1_naive", "forward", many)


# ---------------------------------------------------------------- the files


@EVERY_STEP
@pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[] if arch == "sm_80" else pytest.mark.slow) for arch in ARCHITECTURES]
)
def test_a_step_compiles_for_every_architecture_and_spills_nothing(nvrtc, step, arch):
    if step == SPECIALISED:
        names = [launch.kernel for launch in emulator.read_launches(kernels.path(f"ladder/{step}"))]
        rows = compile_gate.compile_kernels(f"ladder/{step}", names, arch)
    else:
        rows = compile_gate.compile_file(f"ladder/{step}", arch)
    assert len(rows) == 3 and all(row.spills == row.stack == 0 and row.registers <= 128 for row in rows)


def ptx(nvrtc, source, arch, names=()):
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"k.cu", 0, None, None)
    for name in names:
        nvrtc.nvrtcAddNameExpression(program, name.encode())
    options = (ctypes.c_char_p * 2)(f"-arch={arch}".encode(), b"-std=c++17")
    assert nvrtc.nvrtcCompileProgram(program, 2, options) == 0
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return text.value.decode()


@pytest.mark.parametrize(("arch", "has_them"), [("compute_75", False), ("compute_80", True), ("compute_90", True)])
def test_step_8_uses_tensor_cores_where_there_are_any(nvrtc, arch, has_them):
    text = ptx(nvrtc, kernels.source(f"ladder/{TENSOR_CORES}"), arch)
    assert ("mma.sync.aligned.m16n8k8" in text) == ("cvt.rna.tf32" in text) == has_them
    assert ("shfl.sync" in text) == (not has_them)


def test_a_specialised_kernel_divides_no_index(nvrtc):
    """Where step 7 divides in PTX, step 9 multiplies. Left is the share of the sum: by gridDim.z, once a kernel."""
    names = [launch.kernel for launch in emulator.read_launches(kernels.path(f"ladder/{SPECIALISED}"))]
    before = ptx(nvrtc, kernels.source("ladder/7_vectorised"), "compute_80")
    after = ptx(nvrtc, kernels.source(f"ladder/{SPECIALISED}"), "compute_80", names)
    divisions = [len(re.findall(r"\b(?:div|rem)\.[su](?:32|64)\b", text)) for text in (before, after)]
    assert divisions[0] > 100 and divisions[1] <= len(names)


def test_the_ladder_is_the_files_in_its_folder():
    assert tuple(f"ladder/{step}" for step in STEPS) == kernels.LADDER
    assert {path.stem for path in (kernels.FOLDER / "ladder").glob("*.cu")} == set(STEPS)


@EVERY_STEP
def test_a_step_keeps_the_house_rules(step):
    """No include but common.cuh and the header with the PTX, which stands nowhere else; atomics only as a lesson."""
    text = kernels.path(f"ladder/{step}").read_text()
    included = re.findall(r"#\s*include\s*(.*)", text)
    assert set(included) <= ({'"../common.cuh"', '"mma.cuh"'} if step == TENSOR_CORES else {'"../common.cuh"'})
    code = re.sub(r"//.*", "", text)
    assert not re.search(r"\basm\b|__shfl|__activemask", code)
    assert ("atomicAdd(" in code) == (step in ATOMICS)
    head = re.split(r"\n(?!//)", text)[0]
    assert head.startswith(f"// Step {step[0]}, ") and "// The idea:" in head and "// What limits it:" in head


def test_inline_ptx_is_behind_a_guard():
    text = (kernels.FOLDER / "ladder" / "mma.cuh").read_text()
    outside = re.sub(r"#if HAS_TF32_CORES\n.*?#else\n", "", text, flags=re.DOTALL)
    assert "asm" in text and not re.search(r"\basm\b", re.sub(r"//.*", "", outside))


@EVERY_STEP
def test_the_text_for_nvrtc_has_no_include_and_keeps_the_line_numbers(step):
    name = f"ladder/{step}"
    text, lines = kernels.source(name), kernels.path(name).read_text().splitlines()
    assert "#include" not in text
    last = lines[-1]
    marks = re.findall(r'#line (\d+) "(.*)"', text)
    if marks:
        number, file = marks[-1]
        assert file == f"{name}.cu"
        assert text.split(f'#line {number} "{file}"\n')[-1].splitlines() == lines[int(number) - 1 :]
    assert text.rstrip().endswith(last)


# ---------------------------------------------------------------- what the lesson says it buys


@pytest.fixture(scope="module")
def counts():
    """{(layer, direction): {step: row}} of the committed counts."""
    content = json.loads((machine.RESULTS / "emulator" / "ladder.json").read_text(encoding="utf-8"))
    return content, {
        (layer["name"], direction): {row["step"]: row for row in layer["rows"] if row["direction"] == direction}
        for layer in content["layers"]
        for direction in DIRECTIONS
    }


def test_the_counts_belong_to_the_kernels_as_they_are(counts):
    content, rows = counts
    remedy = "the kernels have changed: python benchmarks/ladder.py --emulator"
    assert content["code"] == {step: ladder_benchmark.fingerprint(step) for step in STEPS}, remedy
    problems = {
        name: ladder_benchmark.Convolution(ladder_benchmark.COUNTED_IMAGES, *numbers)
        for name, numbers in ladder_benchmark.LAYERS.items()
    }
    for (layer, direction), steps in rows.items():
        for step, row in steps.items():
            shape = ladder.shape_of(step, direction, ladder_benchmark.conv_of(problems[layer]))
            assert row["launch"] == json.loads(json.dumps(shape._asdict())), remedy


def test_a_count_is_what_the_emulator_counts(emulated, counts):
    problem = ladder_benchmark.Convolution(ladder_benchmark.COUNTED_IMAGES, *ladder_benchmark.LAYERS[FIRST])
    for step, direction in (("2_coalesced", "forward"), ("6_implicit_gemm", "backward_filter")):
        row = ladder_benchmark.count(step, direction, problem)
        assert json.loads(json.dumps(row)) == counts[1][FIRST, direction][step]


def test_coalescing_saves_sectors(counts):
    for (layer, direction), rows in counts[1].items():
        naive, coalesced = rows["1_naive"], rows["2_coalesced"]
        assert coalesced["bytes_loaded"] <= naive["bytes_loaded"], (layer, direction)
        assert coalesced["sectors_per_store"] <= (naive["sectors_per_store"] if layer == FIRST else 6), direction
        assert layer == FIRST or naive["sectors_per_store"] > 16, direction


def test_sharing_and_blocking_save_bytes(counts):
    for (layer, direction), rows in counts[1].items():
        if layer == FIRST:
            continue
        loaded = [rows[step]["bytes_loaded"] for step in list(STEPS)[1:5]]
        assert loaded == sorted(loaded, reverse=True) and loaded[-1] < loaded[0] / 8, (layer, direction)


def test_registers_and_vectors_save_requests_to_shared_memory(counts):
    for (layer, direction), rows in counts[1].items():
        requests = {step: rows[step]["shared_requests"] for step in STEPS}
        assert requests["5_register_blocking"] < requests["4_halo_tile"], (layer, direction)
        assert requests["7_vectorised"] < requests["6_implicit_gemm"] / 2, (layer, direction)


def test_the_tables_are_those_of_the_results():
    text = ladder_benchmark.README.read_text(encoding="utf-8")
    rendered = readme_tables.render(text, machine.RESULTS, ladder_benchmark.TABLES)
    assert rendered == text, "python benchmarks/ladder.py --tables"


# ---------------------------------------------------------------- the benchmark, on stand-ins for a GPU and for cuDNN


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """The script on one small layer; returns (its exit status, its rows)."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.delitem(devices._made, ("cuda", "float32"), raising=False)
    peer = TinycnnSide(tinycnn.get_device("reference", "float32"))
    monkeypatch.setattr(versus, "peers_and_what_is_absent", lambda: ([peer], {}))
    monkeypatch.setattr(versus, "CALLS", 1)
    monkeypatch.setattr(gpu_timing, "WARM_UP", 0)
    monkeypatch.setattr(ladder_benchmark, "TIMED_IMAGES", 2)
    monkeypatch.setattr(ladder_benchmark, "LAYERS", {"a small layer": (6, 5, 3, 4, 2, 3)})

    def run():
        status = ladder_benchmark.main(["--results", str(tmp_path)])
        (file,) = tmp_path.glob("*/ladder.json")
        (layer,) = json.loads(file.read_text(encoding="utf-8"))["layers"]
        return status, layer["rows"]

    yield run
    devices._made.pop(("cuda", "float32"), None)


def test_the_benchmark_measures_every_step_in_its_precision_over_graphs(emulated, benchmark, capsys, tmp_path):
    status, rows = benchmark()
    names = [*STEPS, "kernels/conv2d.cu"]
    assert status == 0
    assert [(row["direction"], row["step"]) for row in rows] == [(d, s) for d in DIRECTIONS for s in names]
    for row in rows:
        assert row["precision"] == ("tf32" if row["step"] == TENSOR_CORES else "float32")
        assert row["us"] > 0 and row["peer"] == "reference" and row["timed_by"] == "graph"
        assert row["tflops"] == pytest.approx(2 * 2 * 5 * 3 * 4 * 2 * 3 * 3 / row["us"] / 1e6)
    assert capsys.readouterr().out.count("\n| ") == 1 + len(names) * 3
    (file,) = tmp_path.glob("*/ladder.json")
    assert json.loads(file.read_text(encoding="utf-8"))["left_out"] == []


def test_a_step_that_is_wrong_is_not_timed(emulated, benchmark, monkeypatch, capsys):
    right = ladder.forward

    def forward(on, step, conv, x, w):
        return on.zeros(conv.y_shape) if step == "1_naive" else right(on, step, conv, x, w)

    monkeypatch.setattr(ladder, "forward", forward)
    status, rows = benchmark()
    assert status == 1 and "FAILED: a small layer, forward, 1_naive: its result is wrong" in capsys.readouterr().out
    assert [(row["step"], row["direction"]) for row in rows if row["us"] is None] == [("1_naive", "forward")]


def test_without_a_gpu_the_benchmark_says_what_works(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(cuda, "driver_version", lambda: None)
    monkeypatch.delitem(devices._made, ("cuda", "float32"), raising=False)
    assert ladder_benchmark.main(["--results", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs an NVIDIA GPU" in line and line.endswith("; --emulator counts without one")
