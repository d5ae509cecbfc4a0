"""`tinycnn run`, `check` and `trace` of whole programs: those in programs/, beside the same in NumPy."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tinycnn import emulator, philox
from tinycnn.command.check import check
from tinycnn.command.trace import trace
from tinycnn.devices.gpu import cards
from tinycnn.emulator import sources
from tinycnn.emulator.program import build_program

PROGRAMS = Path(__file__).parent / "programs"
RADIUS = 3


def run(*words, given=""):
    """(exit status, what is printed, what is printed on stderr) of `tinycnn run`."""
    command = "import sys; from tinycnn.command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "run", *map(str, words)], input=given, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def lines_of(printed):
    """{first word of a line: the numbers that follow}"""
    return {line.split()[0]: np.array(line.split()[1:], float) for line in printed.splitlines()}


# ---------------------------------------------------------------- the kernels of courses


@pytest.fixture(scope="module")
def textbook():
    status, printed, errors = run(PROGRAMS / "textbook.cu")
    assert (status, errors) == (0, "")
    return lines_of(printed)


def upload(n, modulus):
    return np.arange(n) % modulus - modulus // 2


A, B, X = upload(100, 7).astype(float), upload(100, 5).astype(float), upload(256, 11)
BYTES = upload(300, 23).astype(np.uint8)
SQUARE = A.reshape(10, 10)
FILTER = np.array([1, 2, 3, 4, 3, 2, 1])
ROWS = A.reshape(2, 50)


def convolved(image):
    padded = np.pad(image, RADIUS)
    rows = sum(FILTER[k] * padded[RADIUS:-RADIUS, k : k + 10] for k in range(7))
    padded = np.pad(rows, RADIUS)
    return sum(FILTER[k] * padded[k : k + 10, RADIUS:-RADIUS] for k in range(7))


def windows(image, size):
    return np.lib.stride_tricks.sliding_window_view(image, (size, size))


EXPECTED = {
    "vector_add": A + B,
    "matmul": SQUARE @ B.reshape(10, 10),
    "transpose": A.reshape(5, 20).T,
    "reduce0": X.reshape(4, 64).sum(1),
    "reduce3": X.reshape(2, 128).sum(1),
    "reduce6": X.reshape(2, 128).sum(1),
    "scan": X[:50].cumsum(),
    "histogram": np.bincount(BYTES % 16, minlength=16),
    "stencil": np.convolve(upload(256, 11)[:100], np.ones(7, int), "same"),
    "convolve": convolved(SQUARE),
    "softmax": np.exp(ROWS) / np.exp(ROWS).sum(1, keepdims=True),
    "layernorm": (ROWS - ROWS.mean(1, keepdims=True)) / np.sqrt(ROWS.var(1, keepdims=True) + 1e-5),
    "im2col": windows(A[:81].reshape(9, 9), 3),
    "maxpool": SQUARE.reshape(5, 2, 5, 2).max((1, 3)),
    "map": 2.5 * A,
    "map_lambda": upload(40, 9) ** 2,
    "null": np.full(8, 3),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_kernel_of_courses_computes_what_numpy_does(textbook, name):
    np.testing.assert_allclose(textbook[name], np.ravel(EXPECTED[name]), rtol=2e-6, atol=1e-6)


def test_all_of_them_are_compared(textbook):
    assert set(textbook) == set(EXPECTED)


# ---------------------------------------------------------------- the runtime


def test_host_code_is_answered_as_cuda_answers_it():
    card = cards.get("a100")
    status, printed, errors = run(PROGRAMS / "runtime.cu", "--gpu", "a100", "--", "7")
    assert status == 7  # what it calls exit() with
    limit = card.shared // (40 * 1024 + card.reserved)
    assert printed.splitlines() == [
        "arguments 1 7",
        "symbol 35",
        "constant 30 40",
        "address 35 16",
        "pitched 1 4 10 24",
        f"streams {sum(range(1, 1025))} 1 42 2 cudaSuccess",
        "mapped 1 1",
        f"gpu 1|{card.name}|8.0|108|108|{card.shared_of_a_block}",
        f"bandwidth {card.bandwidth / 1e9:.0f}",
        f"occupancy 0 {2 * card.multiprocessors} 1024 {limit}",
        "shared cudaErrorInvalidValue cudaSuccess 63",
        "errors cudaErrorInvalidConfiguration|invalid configuration argument|no error",
        "invalid cudaErrorInvalidValue cudaErrorInvalidValue cudaErrorInvalidDevice",
        "launched 2 2 2 0",
    ]
    assert errors == "tinycnn: times of events are those of this CPU, and say nothing about a GPU\n"


# ---------------------------------------------------------------- NVIDIA's other headers


@pytest.fixture(scope="module")
def groups():
    status, printed, errors = run(PROGRAMS / "groups.cu")
    assert (status, errors) == (0, "")
    return lines_of(printed)


def test_all_blocks_of_a_cooperative_launch_wait_for_one_another(groups):
    y = (np.arange(128) ** 2)[::-1]
    np.testing.assert_array_equal(groups["grid"], np.roll(y, -64))


def test_groups_sum_scan_vote_and_copy(groups):
    np.testing.assert_array_equal(groups["any_group"], [sum(range(64)), 16, 16, 16, 16])
    t = np.arange(64).reshape(8, 8)
    lane = t % 32
    expected = [
        np.repeat(t.sum(1), 8),
        t.cumsum(1).ravel(),
        (t.cumsum(1) - t).ravel(),
        np.repeat(t[:, 3] + 1000 * np.arange(8), 8),
        np.repeat(((t % 3 == 0) << np.arange(8)).sum(1), 8),
        np.repeat((t ^ 5).max(1), 8),
        np.where(t % 4 == 1, 800 + lane // 4, -1).ravel(),
    ]
    np.testing.assert_array_equal(groups["tiles"].reshape(7, 64), expected)
    np.testing.assert_array_equal(groups["staged"], 3 * np.arange(48)[::-1])


def to_bfloat16(x):
    """Round to the nearest with 8 bits of mantissa, ties to even."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def test_half_and_bfloat16_round_once_to_the_nearest(groups):
    x, half, bfloat, sums, fused = groups["small_floats"].astype(np.float32).reshape(5, 64)
    with np.errstate(over="ignore"):
        h = x.astype(np.float16)
        np.testing.assert_array_equal(half, h.astype(np.float32))
        np.testing.assert_array_equal(bfloat, to_bfloat16(x))
        total = (h + np.float16(2)).astype(np.float32)
        np.testing.assert_array_equal(sums, np.where(h < 2, total, -total))
        exact = h.astype(np.float64) ** 2 + 2  # of 22 bits and a few: float64 holds it
        np.testing.assert_array_equal(fused, exact.astype(np.float16).astype(np.float32))


def test_a_double_or_an_int_is_rounded_once_too(groups):
    step, tiny = 2.0**-10, 2.0**-40
    exact = np.array([2**24 + 2**16 + 1, 1 + step / 2 + tiny, -1 - step / 2 - tiny, 1 + 2.0**-8 - tiny])
    with np.errstate(over="ignore"):
        half = exact.astype(np.float16)  # NumPy's does not go by way of float32
    bfloat = [2**24 + 2**17, 1, -1, 1]  # 8 bits of mantissa: steps of 2**17 and 2**-7
    np.testing.assert_array_equal(groups["rounded_once"].reshape(2, 4), [half, bfloat])


def test_pairs_of_either_are_put_together(groups):
    np.testing.assert_array_equal(groups["pairs"].reshape(2, 3, 2), [[(1, 3), (2, 4), (2, 3)]] * 2)


def test_tensor_cores_multiply_matrices(groups):
    i = np.arange(32 * 32)
    a, b = (i % 9 - 4).reshape(32, 32), ((i % 5 - 2) * 0.5).reshape(32, 32)
    np.testing.assert_array_equal(groups["product"].reshape(32, 32), a @ b)


def test_curand_gives_the_numbers_of_philox(groups):
    """A sequence of cuRAND's is the upper half of the counter, an offset counts single numbers."""

    def words(sequence, first, count):
        blocks = [philox.philox4x32((block, 0, sequence, 0), (1234, 0)) for block in range(4)]
        return [int(word) for block in blocks for word in block][first : first + count]

    np.testing.assert_array_equal(groups["random"].reshape(4, 6), [words(i, 5, 6) for i in range(4)])
    raw = np.array([words(i, 0, 2) for i in range(4)], float)
    np.testing.assert_allclose(groups["uniform"], (raw[:, 0] + 0.5) / 2**32, rtol=1e-6)
    radius, angle = np.sqrt(-2 * np.log((raw[:, 0] + 0.5) / 2**32)), 2 * np.pi * (raw[:, 1] + 0.5) / 2**32
    expected = np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1)
    np.testing.assert_allclose(groups["normal"].reshape(4, 2), expected, rtol=1e-4, atol=1e-5)


def test_atomic_refs_add_and_compare(groups):
    np.testing.assert_array_equal(groups["atomic"], [sum(range(64)), 63])


# ---------------------------------------------------------------- several files


def test_files_with_launches_in_a_header_are_one_program():
    folder = PROGRAMS / "parts"
    words = (folder / "main.cu", folder / "scale.cu", "-I", folder / "include", "-D", "OFFSET=5")
    assert run(*words) == (0, "10 20 30\n", "")


@pytest.mark.parametrize("command", [check, trace])
def test_a_device_function_may_be_in_another_file(tmp_path, command):
    """As with nvcc -rdc=true, and a variable too."""
    main, other = tmp_path / "main.cu", tmp_path / "other.cu"
    main.write_text(
        "extern __device__ int twice(int);\nextern __constant__ int shift;\n"
        "__global__ void k(int* y) { y[threadIdx.x] = twice(threadIdx.x) + shift; }\n"
        "int main() {\n    int *y, h[32]; cudaMalloc(&y, 128); k<<<1, 32>>>(y);\n"
        '    cudaMemcpy(h, y, 128, cudaMemcpyDeviceToHost); cudaFree(y); printf("%d\\n", h[31]);\n}\n'
    )
    other.write_text("__device__ int twice(int x) { return 2 * x; }\n__constant__ int shift = 1;\n")
    done = CliRunner().invoke(command, [str(main), str(other)])
    assert done.exit_code == 0 and "63\n" in done.stderr
    assert "main.cu:3" in done.stdout if command is trace else "1 launch of 1 kernel: 0 reports" in done.stdout


# ---------------------------------------------------------------- faults


FAULTS = [  # (kind, a part of its line, a part of the message)
    ("uninitialised", "reads what nobody wrote", "global memory: reads x[0], which"),
    ("out-of-bounds", "fill's line", "in memory of the host"),
    ("host-access", "the host reads the device's", "the host reads memory of the device"),
    ("cuda-error", "one too many", "copies 260 bytes, but the destination"),
    ("out-of-bounds", "fill's line", "writes 4 bytes at x + 256 bytes; it has 256 bytes (3 times)"),
    ("out-of-bounds", "fill's line", "in memory that was freed at line {too early}"),
    ("cuda-error", "the second time", "memory that was freed already"),
    ("leak", "never freed", "256 bytes that are allocated here are never freed"),
    ("cuda-error", "the wrong way", "the destination is memory of the device, but the kind of the copy says host"),
    ("cuda-error", "// too many threads", "at most 1024 threads (1024, 1024, 64), not (1025, 1, 1)"),
    ("race", "a race of two blocks", "writes x[0]"),
    ("divergent-barrier", "the barrier", "did not come to it, but went on behind it"),
]


def checked(*words):
    """(exit status, lines of reports) of `tinycnn check`."""
    done = CliRunner().invoke(check, [str(PROGRAMS / "faults.cu"), "--", *words])
    return done.exit_code, done.stdout.splitlines()[:-1]


@pytest.fixture(scope="module")
def reports():
    status, lines = checked()
    assert status == 1
    return lines


@pytest.mark.parametrize(("kind", "place", "message"), FAULTS)
def test_a_fault_is_reported_with_its_line(reports, find_line, kind, place, message):
    file = PROGRAMS / "faults.cu"
    message = message.replace("{too early}", str(find_line(file, "too early")))
    where = f"faults.cu:{find_line(file, place)}: {kind}: "
    assert len([line for line in reports if where in line and message in line]) == 1


def test_nothing_else_is_reported_and_nothing_of_the_same_done_right(reports):
    assert len(reports) == len(FAULTS)
    assert checked("right") == (0, [])


def test_a_crash_ends_the_program_and_not_the_command(tmp_path):
    program = tmp_path / "crash.cu"
    program.write_text("int main() { volatile int* nowhere = nullptr; *nowhere = 1; }\n")
    status, printed, errors = run(program)
    assert (status, printed) == (1, "") and "a segmentation fault" in errors and errors.count("\n") == 1


def test_run_tells_what_stopped_a_kernel_and_which_error_nobody_asked_for(tmp_path):
    program = tmp_path / "failing.cu"
    program.write_text(
        "#include <cstdio>\n"
        "__global__ void half_a_warp(int* x) {\n"
        "    if (threadIdx.x < 16) *x = __shfl_sync(~0u, 1, 0); else __syncthreads();\n"
        "}\n"
        "int main(int argc, char** argv) {\n"
        "    int* x; cudaMalloc(&x, 4);\n"
        "    half_a_warp<<<1, argc > 1 ? 2048 : 32>>>(x);\n"
        '    printf("%s\\n", cudaGetErrorString(cudaDeviceSynchronize()));\n'
        '    printf("%s\\n", cudaGetErrorName(cudaFree(x)));\n'
        "}\n"
    )
    status, printed, errors = run(program)
    assert (status, printed) == (1, "unspecified launch failure\ncudaErrorLaunchFailure\n")
    assert "failing.cu:3: warp-intrinsic: half_a_warp: block (0,0,0)" in errors and errors.count("\n") == 1
    status, printed, errors = run(program, "--", "too-many")
    assert (status, printed) == (1, "no error\ncudaSuccess\n")
    assert "failing.cu:7: cuda-error: " in errors and "cudaErrorInvalidConfiguration" in errors


def test_a_launch_returns_its_own_error_and_the_earlier_one_stays(tmp_path):
    program = tmp_path / "errors.cu"
    program.write_text(
        "__global__ void k(int* x) { *x = 1; }\n"
        "int main() {\n"
        "    int *x, *no; cudaMalloc(&x, 4); cudaMalloc(&no, (size_t)1 << 40);\n"
        "    void* arguments[] = {&x};\n"
        "    puts(cudaGetErrorName(cudaLaunchKernel((void*)k, dim3(1), dim3(1), arguments)));\n"
        "    puts(cudaGetErrorName(cudaGetLastError()));\n"
        "}\n"
    )
    assert run(program) == (0, "cudaSuccess\ncudaErrorMemoryAllocation\n", "")


def test_whose_a_variable_is(tmp_path):
    """Copies of symbols, and whoever may reach a variable, are right."""
    program = tmp_path / "variables.cu"
    program.write_text(
        "namespace { __device__ int n; }\nstruct Of { static __device__ int member; };\n"
        "__device__ int Of::member = 3;\ntemplate <typename T> __constant__ T c[2];\n"
        "__device__ __managed__ int both = 1;\n__device__ int a = 1, b = 2;\nstatic int host[4] = {1, 2, 3, 4};\n"
        "__global__ void k(int* y, const int* p, int i) {\n"
        "    y[0] = n + Of::member + c<int>[1] + both + a + b;\n"
        "    if (p) y[1] = p[i];\n"
        "}\n"
        "int main(int argc, char**) {\n"
        "    int *y, *address, h[2] = {10, 20}; cudaMalloc(&y, 8); cudaMemset(y, 0, 8);\n"
        "    cudaMemcpyToSymbol(n, h, 4); cudaMemcpyToSymbol(c<int>, h, 8); both += argc;\n"
        "    cudaGetSymbolAddress(&address, n); cudaMemcpy(address, h, 4, cudaMemcpyHostToDevice);\n"
        "    if (argc > 1) Of::member = 4;\n"
        "    if (argc > 1) cudaMemcpy(&a, h, 4, cudaMemcpyHostToDevice);\n"
        "    k<<<1, 1>>>(y, argc > 1 ? host : nullptr, argc);\n"
        '    cudaMemcpy(h, y, 8, cudaMemcpyDeviceToHost); cudaFree(y); printf("%d\\n", h[0]);\n'
        "}\n"
    )
    done = CliRunner().invoke(check, [str(program)])
    assert (done.exit_code, done.output) == (0, f"{10 + 3 + 20 + 2 + 3}\n1 launch of 1 kernel: 0 reports\n")
    reports = CliRunner().invoke(check, [str(program), "--", "wrong"]).stdout
    for line, words in (
        (10, "out-of-bounds: k: block (0,0,0) thread (0,0,0): reads 4 bytes in memory of the host"),
        (16, "host-access: main: the host writes a variable of the device"),
        (17, "cuda-error: main: cudaErrorInvalidValue: the destination is a variable of the device"),
    ):
        assert f"variables.cu:{line}: {words}" in reports
    assert reports.endswith("1 launch of 1 kernel: 3 reports\n")


@pytest.mark.parametrize("command", [check, trace])
def test_a_kernel_of_a_program_does_not_write_constant_memory(tmp_path, command):
    """The host does, by either call."""
    main, header = tmp_path / "main.cu", tmp_path / "table.cuh"
    header.write_text("__constant__ int table[2];\n")
    main.write_text(
        '#include "table.cuh"\n__global__ void k(int* y, bool wrong) {\n    if (wrong) table[0] = 1;\n'
        "    *y = table[1];\n}\n"
        "int main(int argc, char**) {\n    int *y, *c, h[] = {1, 2}; cudaMalloc(&y, 4);\n"
        "    cudaMemcpyToSymbol(table, h, 8); cudaGetSymbolAddress((void**)&c, table);\n"
        "    cudaMemcpy(c, h, 8, cudaMemcpyHostToDevice); k<<<1, 1>>>(y, argc > 1); cudaFree(y);\n}\n"
    )
    assert CliRunner().invoke(command, [str(main)]).exit_code == 0
    done = CliRunner().invoke(command, [str(main), "--", "wrong"])
    assert done.exit_code == 1
    assert "main.cu:3: read-only: k: block (0,0,0) thread (0,0,0): writes 4 bytes at table + 0 bytes" in done.output


def test_a_kernel_that_is_launched_by_a_pointer_keeps_its_name(tmp_path):
    program = tmp_path / "pointers.cu"
    program.write_text(
        "enum Kind { NONE, FOUR };\n"
        "template <typename T, int N> __global__ void scale(T* x) { x[threadIdx.x] *= N; }\n"
        "template <Kind K> __global__ void of_a_kind(float* x) { x[threadIdx.x] += K; }\n"
        "namespace mine { __global__ void fill(float* x) { x[threadIdx.x] = threadIdx.x; } }\n"
        "namespace { __global__ void hidden(float* x) { x[threadIdx.x] -= 1; } }\n"
        'extern "C" __global__ void plain(float* x) { x[threadIdx.x] += 1; }\n'
        "int main() {\n    float *x, h[32]; cudaMalloc(&x, 128); void* a[] = {&x};\n"
        "    cudaLaunchKernel((void*)mine::fill, dim3(1), dim3(32), a);\n"
        "    cudaLaunchKernel((void*)scale<float, 4>, dim3(1), dim3(32), a);\n"
        "    cudaLaunchKernel(scale<float, 5>, dim3(1), dim3(32), a);\n"
        "    cudaLaunchKernel((void*)of_a_kind<FOUR>, dim3(1), dim3(32), a);\n"
        "    cudaLaunchKernel((void*)hidden, dim3(1), dim3(32), a);\n"
        "    cudaLaunchCooperativeKernel((void*)plain, dim3(1), dim3(32), a);\n"
        '    cudaMemcpy(h, x, 128, cudaMemcpyDeviceToHost); cudaFree(x); printf("%g\\n", h[31]);\n}\n'
    )
    done = CliRunner().invoke(trace, [str(program)])
    assert done.exit_code == 0 and "621\n" in done.stderr
    names = ["mine::fill", "scale<float, 4>", "scale<float, 5>", "of_a_kind<(Kind)1>", "hidden", "plain"]
    assert [line for line in done.stdout.splitlines() if line in names] == names


@pytest.mark.parametrize("command", ["run", check, trace])
def test_what_a_kernel_itself_limits_is_an_error_of_the_launch(find_line, command):
    program = PROGRAMS / "limits.cu"
    wrong, right = "cudaErrorInvalidValue", "cudaSuccess"
    printed = f"{wrong} 0 {right} {right} {wrong} {wrong} {right} {right} {4 * 4096} {100 * 1024} 4\n"
    printed += f"together 4 {right} cudaErrorCooperativeLaunchTooLarge \n"
    if command == "run":
        assert run(program) == (0, printed, "")
        return
    done = CliRunner().invoke(command, [str(program)])
    assert printed in done.stderr
    if command is trace:
        assert done.exit_code == 0 and done.stdout.count("global store") == 3  # bounded<128>, tiled and tiled<int>
        return
    first, second, third, fourth, count = done.stdout.splitlines()
    assert done.exit_code == 1 and count.endswith("4 reports")
    assert f"limits.cu:{find_line(program, '// one more')}: cuda-error: main: " in fourth and "quiet: a coop" in fourth
    assert "at most 528" in fourth
    for line, place, words in (
        (
            first,
            "// too many threads",
            "bounded<128>: a block has 129 threads, and the kernel's __launch_bounds__ allow 128",
        ),
        (
            second,
            "// too much memory",
            "tiled: 32772 bytes of dynamic shared memory and 16384 of static: more than 48 KB",
        ),
        (third, "// allows it", "232448 bytes of dynamic shared memory are wanted beside 16384 of static"),
    ):
        assert f"limits.cu:{find_line(program, place)}: cuda-error: main: {wrong}: {words}" in line


def test_a_launch_whose_blocks_hand_over_is_checked_from_its_last_block_too(tmp_path):
    """The program sees nothing of that: each launch counts, and prints, once."""
    program = tmp_path / "last.cu"
    program.write_text(
        "__device__ int count;\n"
        "__global__ void k(int* parts, int* y) {\n"
        "    parts[blockIdx.x] = blockIdx.x;\n    __threadfence();\n    int before = atomicAdd(&count, 1);\n"
        "    if (LAST) {\n"
        '        printf("%d\\n", before);\n        int sum = 0;\n'
        "        for (int i = 0; i < gridDim.x; i++) sum += parts[i];\n        *y = sum;\n    }\n}\n"
        "int main() {\n    int *parts, *y, sum; cudaMalloc(&parts, 16); cudaMalloc(&y, 4); k<<<4, 1>>>(parts, y);\n"
        "    cudaMemcpy(&sum, y, 4, cudaMemcpyDeviceToHost); cudaMemcpyFromSymbol(parts, count, 4, 0,\n"
        "    cudaMemcpyDeviceToDevice); int n; cudaMemcpy(&n, parts, 4, cudaMemcpyDeviceToHost);\n"
        '    printf("%d %d\\n", sum, n); cudaFree(parts); cudaFree(y);\n}\n'
    )
    for last, wanted in (("before == gridDim.x - 1", []), ("blockIdx.x == gridDim.x - 1", ["race", "uninitialised"])):
        done = CliRunner().invoke(check, [str(program), "-D", f"LAST={last}"])
        assert done.stderr == "3\n6 4\n"
        found = [line.split(": ")[1] for line in done.stdout.splitlines()[:-1]]
        assert found == wanted and all("last.cu:9" in line for line in done.stdout.splitlines()[:-1])


def test_what_a_destroyed_stream_or_an_event_without_times_is_asked(tmp_path):
    program = tmp_path / "streams.cu"
    program.write_text(
        "__global__ void k(int* x) { *x = 1; }\n"
        "int main() {\n"
        "    int* x; cudaMalloc(&x, 4); void* arguments[] = {&x}; float time;\n"
        "    cudaStream_t s; cudaStreamCreate(&s); cudaStreamDestroy(s);\n"
        "    cudaEvent_t e; cudaEventCreateWithFlags(&e, cudaEventDisableTiming); cudaEventRecord(e);\n"
        "    k<<<1, 1, 0, s>>>(x);\n"
        "    cudaError_t errors[] = {cudaGetLastError(), cudaMemsetAsync(x, 0, 4, s), cudaFreeAsync(x, s),\n"
        "        cudaMemcpyAsync(x, x, 4, cudaMemcpyDeviceToDevice, s), cudaEventElapsedTime(&time, e, e),\n"
        "        cudaLaunchKernel((void*)k, dim3(1), dim3(1), arguments, 0, s)};\n"
        "    cudaEventDestroy(e);\n"
        "    int wrong = cudaStreamWaitEvent(0, e) == cudaErrorInvalidResourceHandle;\n"
        "    for (cudaError_t error : errors) wrong += error == cudaErrorInvalidResourceHandle;\n"
        '    cudaGetLastError(); printf("%d %d\\n", wrong, cudaFree(x));\n'
        "}\n"
    )
    assert run(program) == (0, "7 0\n", "")


def test_arguments_of_a_launch_are_what_they_are_in_cuda(tmp_path):
    program = tmp_path / "arguments.cu"
    program.write_text(
        "struct Pair { int a, b; };\nstruct Bits { unsigned x : 3; };\nstruct Config { static const int N = 5; };\n"
        "__global__ void add(int* y, int n, Pair p = {40, 2}) { *y += n + p.a + p.b; }\n"
        "__global__ void plain(int* y, int n, Pair p, const int* none) { *y += n + p.a + p.b + !none; }\n"
        "template <typename T> __global__ void of_any(int* y, T n) { *y += n; }\n"
        "template <typename T> __global__ void of_two(T* y, Pair p, float2 v, const int* none) {\n"
        "    *y += p.a + p.b + v.x + v.y + !none;\n}\n"
        "#define LAUNCH(y) of_two<<<1, 1>>>(y, {1 << 20, \\\n    1 << 21}, {}, 0)\n"
        "int main() {\n"
        "    int* y; cudaMallocManaged(&y, 4); *y = 0; Bits bits = {3};\n"
        "    add<<<1, 1>>>(y, 1);\n"
        "    plain<<<1, 1>>>(y, Config::N, {100, 200}, nullptr);\n"
        "    plain<<<1, 1>>>(y, bits.x, Pair{1000, 2000}, 0);\n"
        "    of_any<<<1, 1>>>(y, Config::N);\n"
        "    of_any<<<1, 1>>>(y, bits.x);\n"
        "    add<<<1, 1>>>(y, 1, {10000, 20000}); LAUNCH(y);\n"
        "    of_two<<<1, 1>>>(y, {.a = 100000, .b = bits.x},\n        {200000.f}, nullptr); assert(__LINE__ == 21);\n"
        '    cudaDeviceSynchronize(); printf("%d\\n", *y); cudaFree(y);\n'
        "}\n"
    )
    braces = 30001 + 2**20 + 2**21 + 1 + 100003 + 200001
    assert run(program) == (0, f"{43 + 306 + 3004 + 5 + 3 + braces}\n", "")
    assert CliRunner().invoke(check, [str(program)]).exit_code == 0


def test_a_program_that_ends_in_a_kernels_launch_is_checked_up_to_there(tmp_path):
    """With what the compiler finds, and a function that calls itself."""
    program = tmp_path / "ends.cu"
    program.write_text(
        "#include <cstdlib>\n"
        "__device__ int factorial(int n) { return n < 2 ? 1 : n * factorial(n - 1); }\n"
        "__global__ void k(int* y) {\n"
        "    int sum;\n"
        "    for (int i = 0; i < 4; ++i) sum += factorial(i);\n"
        "    y[threadIdx.x] = sum;\n"
        "}\n"
        "int main() { int* y; cudaMalloc(&y, 128); k<<<1, 32>>>(y); k<<<1, 16>>>(y); abort(); }\n"
    )
    done = CliRunner().invoke(check, [str(program)])
    first, second, count = done.stdout.splitlines()
    assert done.exit_code == 1 and count == "2 launches of 1 kernel: 2 reports"
    assert "ends.cu:5: uninitialised: k: local memory: 'sum' is used uninitialized" in first
    assert second.endswith("ends.cu: ended: main: an abort(): a failed assert, or memory it did not get")


def test_a_program_may_have_functions_of_cudas_for_vectors(tmp_path):
    """As NVIDIA's helper_math.h has."""
    program = tmp_path / "vectors.cu"
    program.write_text(
        "#include <cmath>\n#include <cstdio>\n"
        "inline __host__ __device__ float2 fminf(float2 a, float2 b) {\n"
        "    return make_float2(fminf(a.x, b.x), std::fmaxf(a.y, b.y));\n"
        "}\n"
        "__global__ void k(float2* y, int* z) {\n"
        "    *y = fminf(make_float2(1, 2), make_float2(3, 4));\n"
        "    *z = __dp4a(make_char4(1, -2, 3, 4), make_char4(5, 6, 7, -8), 100);\n"
        "}\n"
        "int main() {\n"
        "    float2* y; int* z; cudaMallocManaged(&y, 8); cudaMallocManaged(&z, 4);\n"
        '    k<<<1, 1>>>(y, z); cudaDeviceSynchronize(); printf("%g %g %d\\n", y->x, y->y, *z);\n'
        "}\n"
    )
    assert run(program) == (0, f"1 4 {100 + 5 - 12 + 21 - 32}\n", "")


STOPPED = {  # what a kernel does, in its third line: (its end in words, what CUDA says then)
    "while (*(volatile int*)x == 0) {}": ("endless: k: block (0,0,0) thread", "cudaErrorLaunchTimeout"),
    "while (atomicCAS(x, 0, 1)) {}": ("endless: k: block (0,0,0) thread", "cudaErrorLaunchTimeout"),
    "assert(threadIdx.x < 20);": ("trap: k: block (0,0,0) thread (20,0,0): the assertion", "cudaErrorAssert"),
    "if (threadIdx.x == 7) *(int*)8 = 1;": ("crash: k: block (0,0,0) thread (7,0,0): a seg", "cudaErrorIllegalAddress"),
    "x[threadIdx.x] = 7 / zero;": ("crash: k: block (0,0,0) thread (0,0,0): an integer div", "cudaErrorIllegalAddress"),
}


@pytest.mark.parametrize("does", STOPPED)
def test_a_kernel_that_spins_asserts_or_crashes_is_told_with_its_line_and_the_program_goes_on(tmp_path, does):
    program = tmp_path / "stopped.cu"
    program.write_text(
        "#include <cassert>\n"
        f"__global__ void k(int* x, int zero) {{\n    {does}\n}}\n"
        "int main() {\n"
        "    int* x; cudaMalloc(&x, 128); cudaMemset(x, 0, 128); k<<<2, 32>>>(x, 0);\n"
        '    printf("%s\\n", cudaGetErrorName(cudaDeviceSynchronize()));\n'
        "}\n"
    )
    words, error = STOPPED[does]
    status, printed, errors = run("--seconds", "0.5", program)
    assert (status, printed) == (1, f"{error}\n")
    assert f"stopped.cu:3: {words}" in errors and errors.count("\n") == 1


def test_a_launch_that_gets_on_may_take_longer(tmp_path):
    """Each block computes for less, all together for more."""
    program = tmp_path / "long.cu"
    program.write_text(
        "__global__ void k(volatile int* x) { for (int i = 0; i < 20000000; ++i) *x = *x + 1; }\n"
        'int main() { int* x; cudaMallocManaged(&x, 4); k<<<40, 1>>>(x); printf("%d\\n", *x); cudaFree(x); }\n'
    )
    assert run("--seconds", "0.5", program) == (0, "800000000\n", "")


def test_a_program_reads_what_the_command_is_given(tmp_path):
    program = tmp_path / "reads.cu"
    program.write_text('int main() { int n = 0; while (scanf("%d", &n) == 1) printf("%d\\n", 2 * n); }\n')
    assert run(program, given="4 21\n") == (0, "8\n42\n", "")


# ---------------------------------------------------------------- kernel files with a launch comment


def test_a_kernel_file_may_have_nvidias_headers_and_host_code_of_its_own(tmp_path):
    file = tmp_path / "kernel.cu"
    file.write_text(
        "// launch: kernel=twice grid=2 block=32 x=float[64] y=float[64]\n"
        "#include <cassert>\n#include <cooperative_groups.h>\n#include <cuda_fp16.h>\n#include <cuda_runtime.h>\n"
        "#include <vector>\n"
        "#if __CUDA_ARCH__ < 700 || !defined(__CUDACC__)\n#error needs sm_70\n#endif\n"
        "__global__ void twice(const float* x, float* y) {\n"
        "    auto block = cooperative_groups::this_thread_block();\n"
        "    int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
        "    assert(i < 64);\n"
        "    y[i] = __half2float(__float2half(x[i]) * __float2half(2.0f));\n"
        "    block.sync();\n"
        "}\n"
        "void host(const std::vector<float>& x, float* y) {\n"
        "    float* d; cudaMalloc(&d, 4 * x.size());\n"
        "    twice<<<2, 32>>>(d, y);\n"
        "}\n"
    )
    done = CliRunner().invoke(check, [str(file)])
    assert (done.exit_code, done.output) == (0, "1 launch of 1 kernel: 0 reports\n")


# ---------------------------------------------------------------- tracing


def test_trace_counts_the_first_launch_of_every_kernel(tmp_path):
    program = tmp_path / "copies.cu"
    program.write_text(
        "__global__ void copy(const float* x, float* y, int step) { y[threadIdx.x] = x[threadIdx.x * step]; }\n"
        "__global__ void add(float* y) { int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] += 1; }\n"
        "int main() {\n"
        "    float *x, *y, last = 0; cudaMalloc(&x, 4096); cudaMalloc(&y, 40960); cudaMemset(y, 0, 40960);\n"
        "    copy<<<1, 32>>>(x, y, 8);\n"
        "    copy<<<1, 32>>>(x, y, 1);\n"
        "    add<<<320, 32>>>(y);\n"
        "    cudaMemcpy(&last, y + 10239, 4, cudaMemcpyDeviceToHost); cudaFree(x); cudaFree(y);\n"
        '    printf("last %g\\n", last);\n'
        "}\n"
    )
    done = CliRunner().invoke(trace, [str(program), "--json", "--blocks", "4"])
    copy, add = json.loads(done.stdout)["kernels"]
    assert (copy["kernel"], copy["launches"], add["kernel"], add["launches"]) == ("copy", 2, "add", 1)
    sectors = {line["array"]: line["sectors_per_request"] for line in copy["lines"]}
    assert sectors == {"x": 32, "y": 4}  # a stride of 8 floats is a sector for each lane
    assert (add["blocks"], add["traced_blocks"]) == (320, 4)
    assert sum(line["requests"] for line in add["lines"]) == 4 * 2
    assert done.stderr == "last 1\n"  # the blocks that are not traced run too


# ---------------------------------------------------------------- what is not supported


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#include <thrust/sort.h>", "1: <thrust/sort.h> is not supported by the emulator: write the loop as a kernel"),
        ("texture<float, 1> t;", "1: texture is not supported by the emulator: textures: read the array"),
        ("cudaGraph_t graph;", "1: cudaGraph_t is not supported by the emulator: graphs: launch the kernels"),
        ("void f() { cuInit(0); }", "1: cuInit is not supported by the emulator: the driver's interface"),
        ("#include <curand_kernel.h>\ncurandState s;", "2: curandState is not supported by the emulator: cuRAND's"),
        (
            '\n__device__ int lane() { int x; asm("mov.u32 %0, %laneid;" : "=r"(x)); return x; }',
            "2: inline PTX (mov.u32) is not supported by the emulator: write it in CUDA C++",
        ),
        (
            '__device__ void f(int p, int* q) { asm("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(p), "l"(q)); }',
            "1: inline PTX (cp.async.ca.shared.global) is not supported by the emulator: copy with",
        ),
        (
            '__device__ float f(float x) { asm("{ .reg .pred p;\\n\\t@p ex2.f32 %0, %0; }" : "+f"(x)); return x; }',
            "1: inline PTX (ex2.f32) is not supported",
        ),
        (
            "__global__ void k() {}\ntemplate <int N> __global__ void f() {\n    if (N) k<<<1,\n        1>>>();\n}",
            "3: a launch in a kernel is not supported by the emulator: dynamic parallelism",
        ),
        ("#include <cuda/atomic>\ncuda::barrier<int> b;", "2: cuda::barrier is not supported by the emulator"),
        (
            "#include <cooperative_groups.h>\n__device__ void f() { cooperative_groups::this_grid().dim_of_it(); }",
            "2: cooperative_groups::grid_group::dim_of_it is not supported by the emulator",
        ),
        ("int f() { cudaDeviceProp p; return p.oddity; }", "1: cudaDeviceProp::oddity is not supported"),
        (
            "void glutInit(int*, char**);\nvoid f() { glutInit(0, 0); }",
            "1: glutInit is not supported by the emulator: Op",
        ),
        ("template <typename T> int g(T);\nvoid f() { g(1); }", "g is declared, but none of the files defines it"),
        ('#include "other.h"', "1: there is no other.h; -I DIR names a folder to look for it"),
        ("void g(); void f() { g(); }", "g is declared, but none of the files defines it"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(tmp_path, text, said):
    program = tmp_path / "refused.cu"
    program.write_text(f"{text}\nint main() {{}}\n")
    with pytest.raises(emulator.BuildError) as refusal:
        build_program(sources.read([program]))
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_mistake_of_the_program_is_the_compilers_to_tell(tmp_path):
    program = tmp_path / "wrong.cu"
    program.write_text("int main() { int cudaCount = 0; return cuda_count; }\n")
    status, _, errors = run(program)
    assert status == 2 and "wrong.cu:1:" in errors and "cuda_count" in errors and "not supported" not in errors


def test_a_wrong_call_of_what_is_supported_is_a_mistake_too(tmp_path):
    program = tmp_path / "wrong.cu"
    program.write_text("__global__ void k(int* y) { *y = __ldg(1) + atomicAdd_block(1, y); }\nint main() {}\n")
    with pytest.raises(emulator.BuildError, match="does not build") as refusal:
        build_program(sources.read([program]))
    assert "not supported" not in str(refusal.value)


def test_two_programs_are_not_one(tmp_path):
    for name in ("a.cu", "b.cu"):
        (tmp_path / name).write_text("int main() {}\n")
    done = CliRunner().invoke(check, [str(tmp_path / "a.cu"), str(tmp_path / "b.cu")])
    assert done.exit_code == 2 and "have a main each" in done.output
