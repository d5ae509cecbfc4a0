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


def test_values(tmp_path):
    np.save(tmp_path / "some.npy", np.array([[3, 1], [4, 1]], np.float32))
    text = "x=float[4]=some.npy y=float[2,2]=[1,2.5,-3,0x1p-1] a=float:0.5 n=int:10 map=int[3]:ones"
    with pytest.raises(emulator.DescriptionError, match="'0x1p-1' is not a float32"):
        read(tmp_path, f"// launch: kernel=scale<float> grid=1 block=1 {text}")
    (launch,) = read(tmp_path, f"// launch: kernel=scale<float> grid=1 block=1 {text.replace('0x1p-1', '.5')}")
    x, y, _, _, ones = launch.args
    assert x.tolist() == [3, 1, 4, 1] and y.tolist() == [[1, 2.5], [-3, 0.5]] and ones.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "name", ["size_t", "int8_t", "uint16_t", "uint64_t", "short", "unsigned_short", "long", "bool"]
)
def test_types_of_whole_numbers(tmp_path, name):
    """As the compiler sees them: it is told the parameter's type, and takes the value."""
    path = tmp_path / "types.cu"
    typed = name.replace("unsigned_short", "unsigned short")
    path.write_text(
        f"// launch: kernel=k grid=1 block=1 x={name}[4]=[0,1,1,0] n={name}:1 y={name}[4]=0 expect=y:x+n*0+0\n"
        f"__global__ void k(const {typed}* x, {typed} n, {typed}* y) {{\n"
        "    for (int i = 0; i < 4; ++i) y[i] = x[i] * n;\n}\n"
    )
    assert emulator.check(path, emulator.read_launches(path)) == []


STRUCTS = """// launch: kernel=k grid=1 block=1 p={char:3,int:-4,float:0.5} v=float3:1,2,3 w=int2:7,8 \\
//         d=dim3:5,6 y=float[9]=0 expect=y:[3,-4,.5,1,3,8,5,6,1]
struct P { char a; int b; float c; };
__global__ void k(P p, float3 v, int2 w, dim3 d, float* y) {
    y[0] = p.a, y[1] = p.b, y[2] = p.c, y[3] = v.x, y[4] = v.z, y[5] = w.y, y[6] = d.x, y[7] = d.y, y[8] = d.z;
}
"""


def test_structs_and_vectors_by_value(tmp_path):
    path = tmp_path / "structs.cu"
    path.write_text(STRUCTS)
    assert emulator.check(path, emulator.read_launches(path)) == []
    path.write_text(STRUCTS.replace("-4,.5", "-4,.6"))
    (report,) = emulator.check(path, emulator.read_launches(path))
    assert (report.kind, report.line, report.array, report.element) == ("unexpected", 1, "y", 2)
    assert "y[2] is 0.5 where 0.6 is expected; 1 of 9 elements are off by more than 1e-05" in str(report)


STENCIL = """// launch: kernel=k grid=1 block=32 in=float[40]=range x=in+FIRST y=float[32]=0 \\
//         w=float[3]=[1,10,100] expect=y:WANTED
__constant__ float w[3];
__global__ void k(const float* x, float* y) {
    int i = threadIdx.x;
    y[i] = w[0] * x[i - 3] + w[1] * x[i] + w[2] * x[i + 5];
}
"""


def test_pointers_into_an_array_and_constant_memory(tmp_path):
    path = tmp_path / "stencil.cu"
    wanted = "1*np.arange(32)+10*x[:32]+100*np.arange(8,40)"
    path.write_text(STENCIL.replace("FIRST", "3").replace("WANTED", wanted))
    assert emulator.check(path, emulator.read_launches(path)) == []
    path.write_text(STENCIL.replace("FIRST", "2").replace("WANTED", "y"))
    outside = [r for r in emulator.check(path, emulator.read_launches(path)) if r.kind == "out-of-bounds"]
    assert [(r.array, r.thread, r.count) for r in outside] == [("in/x", (0, 0, 0), 1)]
    path.write_text(STENCIL.replace("FIRST", "40"))
    with pytest.raises(emulator.DescriptionError, match="in has 40 elements"):
        emulator.read_launches(path)


TWO = """// launch: kernel=first grid=1 block=4 x=int[4]=range y=int[4]=unset
// launch: kernel=second grid=1 block=4 y=y z=int[4]=unset expect=z:2*(x0+1) tolerance=0
__global__ void first(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }
__global__ void second(const int* y, int* z) { z[threadIdx.x] = 2 * y[threadIdx.x]; }
"""


def test_launches_over_the_same_arrays(tmp_path):
    path = tmp_path / "two.cu"
    path.write_text(TWO.replace("2*(x0+1)", "[2,4,6,8]"))
    assert emulator.check(path, emulator.read_launches(path)) == []
    path.write_text(TWO.replace("2*(x0+1)", "[2,4,6]"))
    with pytest.raises(emulator.DescriptionError, match="has 3 elements, z has 4"):
        emulator.check(path, emulator.read_launches(path))
    path.write_text(TWO)
    with pytest.raises(emulator.DescriptionError, match=r"expect=z:2\*\(x0\+1\): NameError"):
        emulator.check(path, emulator.read_launches(path))


REMEDY = "if it holds something before, give it a value in the launch comment"
NO_VALUE = """
__global__ void adds(const float* x, float* y) { y[threadIdx.x] += x[threadIdx.x]; }
__global__ void sets(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x], y[threadIdx.x] += 1; }
__global__ void copies(float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }
__global__ void counts(int* total) { atomicAdd(total, 1); }
__global__ void doubles(float* y, const float* x) { y[threadIdx.x] = 2 * x[threadIdx.x]; }
"""
LAUNCHES_WITHOUT = {  # the launch: the word that is reported
    "kernel=adds x=float[32] y=float[32]": "y=float[32]",
    "kernel=adds x=float[32] y=float[32]:zeros expect=y:x": None,
    "kernel=adds x=float[32] y=float[32]:random expect=y:x+y": None,
    "kernel=sets x=float[32] y=float[32] expect=y:x+1": None,
    "kernel=copies x=float[32] y=float[32] expect=y:x": None,  # x may be written by its type, but is not
    "kernel=counts total=int[1]": "total=int[1]",
    "kernel=counts total=int[1]:zeros expect=total:32": None,
    "kernel=doubles y=float[32] x=y expect=y:2*y": None,  # in place: y is what the const pointer reads
}


def test_an_output_without_a_value_counts_as_never_written(tmp_path):
    path = tmp_path / "without.cu"
    lines = [f"// launch: {text.replace(' ', ' grid=1 block=32 ', 1)}\n" for text in LAUNCHES_WITHOUT]
    path.write_text("".join(lines) + NO_VALUE)
    launches = emulator.read_launches(path)
    for launch, (text, word) in zip(launches, LAUNCHES_WITHOUT.items(), strict=True):
        checker = emulator.Checker(path, [launch.kernel for launch in launches])
        checker.run(launch)
        if word is None:
            assert checker.reports == [], text
            continue
        (report,) = checker.reports
        line = 1 + path.read_text().splitlines().index(next(k for k in NO_VALUE.splitlines() if launch.kernel in k))
        assert (report.kind, report.line, report.array) == ("uninitialised", line, word.partition("=")[0])
        assert f"nobody has written yet; {REMEDY}: {word}:random" in report.message


def test_an_array_without_a_value_holds_the_same_random_numbers_as_ever(tmp_path):
    without, random = (
        read(tmp_path, f"// launch: kernel=scale<float> grid=1 block=1 {GOOD.replace('y=float[2,5]=0', y)}")[0].args[1]
        for y in ("y=float[2,5]", "y=float[2,5]:random")
    )
    assert len(set(without.flat)) == 10
    np.testing.assert_array_equal(without, random)


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
        ("kernel=scale<float> grid=1 block=1 x=float[3]=[1,2]", "has 2 values for 3 elements"),
        ("kernel=scale<float> grid=1 block=1 x=float[3]=none.npy", "none.npy cannot be read"),
        ("kernel=scale<float> grid=1 block=1 x=float4:1,2", "has 2 numbers for a float4"),
        (f"kernel=scale<float> grid=1 block=1 {GOOD} expect=z:x", "the parameters have no array 'z'"),
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
