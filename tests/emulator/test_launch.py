"""What can be launched, what cannot, and what is said about it."""

import numpy as np
import pytest

from tinycnn import emulator

SOURCE = """
struct Pair { int a; float b; };
template <typename T> __global__ void copy(const T* x, T* __restrict__ y, int n) {
    if (threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void many(
    bool p, long long i, unsigned u, double d, unsigned char* bytes, void* any, Pair pair) {
    bytes[0] = p, bytes[1] = (unsigned char)(i + u + d + pair.a);
}
__global__ void wide(const float4* x, float* y) { if (x) y[0] = x[0].w; else y[0] = -1.f; }
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    path = tmp_path_factory.mktemp("launch") / "launch.cu"
    path.write_text(SOURCE)
    return emulator.load(path, ["copy<float>", "copy<double>", "many", "wide"])


X, Y, N = np.arange(8, dtype=np.float32), np.zeros(8, np.float32), np.int32(8)
FROZEN = np.zeros(8, np.float32)
FROZEN.flags.writeable = False


@pytest.mark.parametrize(
    "args, number, wanted, got",
    [
        ([X, Y, 8], 3, "`int n`, which takes np.int32(...)", "the Python int 8"),
        ([X, Y, 8.0], 3, "`int n`, which takes np.int32(...)", "the Python float 8.0"),
        ([X, Y, np.int64(8)], 3, "np.int32(...)", "np.int64(8)"),
        ([X, Y, np.uint32(8)], 3, "np.int32(...)", "np.uint32(8)"),
        ([X.astype("f8"), Y, N], 1, "`const float* x`, which takes a NumPy array of float32", "an array of float64"),
        ([X, Y.astype("i4"), N], 2, "`float* y`", "an array of int32"),
        ([X, FROZEN, N], 2, "`float* y`", "a read-only one"),
        ([X[::2], Y, N], 1, "`const float* x`", "not C-contiguous"),
        ([[1.0, 2.0], Y, N], 1, "`const float* x`", "the Python list"),
        ([X, Y, np.zeros(1, np.int32)], 3, "np.int32(...)", "an array of int32"),
    ],
)
def test_a_wrong_argument_is_named(module, args, number, wanted, got):
    with pytest.raises(emulator.LaunchError) as error:
        module.launch("copy<float>", (1,), (8,), args)
    for words in ("copy<float>", f"parameter {number} ", wanted, got):
        assert words in str(error.value)


def test_a_read_only_array_is_right_for_a_const_pointer(module):
    y = np.ones(8, np.float32)
    module.launch("copy<float>", (1,), (8,), [FROZEN, y, N])
    assert not y.any()


def test_the_number_of_arguments(module):
    with pytest.raises(
        emulator.LaunchError, match=r"copy<float>\(const float\* x, float\* y, int n\) takes 3 .* not 2"
    ):
        module.launch("copy<float>", (1,), (8,), [X, Y])


def test_every_type_of_argument(module):
    pair = np.array((5, 1.0), [("a", "i4"), ("b", "f4")])
    for by_value in (pair[()], pair.reshape(1)):
        out, anything = np.zeros(2, np.uint8), np.zeros(3)
        args = [np.bool_(True), np.int64(2), np.uint32(3), np.float64(4), out, anything, by_value]
        module.launch("many", (1,), (1,), args)
        assert list(out) == [1, 14]
    with pytest.raises(emulator.LaunchError, match=r"`struct pair`, which takes .* scalar of 8 bytes, not np.float32"):
        module.launch("many", (1,), (1,), [*args[:6], np.float32(1)])


def test_none_is_a_null_pointer(module):
    y = np.zeros(1, np.float32)
    module.launch("wide", (1,), (1,), [None, y])
    assert y[0] == -1


def test_a_vector_pointer_takes_whole_aligned_vectors(module):
    y = np.zeros(1, np.float32)
    module.launch("wide", (1,), (1,), [X, y])
    assert y[0] == 3
    with pytest.raises(emulator.LaunchError, match="no multiple of 16"):
        module.launch("wide", (1,), (1,), [X[:6], y])
    with pytest.raises(emulator.LaunchError, match="address is no multiple of 16"):
        module.launch("wide", (1,), (1,), [X[1:5], y])


@pytest.mark.parametrize(
    "grid, block, shared, words",
    [
        ((0,), (8,), 0, "grid.x is from 1 to 2147483647, not 0"),
        ((1, 70000), (8,), 0, "grid.y is from 1 to 65535"),
        ((1,), (1025,), 0, "block.x is from 1 to 1024"),
        ((1,), (1, 1, 65), 0, "block.z is from 1 to 64"),
        ((1,), (32, 33), 0, "at most 1024 threads, not 1056"),
        ((1,), (8,), 227 * 1024 + 1, "227 KB"),
        ((1,), (8,), -1, "227 KB"),
        (4, (8,), 0, "tuple of one to three ints"),
        ((1, 1, 1, 1), (8,), 0, "tuple of one to three ints"),
        ((1.0,), (8,), 0, "grid.x is an int"),
    ],
)
def test_the_limits_of_a_launch(module, grid, block, shared, words):
    with pytest.raises(emulator.LaunchError) as error:
        module.launch("copy<float>", grid, block, [X, Y, N], shared=shared)
    assert words in str(error.value)


LIMITED = """constexpr int WARP = 32;
template <typename T, int N> __global__ void __launch_bounds__(N * WARP  // of N warps
    , 1) of_warps(T* y) {
    y[threadIdx.x] = 1;
}
extern "C" __global__ __launch_bounds__(WARP) void plain(float* y)
{
    y[threadIdx.x] = 1;
}
__global__ void tiled(float* y) {
    __shared__ float tile[40][256];
    extern __shared__ float more[];
    tile[0][threadIdx.x] = more[threadIdx.x] = 1;
    __syncthreads();
    y[threadIdx.x] = tile[0][threadIdx.x ^ 1] + more[threadIdx.x ^ 1];
}
"""


@pytest.mark.parametrize(
    "kernel, block, shared, words",
    [
        ("of_warps<float, 2>", 64, 0, None),
        ("of_warps<float, 2>", 65, 0, "a block has 65 threads, and the kernel's __launch_bounds__ allow 64"),
        ("plain", 32, 0, None),
        ("plain", 33, 0, "allow 32"),
        ("tiled", 64, 187 * 1024, None),
        ("tiled", 64, 187 * 1024 + 1, "191489 bytes of dynamic shared memory and 40960 of static: a block has"),
    ],
)
def test_what_a_kernel_itself_limits(tmp_path, kernel, block, shared, words):
    path = tmp_path / "limited.cu"
    path.write_text(LIMITED)
    y = np.zeros(128, np.float32)
    launch = emulator.Launch(kernel, (2,), (block,), [y], shared)
    for run in (
        lambda: emulator.load(path, ["of_warps<float, 2>", "plain", "tiled"]).launch(
            kernel, (2,), (block,), [y], shared
        ),
        lambda: emulator.check(path, [launch]),
        lambda: emulator.trace(path, launch),
    ):
        if words is None:
            run()
            continue
        with pytest.raises(emulator.LaunchError) as error:
            run()
        assert str(error.value).startswith(f"{kernel}: ") and words in str(error.value)
    assert y.any() == (words is None)


@pytest.mark.parametrize("size, fits", [(12288 - 64, True), (12289 - 64, False)])
@pytest.mark.parametrize(
    "kernel", ["template <typename T> __global__ void k(T* y)", 'extern "C" __global__ void k(float* y)']
)
def test_a_kernel_has_48_kb_of_static_shared_memory(tmp_path, kernel, size, fits):
    path = tmp_path / "static.cu"
    path.write_text(
        f"{kernel} {{\n    __shared__ float tile[{size}], row[64];\n    int t = threadIdx.x;\n"
        "    tile[t] = row[t] = y[t];\n    __syncthreads();\n    y[t] = tile[t ^ 1] + row[t ^ 1];\n}\n"
    )
    name = "k<float>" if "template" in kernel else "k"
    if fits:
        emulator.load(path, [name]).launch(name, (1,), (64,), [np.zeros(64, np.float32)])
        return
    with pytest.raises(emulator.BuildError) as error:
        emulator.load(path, [name])
    assert str(error.value).startswith("k: 49156 bytes of __shared__ arrays (")
    assert "at most 49152: declare one `extern __shared__`" in str(error.value)


def test_a_kernel_that_was_not_loaded(module):
    with pytest.raises(emulator.LaunchError, match="without a kernel 'copy<int>'; with: copy<float>, copy<double>"):
        module.launch("copy<int>", (1,), (8,), [X, Y, N])


def test_nothing_runs_before_the_arguments_are_right(module):
    y = Y.copy()
    with pytest.raises(emulator.LaunchError):
        module.launch("copy<float>", (1,), (8,), [X, y, np.int64(1)])
    np.testing.assert_array_equal(y, Y)
