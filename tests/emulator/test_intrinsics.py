"""Every intrinsic of CUDA's that intrinsics.json says works does what its definition says; the others are refused."""

import json
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.emulator import build

HERE = Path(__file__).parent
LISTED = json.loads((Path(emulator.__file__).parent / "intrinsics.json").read_text())
TYPES = {"i": "int", "u": "unsigned", "l": "long long", "U": "unsigned long long", "f": "float", "d": "double"}
DTYPES = {"i": "int32", "u": "uint32", "l": "int64", "U": "uint64", "f": "float32", "d": "float64"}
BITS = {"i": 32, "u": 32, "l": 64, "U": 64}
COUNT = 48


def wrapped(value, letter):
    """A whole number as the type holds it."""
    value %= 2 ** BITS[letter]
    return value - 2 ** BITS[letter] if letter in "il" and value >= 2 ** (BITS[letter] - 1) else value


def signed(value, bits):
    return value - 2**bits if value >= 2 ** (bits - 1) else value


def rounded(value, mode, dtype):
    """An exact Fraction in a floating-point type. `nearest` is what float() and NumPy make of it, then the next."""
    nearest = dtype(value.numerator / value.denominator)  # of these values no tie is lost on the way
    exact = Fraction(float(nearest))
    below = exact if exact <= value else Fraction(float(np.nextafter(nearest, dtype(-np.inf))))
    above = exact if exact >= value else Fraction(float(np.nextafter(nearest, dtype(np.inf))))
    toward_zero = below if value > 0 else above
    return float({"rn": exact, "rd": below, "ru": above, "rz": toward_zero}[mode])


def root(value, mode, dtype):
    """Of a Fraction, correctly rounded: between two neighbours, by their squares."""
    nearest = dtype(math.sqrt(value))
    down = nearest if Fraction(float(nearest)) ** 2 <= value else np.nextafter(nearest, dtype(0))
    up = down if Fraction(float(down)) ** 2 == value else np.nextafter(down, dtype(np.inf))
    middle = (Fraction(float(down)) + Fraction(float(up))) / 2
    return float({"rn": down if value <= middle**2 else up, "rd": down, "rz": down, "ru": up}[mode])


def to_whole(value, mode, letter):
    """CUDA's conversion: rounded, and what does not fit is the nearest that does."""
    whole = {"rn": round, "rz": math.trunc, "ru": math.ceil, "rd": math.floor}[mode](value)
    least = -(2 ** (BITS[letter] - 1)) if letter in "il" else 0
    return min(max(whole, least), least + 2 ** BITS[letter] - 1)


def bytes_of(value):
    return [value >> 8 * i & 255 for i in range(4)]


def permuted(x, y, selector):
    both = bytes_of(x) + bytes_of(y)
    return sum(both[selector >> 4 * i & 7] << 8 * i for i in range(4))


def nth_set(mask, base, offset):
    places = range(base, 32) if offset >= 0 else range(base, -1, -1)
    if offset == 0:
        return base if mask >> base & 1 else 2**32 - 1
    found = [place for place in places if mask >> place & 1]
    return found[abs(offset) - 1] if len(found) >= abs(offset) else 2**32 - 1


def of_pi(function, quarters):
    """sin or cos of pi x, from the exact remainder of x."""
    return lambda x: function(math.pi * math.remainder(x, 2)) if x * 2 % 1 else quarters[int(x * 2) % 4]


def low(value, bits):
    return value & (2**bits - 1)


def dot(a, b, c, bits, places, are_signed):
    """Of parts of a, so many bits wide, with bytes of b, those at `places`; added to c."""
    for i, place in enumerate(places):
        parts = low(a >> bits * i, bits), low(b >> 8 * place, 8)
        x, y = (signed(parts[0], bits), signed(parts[1], 8)) if are_signed else parts
        c += x * y
    return c


SIN, COS = of_pi(math.sin, (0, 1, 0, -1)), of_pi(math.cos, (1, 0, -1, 0))


def leading_zeros(x, bits):
    return bits - low(x, bits).bit_length()


def first_set(x):
    return (x & -x).bit_length()


def turned(x, bits):
    return int(f"{x:0{bits}b}"[::-1], 2)


def low24(x):
    return signed(low(x, 24), 24)


# (name, result and arguments by their letters): the same in Python, on exact numbers
EXACT = {
    ("__brev", "uu"): lambda x: turned(x, 32),
    ("__brevll", "UU"): lambda x: turned(x, 64),
    ("__byte_perm", "uuuu"): permuted,
    ("__clz", "ii"): lambda x: leading_zeros(x, 32),
    ("__clzll", "il"): lambda x: leading_zeros(x, 64),
    ("__ffs", "ii"): first_set,
    ("__ffsll", "il"): first_set,
    ("__popc", "iu"): int.bit_count,
    ("__popcll", "iU"): int.bit_count,
    ("__fns", "uuui"): nth_set,
    ("__funnelshift_l", "uuuu"): lambda a, b, s: (b << 32 | a) << s % 32 >> 32,
    ("__funnelshift_lc", "uuuu"): lambda a, b, s: (b << 32 | a) << min(s, 32) >> 32,
    ("__funnelshift_r", "uuuu"): lambda a, b, s: (b << 32 | a) >> s % 32,
    ("__funnelshift_rc", "uuuu"): lambda a, b, s: (b << 32 | a) >> min(s, 32),
    ("__mul24", "iii"): lambda a, b: low24(a) * low24(b),
    ("__umul24", "uuu"): lambda a, b: low(a, 24) * low(b, 24),
    ("__mulhi", "iii"): lambda a, b: a * b >> 32,
    ("__umulhi", "uuu"): lambda a, b: a * b >> 32,
    ("__mul64hi", "lll"): lambda a, b: a * b >> 64,
    ("__umul64hi", "UUU"): lambda a, b: a * b >> 64,
    ("__hadd", "iii"): lambda a, b: a + b >> 1,
    ("__rhadd", "iii"): lambda a, b: a + b + 1 >> 1,
    ("__uhadd", "uuu"): lambda a, b: a + b >> 1,
    ("__urhadd", "uuu"): lambda a, b: a + b + 1 >> 1,
    ("__sad", "uiiu"): lambda a, b, c: abs(a - b) + c,
    ("__usad", "uuuu"): lambda a, b, c: abs(a - b) + c,
    **{
        (name, letters): lambda a, b, c, n=bits, p=places, s=letters == "iiii": dot(a, b, c, n, p, s)
        for name, bits, places in [("__dp4a", 8, range(4)), ("__dp2a_lo", 16, (0, 1)), ("__dp2a_hi", 16, (2, 3))]
        for letters in ("iiii", "uuuu")
    },
    **{(name, letters): function for name, letters, function in [
        ("max", "iii", max), ("min", "fff", min), ("umax", "uuu", max), ("umin", "uuu", min), ("llmax", "lll", max),
        ("llmin", "lll", min), ("ullmax", "UUU", max), ("ullmin", "UUU", min),
    ]},
}  # fmt: skip
WHOLE = {"int": "i", "uint": "u", "ll": "l", "ull": "U"}
REAL = {"float": "f", "double": "d"}
for mode in ("rn", "rz", "ru", "rd"):
    for whole, letter in WHOLE.items():
        for real, of in REAL.items():
            EXACT[f"__{real}2{whole}_{mode}", letter + of] = lambda x, m=mode, w=letter: to_whole(x, m, w)
            if not (of == "d" and letter in "iu"):
                EXACT[f"__{whole}2{real}_{mode}", of + letter] = lambda x, m=mode, t=of: rounded(
                    Fraction(x), m, np.dtype(DTYPES[t]).type
                )
    EXACT[f"__double2float_{mode}", "fd"] = lambda x, m=mode: rounded(Fraction(x), m, np.float32)
    for p, of in (("f", "f"), ("d", "d")):
        dtype = np.dtype(DTYPES[of]).type
        for name, arity, exact in (
            ("add", 2, lambda a, b: a + b),
            ("sub", 2, lambda a, b: a - b),
            ("mul", 2, lambda a, b: a * b),
            ("div", 2, lambda a, b: a / b),
            ("rcp", 1, lambda a: 1 / a),
        ):
            EXACT[f"__{p}{name}_{mode}", of * (arity + 1)] = lambda *v, e=exact, m=mode, t=dtype: rounded(
                e(*map(Fraction, v)), m, t
            )
        EXACT[f"__{p}sqrt_{mode}", of * 2] = lambda x, m=mode, t=dtype: root(Fraction(abs(x)), m, t)
    for name, of in (("__fmaf", "f"), ("__fmaf_ieee", "f"), ("__fma", "d")):
        dtype = np.dtype(DTYPES[of]).type
        EXACT[f"{name}_{mode}", of * 4] = lambda a, b, c, m=mode, t=dtype: rounded(
            Fraction(a) * Fraction(b) + Fraction(c), m, t
        )
EXACT["__int2double_rn", "di"] = EXACT["__uint2double_rn", "du"] = float
VIEWS = {
    ("__float_as_int", "if"), ("__float_as_uint", "uf"), ("__int_as_float", "fi"), ("__uint_as_float", "fu"),
    ("__double_as_longlong", "ld"), ("__longlong_as_double", "dl"),
}  # fmt: skip
NEAR = {
    ("__expf", "ff"): math.exp, ("__exp10f", "ff"): lambda x: 10**x, ("__logf", "ff"): lambda x: math.log(abs(x)),
    ("__log2f", "ff"): lambda x: math.log2(abs(x)), ("__log10f", "ff"): lambda x: math.log10(abs(x)),
    ("__powf", "fff"): lambda x, y: abs(x) ** y, ("__sinf", "ff"): math.sin, ("__cosf", "ff"): math.cos,
    ("__tanf", "ff"): math.tan, ("__tanhf", "ff"): math.tanh, ("__fdividef", "fff"): lambda x, y: x / y,
    ("fdividef", "fff"): lambda x, y: x / y, ("__saturatef", "ff"): lambda x: min(max(x, 0), 1),
    ("__frsqrt_rn", "ff"): lambda x: abs(x) ** -0.5, ("rsqrtf", "ff"): lambda x: abs(x) ** -0.5,
    ("rsqrt", "dd"): lambda x: abs(x) ** -0.5, ("sinpif", "ff"): SIN, ("cospif", "ff"): COS, ("sinpi", "dd"): SIN,
    ("cospi", "dd"): COS, ("rcbrtf", "ff"): lambda x: 1 / math.cbrt(x), ("rcbrt", "dd"): lambda x: 1 / math.cbrt(x),
    ("rhypotf", "fff"): lambda x, y: 1 / math.hypot(x, y), ("rhypot", "ddd"): lambda x, y: 1 / math.hypot(x, y),
    ("norm3df", "ffff"): math.hypot, ("norm3d", "dddd"): math.hypot, ("norm4df", "fffff"): math.hypot,
    ("norm4d", "ddddd"): math.hypot, ("rnorm3df", "ffff"): lambda *v: 1 / math.hypot(*v),
    ("rnorm3d", "dddd"): lambda *v: 1 / math.hypot(*v), ("rnorm4df", "fffff"): lambda *v: 1 / math.hypot(*v),
    ("rnorm4d", "ddddd"): lambda *v: 1 / math.hypot(*v),
    ("normcdff", "ff"): lambda x: (1 + math.erf(x / math.sqrt(2))) / 2,
    ("normcdf", "dd"): lambda x: (1 + math.erf(x / math.sqrt(2))) / 2,
}  # fmt: skip
COARSE = 0  # how far __tanf and its like may be off: on a GPU, for which on_gpu.py sets it, not here
POSITIVE = re.compile(r"sqrt|log|powf")
BY_HAND = {"__double2hiint", "__double2loint", "__hiloint2double", "__sincosf", "sincospif", "sincospi"}
FUNCTIONS = [*EXACT, *VIEWS, *NEAR]


def inputs(number, letter, name):
    """Arrays: the ends of the type, and others in between; halves and quarters where a rounding may show."""
    random = np.random.default_rng([number, ord(letter)])
    if letter in BITS:
        info = np.iinfo(DTYPES[letter])
        values = [info.min, info.max, 0, 1, 2, 31, 32, 33, 40, 0x80, 0x8000, 0xFFFFFF, 0x80000000 & info.max]
        values += [int(v) >> int(s) for v, s in zip(random.integers(info.min, info.max, COUNT, DTYPES[letter], True),
                                                    random.integers(0, 24, COUNT), strict=True)]  # fmt: skip
    else:
        values = [0.5, 1.5, 2.5, -0.5, -1.5, 0.25, 3.0, -2.0, *random.standard_normal(COUNT) * 3]
        if name.startswith(("__float2", "__double2")) and not name.startswith("__double2float"):
            values += [2.0**31, -(2.0**31), 2.0**32, 2.0**63, -(2.0**63), 2.0**64, 1e30, -1e30, 2.0**31 - 128]
    values = np.array((values * 2)[:COUNT], DTYPES[letter])
    if letter in "fd":
        values = np.abs(values) if POSITIVE.search(name) else values
        values[values == 0] = 1
    if name == "__fns":  # a bit's number, and steps that can be taken back: of others CUDA says nothing
        values = values % 32 if number == 1 else np.maximum(values, -info.max) if number == 2 else values
    return np.roll(values, 5 * number)


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A kernel for each function of numbers, in one build."""
    kernels = []
    for number, (name, letters) in enumerate(FUNCTIONS):
        parameters = ", ".join(f"const {TYPES[letter]}* x{i}" for i, letter in enumerate(letters[1:]))
        arguments = ", ".join(f"x{i}[i]" for i in range(len(letters) - 1))
        kernels.append(
            f'extern "C" __global__ void k{number}({parameters}, {TYPES[letters[0]]}* y) {{\n'
            f"    int i = threadIdx.x;\n    y[i] = {name}({arguments});\n}}\n"
        )
    file = tmp_path_factory.mktemp("intrinsics") / "functions.cu"
    file.write_text("".join(kernels))
    return emulator.load(file, [f"k{number}" for number in range(len(kernels))])


def computed(module, function):
    name, letters = function
    arrays = [inputs(i, letter, name) for i, letter in enumerate(letters[1:])]
    y = np.zeros(COUNT, DTYPES[letters[0]])
    module.launch(f"k{FUNCTIONS.index(function)}", (1,), (COUNT,), [*arrays, y])
    return arrays, y


@pytest.mark.parametrize("function", EXACT, ids="-".join)
def test_to_the_last_bit(module, function):
    arrays, y = computed(module, function)
    letter = function[1][0]
    for row, got in zip(zip(*(a.tolist() for a in arrays), strict=True), y.tolist(), strict=True):
        want = EXACT[function](*row)
        if letter in BITS:
            want = wrapped(want, letter)
        assert got == want, (row, got, want)


@pytest.mark.parametrize("function", sorted(VIEWS), ids="-".join)
def test_bits_seen_as_another_type(module, function):
    (x,), y = computed(module, function)
    np.testing.assert_array_equal(y.view(np.uint8), x.view(np.uint8))


@pytest.mark.parametrize("function", NEAR, ids="-".join)
def test_to_a_few_units_in_the_last_place(module, function):
    arrays, y = computed(module, function)
    want = [NEAR[function](*row) for row in zip(*(a.tolist() for a in arrays), strict=True)]
    coarse = COARSE if function[0].startswith("__") else 0
    tolerance = max(coarse, 1e-6 if function[1][0] == "f" else 1e-14)
    np.testing.assert_allclose(y, want, rtol=tolerance, atol=tolerance)


def test_results_in_two_parts(tmp_path):
    (tmp_path / "parts.cu").write_text(
        "__global__ void parts(const double* x, double* y) {\n    int i = threadIdx.x;\n    float s, c;\n"
        "    y[i] = __hiloint2double(__double2hiint(x[i]), __double2loint(x[i]));\n"
        "    __sincosf(x[i], &s, &c);\n    y[48 + i] = s, y[96 + i] = c;\n"
        "    sincospif(x[i], &s, &c);\n    y[144 + i] = s, y[192 + i] = c;\n"
        "    sincospi(x[i], y + 240 + i, y + 288 + i);\n}\n"
    )
    x, y = inputs(0, "d", "parts"), np.zeros((7, COUNT))
    emulator.load(tmp_path / "parts.cu", ["parts"]).launch("parts", (1,), (COUNT,), [x, y])
    np.testing.assert_array_equal(y[0], x)
    of_pi = [[function(v) for v in x.tolist()] for function in (SIN, COS)]
    np.testing.assert_allclose(y[1:], [np.sin(x), np.cos(x), *of_pi, *of_pi], atol=2e-6)


# ---------------------------------------------------------------- warps, atomics, memory


@pytest.fixture(scope="module")
def others():
    names = "matches reductions counters wide_atomics memory votes atomics<int> atomics<unsigned>".split()
    names += "of_those_left small_values in_templates vectors".split()
    return emulator.load(HERE / "intrinsics.cu", names)


def test_lanes_with_the_same_value(others):
    x = (np.arange(32) * 7 % 5).astype(np.int32)
    wide = np.where(x == 2, np.int64(2**40), x.astype(np.int64))
    same = [sum(1 << int(lane) for lane in np.flatnonzero(x == v)) for v in x]
    for all_same in (0, 1):
        y = np.zeros((4, 32), np.uint32)
        others.launch("matches", (1,), (32,), [x, wide, y, np.int32(all_same)])
        np.testing.assert_array_equal(y[:2], [same, same])
        assert set(y[2].tolist()) == {0xFFFFFFFF if all_same else 0} and set(y[3].tolist()) == {all_same}


def test_reductions_of_a_part_of_a_warp(others):
    x = np.random.default_rng(0).integers(-(2**31), 2**31, 32).astype(np.int32)
    y = np.zeros((7, 32), np.int32)
    others.launch("reductions", (1,), (32,), [x, y])
    unsigned = x.view(np.uint32)
    for part in (slice(0, 12), slice(12, 32)):
        want = [x[part].sum(dtype=np.int32), x[part].min(), x[part].max()]
        bits = [f.reduce(unsigned[part]) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.maximum)]
        want = np.array([*want, *np.array(bits, np.uint32).view(np.int32)], np.int32)
        np.testing.assert_array_equal(y[:, part], np.broadcast_to(want[:, None], y[:, part].shape))


def test_lanes_that_have_returned_or_are_not_there_are_not_waited_for(others):
    y = np.zeros((3, 32), np.int32)
    others.launch("of_those_left", (1,), (24,), [y])
    left = [t for t in range(24) if t != 3]
    same = {odd: sum(1 << t for t in left if t % 2 == odd) for odd in (0, 1)}
    assert set(y[0, left].tolist()) == {sum(left)} and set(y[2, left].tolist()) == {sum(same.values())}
    assert y[1, left].tolist() == [same[t % 2] for t in left] and not y[:, 3].any()


def test_values_of_less_than_four_bytes_go_as_ints(others):
    y = np.zeros((4, 32), np.int32)
    others.launch("small_values", (1,), (32,), [y])
    t = np.arange(32)
    np.testing.assert_array_equal(y[0], (250 + np.minimum(t + 1, 31)) % 256)
    np.testing.assert_array_equal(y[1:3], [-(t ^ 1), np.full(32, 3)])
    np.testing.assert_array_equal(y[3].view(np.uint32), np.where(t % 2, 0xAAAAAAAA, 0x55555555))


def test_a_comma_in_a_template_and_functions_of_the_programs_own(others):
    x, y = np.array([5, 6], np.float32), np.zeros(4, np.float32)
    others.launch("in_templates", (1,), (1,), [x.view("V8"), y])
    assert y.tolist() == [6, 0.25, 1, 6]


def test_every_vector_type_has_its_size_and_alignment(others):
    y = np.zeros((12, 4, 3), np.int32)
    others.launch("vectors", (1,), (1,), [y])
    for size, rows in zip([1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8], y.tolist(), strict=True):
        want = [(size, size, 1), (2 * size, 2 * size, 3), (3 * size, size, 5), (4 * size, min(4 * size, 16), 5)]
        assert rows == [list(row) for row in want]


@pytest.mark.parametrize(
    "call", ["atomicMax(p, 1.f)", "atomicSub_block(p, 1.f)", "atomicInc((int*)p, 1)", "atomicCAS(p, 1.f, 2.f)"]
)
def test_an_atomic_that_cuda_does_not_have_is_refused_with_those_that_it_has(tmp_path, call):
    file = tmp_path / "mine.cu"
    file.write_text(f"__global__ void k(float* p) {{\n    {call};\n}}\n")
    with pytest.raises(emulator.BuildError) as error:
        build.build(file, ["k"])
    assert "mine.cu:2:" in error.value.log and "CUDA has atomic" in error.value.log


@pytest.mark.parametrize("type_, dtype", [("int", np.int32), ("unsigned", np.uint32)])
def test_atomics_of_every_scope(others, type_, dtype):
    y = np.full((9, 3), 12, dtype)
    others.launch(f"atomics<{type_}>", (1,), (32,), [y])
    of_bits = [f.reduce(np.array([12, *range(32)])) for f in (np.bitwise_and, np.bitwise_or, np.bitwise_xor)]
    want = [12 + 496, 12 - 496, 31, 0, 31, *of_bits, 0]  # thread 0 finds the 12, and is the only one
    np.testing.assert_array_equal(y, np.array(want).astype(dtype)[:, None].repeat(3, 1))


def test_counters_that_go_round(others):
    y = np.zeros((2, 3), np.uint32)
    others.launch("counters", (1,), (32,), [y])
    np.testing.assert_array_equal(y, [[32 % 21] * 3, [(-32) % 21] * 3])


def test_atomics_of_two_and_four_floats(others):
    two, four = np.zeros((2, 2), np.float32), np.zeros(4, np.float32)
    others.launch("wide_atomics", (1,), (32,), [two.view("V8").reshape(2), four.view("V16")])
    np.testing.assert_array_equal(two, [[496, 32], [496 - 31, 31]])
    np.testing.assert_array_equal(four, [32, 64, 96, 496])


def test_where_an_address_leads_and_hints_to_caches(others):
    x, y = np.arange(6, dtype=np.float32), np.zeros(6, np.float32)
    where, ticks = np.zeros(3, np.uint32), np.zeros(3, np.int64)
    others.launch("memory", (1,), (1,), [x, y, where, ticks])
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(where, [1, 10, 100])
    assert 0 < ticks[0] <= ticks[1] <= ticks[2]


def test_barriers_that_count(others):
    y = np.zeros(64, np.int32)
    others.launch("votes", (1,), (64,), [y, np.zeros(1, np.int32)])
    assert set(y.tolist()) == {22 + 100 + 1000}


# ---------------------------------------------------------------- the list


def test_every_function_that_is_said_to_work_is_tested():
    groups = ("integers", "conversions", "rounded", "mathematics")
    said = {name for group in groups for name in LISTED["works"][group]}
    assert said == {name for name, _ in FUNCTIONS} | BY_HAND
    text = "".join(file.read_text() for file in HERE.glob("*.cu"))
    for group in set(LISTED["works"]) - set(groups):
        assert not [name for name in LISTED["works"][group] if not re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize("name", ["__shfl", "__vadd4", "tex2D", "__brkpt", "erfinvf"])
def test_what_is_refused_is_named_with_what_to_write_instead(tmp_path, name):
    file = tmp_path / "mine.cu"
    file.write_text(f"__global__ void k(int* y) {{\n    y[0] = {name}(y[1], 1);\n}}\n")
    with pytest.raises(emulator.BuildError) as error:
        build.build(file, ["k"])
    assert re.search(rf"mine.cu:2: {name} is not supported by the emulator: {re.escape(LISTED['refused'][name])}",
                     error.value.message)  # fmt: skip


def test_nothing_is_both():
    works = {name for names in LISTED["works"].values() for name in names}
    assert not works & set(LISTED["refused"])
    assert not [name for name in works if name.startswith("__") and not re.fullmatch(r"__[a-zA-Z]\w*", name)]
