"""The launches that a comment at the head of a .cu file describes."""

import numpy as np
import pytest

from tinycnn import emulator

KERNEL = "template <typename T> __global__ void scale(const T* x, T* y, T a, int n, const int* map) {}\n"
GOOD = "x=float[10] y=float[2,5]=0 a=float:0.5 n=int:10 map=none"


def read(tmp_path, *lines):
    path = tmp_path / "scale.cu"
    path.write_text("\n".join([*lines, KERNEL]))
    return emulator.read_launches(path)


def test_a_description(tmp_path):
    (launch,) = read(tmp_path, f"// launch: kernel=scale<float> grid=4,2 block=16,16 shared=64 {GOOD}")
    assert (launch.kernel, launch.grid, launch.block, launch.shared) == ("scale<float>", (4, 2), (16, 16), 64)
    x, y, a, n, table = launch.args
    assert x.shape == (10,) and x.dtype == np.float32 and len(set(x)) == 10
    assert y.shape == (2, 5) and not y.any()
    assert (a, n, table) == (np.float32(0.5), np.int32(10), None) and (a.dtype, n.dtype) == ("float32", "int32")


def test_several_and_long_ones_and_the_same_numbers_each_time(tmp_path):
    lines = [
        "// launch: kernel=scale<double> grid=1 block=32 \\",
        "//         x=double[7] y=double[7]=1.5 a=double:2 n=int:0x10 map=int[5]=range",
        "// a comment between",
        f"//launch: kernel=scale<float> grid=1 block=32 {GOOD}",
    ]
    first, second = read(tmp_path, *lines)
    assert first.args[0].dtype == np.float64 and (first.args[1] == 1.5).all() and first.args[3] == 16
    np.testing.assert_array_equal(first.args[4], np.arange(5))
    np.testing.assert_array_equal(first.args[0], read(tmp_path, *lines)[0].args[0])
    assert second.kernel == "scale<float>"


def test_vectors_and_kernels_with_several_arguments(tmp_path):
    path = tmp_path / "wide.cu"
    path.write_text(
        "// launch: kernel=wide<float4, 8> grid=1 block=32 x=float4[100] b=unsigned_char[3] i=long_long:-1\n"
        "template <typename T, int K> __global__ void wide(const T* x, unsigned char* b, long long i) {}\n"
    )
    (launch,) = emulator.read_launches(path)
    assert launch.kernel == "wide<float4, 8>" and launch.args[0].shape == (100, 4)
    assert launch.args[1].dtype == np.uint8 and launch.args[2] == np.int64(-1)
    assert emulator.check(path, [launch]) == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("kernel=scale<float> grid=1", "block=... is missing"),
        ("grid=1 block=1", "kernel=... is missing"),
        (f"kernel=scale<float> grid=1 block=1 {GOOD} y=float[1]", "'y' is given twice"),
        ("kernel=scale<float> grid=0 block=1", "grid=0: '0' is not a list of numbers greater than 0"),
        ("kernel=scale<float> grid=1 block=1,1,1,1", "at most three numbers"),
        ("kernel=scale<float> grid=1 block=1 shared=-4", "shared=-4 is not a number of bytes"),
        ("kernel=scale<float> grid=1 block=1 x", "'x' is not of the form name=value"),
        ("kernel=scale<float> grid=1 block=1 x=float", "neither an array (float[1000]), a number (int:5) nor none"),
        ("kernel=scale<float> grid=1 block=1 x=half[5]", "there is no type 'half'"),
        ("kernel=scale<float> grid=1 block=1 x=float[0]", "not a list of numbers greater than 0"),
        ("kernel=scale<float> grid=1 block=1 x=int:five", "'five' is not a int32"),
        ("kernel=scale<float> grid=1 block=1 x=int:3000000000", "is not a int32"),
        ("kernel=scale<float> grid=1 block=1 y=float[5] x=float[5]", "are x, y, a, n, map; not y, x"),
    ],
)
def test_a_bad_description_names_the_line(tmp_path, text, words):
    with pytest.raises(emulator.DescriptionError) as error:
        read(tmp_path, "// first", f"// launch: {text}")
    assert "scale.cu:2: " in str(error.value) and words in str(error.value)


def test_a_file_without_one(tmp_path):
    with pytest.raises(emulator.DescriptionError, match="describes no launch; add a comment like"):
        read(tmp_path)
