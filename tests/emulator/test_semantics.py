"""A kernel computes on the emulator what it means in CUDA."""

import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from helpers import LISTEN

from tinycnn import emulator
from tinycnn.emulator import build
from tinycnn.emulator.module import MOST_LAUNCHES

SOURCE = Path(__file__).parent / "semantics.cu"
KERNELS = (
    "axpy<float> axpy<double> whoami reverse_static reverse_bytes<float> reverse_bytes<double> two_names "
    "tree_sum<float> tree_sum<double> barrier_votes early_return shuffles<int> shuffles<unsigned> shuffles<float> "
    "shuffles<double> shuffles<long-long> half_warps votes active atomics<int> atomics<unsigned> "
    "atomics<unsigned-long-long> atomic_sum<float> atomic_sum<double> exchange vectors other_vectors polynomial "
    "mathematics "
    "by_value<8,float> divergent half_shuffle not_in_mask missing_lane trapped"
)
NAMES = [name.replace("-", " ").replace(",", ", ") for name in KERNELS.split()]
BOTH = pytest.mark.parametrize("kind", ["float", "double"])


@pytest.fixture(scope="module")
def module():
    return emulator.load(SOURCE, NAMES)


def dtype(kind):
    return np.dtype({"float": "float32", "double": "float64"}[kind])


@BOTH
def test_a_template_computes_in_its_type(module, kind):
    x, y = np.linspace(0, 1, 1000, dtype=dtype(kind)), np.ones(1000, dtype(kind))
    module.launch(f"axpy<{kind}>", (4,), (256,), [x, y, dtype(kind).type(3), np.int32(999)])
    np.testing.assert_allclose(y[:999], 1 + 3 * x[:999], rtol=1e-6)
    assert y[999] == 1


def test_every_thread_of_a_3d_grid_knows_who_it_is(module):
    out = np.full((2, 3, 2, 3, 2, 4, 6), -1, np.int32)  # blocks z y x, threads z y x
    module.launch("whoami", (2, 3, 2), (4, 2, 3), [out])
    bz, by, bx, tz, ty, tx = np.indices(out.shape[:-1])
    np.testing.assert_array_equal(out, np.stack([tx, ty, tz, bx, by, bz], -1))


def test_static_shared_memory_and_a_barrier(module):
    x, y = np.arange(1024, dtype=np.float32), np.zeros(1024, np.float32)
    module.launch("reverse_static", (4,), (256,), [x, y])
    np.testing.assert_array_equal(y.reshape(4, 256), x.reshape(4, 256)[:, ::-1])


@BOTH
def test_dynamic_shared_memory(module, kind):
    x, y = np.arange(2048, dtype=dtype(kind)), np.zeros(2048, dtype(kind))
    module.launch(f"reverse_bytes<{kind}>", (2,), (1024,), [x, y], shared=1024 * x.itemsize)
    np.testing.assert_array_equal(y.reshape(2, 1024), x.reshape(2, 1024)[:, ::-1])


def test_all_dynamic_arrays_begin_at_the_same_address(module):
    out = np.zeros(32, np.int32)
    module.launch("two_names", (1,), (32,), [out], shared=4)
    assert (out == np.float32(1).view(np.int32)).all()


@BOTH
def test_barriers_in_a_loop(module, kind):
    x, out = np.arange(1536, dtype=dtype(kind)), np.zeros(3, dtype(kind))
    module.launch(f"tree_sum<{kind}>", (3,), (512,), [x, out])
    np.testing.assert_array_equal(out, x.reshape(3, 512).sum(1))


@pytest.mark.parametrize("true", [0, 1, 99, 100])
def test_barriers_that_count(module, true):
    p = (np.arange(100) < true).astype(np.int32)
    count, every, some = (np.zeros(100, np.int32) for _ in range(3))
    module.launch("barrier_votes", (1,), (100,), [p, count, every, some])
    assert (count == true).all() and (every == (true == 100)).all() and (some == (true > 0)).all()


def test_threads_may_return_before_a_barrier(module):
    x, y = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
    module.launch("early_return", (1,), (256,), [x, y, np.int32(77)])
    np.testing.assert_array_equal(y[:77], x[:77][::-1])
    assert not y[77:].any()


@pytest.mark.parametrize(
    "kind, type", [("int", "i4"), ("unsigned", "u4"), ("float", "f4"), ("double", "f8"), ("long long", "i8")]
)
@pytest.mark.parametrize("width", [32, 8])
def test_shuffles(module, kind, type, width):
    x = (np.arange(64) * 3 + 1).astype(type)
    idx, up, down, xored = (np.zeros_like(x) for _ in range(4))
    module.launch(f"shuffles<{kind}>", (1,), (64,), [x, idx, up, down, xored, np.int32(width)])
    lane, begin = np.arange(64) % width, np.arange(64) // width * width
    np.testing.assert_array_equal(idx, x[begin + 3])
    np.testing.assert_array_equal(up, x[begin + np.where(lane < 2, lane, lane - 2)])
    np.testing.assert_array_equal(down, x[begin + np.where(lane + 2 >= width, lane, lane + 2)])
    np.testing.assert_array_equal(xored, x[begin + (lane ^ 5)])


def test_half_warps_shuffle_apart(module):
    x, out = np.arange(64, dtype=np.int32) ** 2 % 37, np.zeros(64, np.int32)
    module.launch("half_warps", (1,), (64,), [x, out])
    halves = x.reshape(2, 2, 16)
    np.testing.assert_array_equal(out.reshape(2, 2, 16)[:, 0], np.repeat(halves[:, :1].sum(-1), 16, 1))
    np.testing.assert_array_equal(out.reshape(2, 2, 16)[:, 1], np.repeat(halves[:, 1:].max(-1), 16, 1))


def test_votes(module):
    p = np.array([i % 3 == 0 for i in range(32)] + [1] * 32 + [0] * 32, np.int32)
    ballot, some, every = np.zeros(96, np.uint32), np.zeros(96, np.int32), np.zeros(96, np.int32)
    module.launch("votes", (1,), (96,), [p, ballot, some, every])
    np.testing.assert_array_equal(ballot[::32], [sum(1 << i for i in range(0, 32, 3)), 0xFFFFFFFF, 0])
    np.testing.assert_array_equal(some[::32], [1, 1, 0])
    np.testing.assert_array_equal(every[::32], [0, 1, 0])


def test_activemask_is_who_is_there(module):
    out = np.zeros(64, np.uint32)
    module.launch("active", (1,), (64,), [out])
    assert (out.reshape(2, 32)[:, :5] == 31).all() and not out.reshape(2, 32)[:, 5:].any()


@pytest.mark.parametrize(
    "kind, type",
    [("int", "i4"), ("unsigned", "u4"), ("unsigned long long", "u8")],
)
def test_atomics(module, kind, type):
    x = (np.arange(300) * 7 % 101 + 1).astype(type)
    total, most, least = np.zeros(1, type), np.zeros(1, type), np.full(1, 1000, type)
    module.launch(f"atomics<{kind}>", (3,), (128,), [x, total, most, least, np.int32(300)])
    assert (total[0], most[0], least[0]) == (x.sum(), x.max(), x.min())


@BOTH
def test_atomic_sums(module, kind):
    x, total = (np.arange(300) * 7 % 101 + 1).astype(dtype(kind)), np.zeros(1, dtype(kind))
    module.launch(f"atomic_sum<{kind}>", (3,), (128,), [x, total, np.int32(300)])
    assert total[0] == x.sum()


def test_compare_and_swap_and_exchange(module):
    cas, last, old = np.zeros(1, np.int32), np.zeros(1, np.uint64), np.zeros(40, np.int32)
    module.launch("exchange", (1,), (40,), [cas, last, old])
    assert cas[0] == 80 and last[0] == 7
    np.testing.assert_array_equal(np.sort(old), np.arange(0, 80, 2))


def test_vector_loads(module):
    x, y = np.arange(400, dtype=np.float32), np.zeros(400, np.float32)
    module.launch("vectors", (2,), (64,), [x, y, np.int32(100)])
    rows = x.reshape(100, 4)
    expected = np.stack([rows[:, 0] + rows[:, 1], rows[:, 2] + rows[:, 3], np.full(100, 4), np.arange(100)], 1)
    np.testing.assert_array_equal(y.reshape(100, 4), expected)
    d, i, out = np.arange(8.0), np.arange(16, dtype=np.int32), np.zeros(4)
    module.launch("other_vectors", (1,), (4,), [d, i, out])
    np.testing.assert_array_equal(out, d[::2] * i[::4] + d[1::2] * i[3::4])


def test_constant_memory(module):
    module.get_global("coefficients", np.float32)[:] = [1, 2, 3, 4]
    x, y = np.linspace(-1, 1, 16, dtype=np.float32), np.zeros(16, np.float32)
    module.launch("polynomial", (1,), (16,), [x, y])
    np.testing.assert_allclose(y, np.polyval([4, 3, 2, 1], x), rtol=1e-6, atol=1e-6)
    with pytest.raises(KeyError, match="no __constant__ array 'nothing'"):
        module.get_global("nothing")


def test_mathematics(module):
    out, bits = np.zeros(12, np.float32), np.zeros(8, np.uint32)
    module.launch("mathematics", (1,), (1,), [out, bits])
    np.testing.assert_allclose(out, [0.5, np.e, 2, -1, 10, 8, 12, 1, 2, 2, 0.25, np.e], rtol=1e-6)
    high = (0xD2511F53 * 0xCD9E8D57) >> 32
    np.testing.assert_array_equal(bits, [high, 4, 31, 4, 0x80000000, 0x3F800000, 4, 5])


def test_a_struct_by_value_and_a_table_of_pointers(module):
    rows, out = np.arange(20, dtype=np.float32).reshape(2, 10), np.zeros(10, np.float32)
    tables = np.array([row.ctypes.data for row in rows], np.uint64)
    box = np.array((6, 0.5, out.ctypes.data), [("n", "i4"), ("scale", "f4"), ("out", "u8")])
    module.launch("by_value<8, float>", (1,), (32,), [box[()], tables])
    np.testing.assert_array_equal(out, np.where(np.arange(10) < 6, 4 + rows[1], 0))


@pytest.mark.parametrize(
    "kernel, words",
    [
        ("divergent", ["divergent barrier", "(0,0,0) waits at __syncthreads", "(16,0,0)"]),
        (
            "half_shuffle",
            ["16 threads", "__shfl_xor_sync with mask 0xffffffff", "16 threads (first (16,0,0)) wait at __sync"],
        ),
        ("not_in_mask", ["lane 16 is not in the mask"]),
        ("missing_lane", ["lane 12 reads lane 20, which does not exist"]),
        ("trapped", ["__trap()"]),
    ],
)
def test_what_would_hang_or_be_undefined_on_a_gpu_is_an_error(module, kernel, words):
    """And the module can be used again after it."""
    args = [] if kernel == "trapped" else [np.zeros(32, np.int32)]
    size = 20 if kernel == "missing_lane" else 32
    with pytest.raises(emulator.KernelError) as error:
        module.launch(kernel, (2,), (size,), args)
    for word in [*words, "semantics.cu:", kernel]:
        assert word in str(error.value)
    test_static_shared_memory_and_a_barrier(module)


def test_python_threads_may_launch_at_the_same_time(module):
    """One launch runs at a time, and each thread has shared memory of its own."""

    def work(i):
        x, y = np.full(512, i, np.float32), np.zeros(512, np.float32)
        for _ in range(20):
            module.launch("reverse_static", (2,), (256,), [x, y])
            module.launch("reverse_bytes<float>", (2,), (256,), [y, x], shared=1024)
        return (x == i).all() and (y == i).all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(8)))


def test_launches_repeat_bit_for_bit(module):
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    sums = []
    for _ in range(3):
        total = np.zeros(1, np.float32)
        module.launch("atomic_sum<float>", (8,), (128,), [x, total, np.int32(1000)])
        sums.append(total[0])
    assert len(set(sums)) == 1


SPIN = """extern "C" __global__ void spin(volatile int* lock) {
    __syncthreads();
    while (lock[0]) {}
    lock[1] = 5;
}
"""


@pytest.mark.parametrize(
    "run, interrupts",
    [("module.launch('spin', (4,), (8,), [lock])", 2), ("emulator.check('spin.cu', [launch], 60)", 1)],
)
def test_a_kernel_that_never_ends_ends_at_the_second_interrupt_or_where_it_is_checked_at_the_first(
    tmp_path, run, interrupts
):
    (tmp_path / "spin.cu").write_text(SPIN)
    (tmp_path / "spin.py").write_text(
        LISTEN + "import numpy as np\nfrom tinycnn import emulator\n"
        "module = emulator.load('spin.cu', ['spin'])\nlock = np.array([1, 0], np.int32)\n"
        "launch = emulator.Launch('spin', (4,), (8,), [lock])\nprint('go', flush=True)\n"
        f"try: {run}\nexcept KeyboardInterrupt: print('interrupted')\n"
        "lock[0] = 0\nmodule.launch('spin', (4,), (8,), [lock])\nprint(lock[1])\n"
        "print({report.kind for report in emulator.check('spin.cu', [launch])})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "spin.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "go\n", process.stderr.read()
        for _ in range(interrupts):
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert out == "interrupted\n5\n{'race'}\n", err


def test_hundreds_of_built_files_in_one_process(tmp_path):
    """A process may have 65,530 memory maps, and the stacks of 1,024 threads with a guard each take 2,050 of them."""
    (tmp_path / "many.cu").write_text(
        'extern "C" __global__ void many(int* y) {\n    __shared__ int tile[1024];\n'
        "    tile[threadIdx.x] = threadIdx.x;\n    __syncthreads();\n"
        "    y[threadIdx.x] = tile[1023 - threadIdx.x];\n}\n"
    )
    (tmp_path / "many.py").write_text(
        "import shutil\nfrom pathlib import Path\nimport numpy as np\n"
        "from tinycnn.emulator import build, module\n"
        "path = Path('many.cu').resolve()\nbuilt = build.build(path, ['many'])\n"
        "for i in range(300):\n"
        "    copy = Path(shutil.copy(built, f'many-{i}.so')).resolve()\n"
        "    y = np.zeros(1024, np.int32)\n"
        "    module.Module(path, copy, ['many']).launch('many', (1,), (1024,), [y])\n"
        "    assert (y == np.arange(1024)[::-1]).all()\n"
        "print(len(Path('/proc/self/maps').read_text().splitlines()) < 10_000)\n"
    )
    done = subprocess.run([sys.executable, "many.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr[-2000:]


def test_launches_of_different_files_may_run_at_the_same_time(tmp_path):
    """More of them than there are sets of stacks."""
    source = (
        'extern "C" __global__ void turn(int* y) {\n    __shared__ int tile[256];\n    for (int i = 0; i < 50; ++i) {\n'
        "        tile[threadIdx.x] = y[threadIdx.x];\n        __syncthreads();\n"
        "        y[threadIdx.x] = tile[(threadIdx.x + 1) % 256] + STEP;\n        __syncthreads();\n    }\n}\n"
    )
    (tmp_path / "turn.cu").write_text("#define STEP 1\n" + source)
    built = build.build(tmp_path / "turn.cu", ["turn"])
    copies = [Path(shutil.copy(built, tmp_path / f"turn-{i}.so")) for i in range(12)]
    modules = [emulator.Module(tmp_path / "turn.cu", copy, ["turn"]) for copy in copies]

    def work(one):
        y = np.arange(256, dtype=np.int32)
        for _ in range(5):
            one.launch("turn", (1,), (256,), [y])
        return (y == (np.arange(256) + 250) % 256 + 250).all()

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, modules))


def test_a_launch_waits_while_all_sets_of_stacks_are_in_use(module):
    """All of them together stay far below the 65,530 memory maps of a process."""
    x, y = np.ones(512, np.float32), np.zeros(512, np.float32)
    with ExitStack() as launches, ThreadPoolExecutor(1) as pool:
        sets = {launches.enter_context(module._stacks()) for _ in range(MOST_LAUNCHES)}
        assert len(sets) == MOST_LAUNCHES and MOST_LAUNCHES * 2050 < 65530 / 2
        one_more = pool.submit(module.launch, "reverse_static", (2,), (256,), [x, y])
        waiting = not wait([one_more], timeout=0.2).done
        launches.close()
        one_more.result(timeout=30)
    assert waiting and (y == 1).all()
