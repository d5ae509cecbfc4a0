"""What `tinycnn run`, `check` and `trace` say of programs with faults, and of what CUDA refuses."""

import pytest
from click.testing import CliRunner
from program_runs import PROGRAMS, run

from tinycnn.command.check import check
from tinycnn.command.trace import trace

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
def test_a_kernel_that_spins_asserts_or_crashes_is_told_and_the_program_goes_on(tmp_path, does):
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
