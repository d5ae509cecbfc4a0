"""`tinycnn run`, `check` and `trace` of whole programs: those in programs/, beside the same in NumPy."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from program_runs import PROGRAMS, run

from tinycnn import emulator, philox
from tinycnn.command.check import check
from tinycnn.command.trace import trace
from tinycnn.devices.gpu import cards
from tinycnn.emulator import sources
from tinycnn.emulator.program import build_program

RADIUS = 3


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
