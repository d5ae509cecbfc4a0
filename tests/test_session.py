"""The session: the seed, and the numbers of layers, from whatever thread they are asked for."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinycnn
from tinycnn import session


@pytest.fixture(autouse=True)
def numbered_from_one():
    session.clear_session()
    session.set_random_seed(0)
    yield
    session.clear_session()
    session.set_random_seed(0)


@pytest.mark.parametrize("seed", [np.int64(3), np.uint64(2**64 - 1), np.array(3), 0])
def test_whole_numbers_of_numpy_are_seeds(seed):
    tinycnn.set_random_seed(seed)
    assert session.seed() == int(seed) and type(session.seed()) is int


@pytest.mark.parametrize("seed", [-1, 2**64, np.int64(-1), 3.0, np.float32(3), "3", None])
def test_other_seeds_are_refused_and_change_nothing(seed):
    tinycnn.set_random_seed(7)
    with pytest.raises(ValueError, match=r"a seed is a whole number in \[0, 2\*\*64\)"):
        tinycnn.set_random_seed(seed)
    assert session.seed() == 7


@pytest.fixture
def restless_threads():
    """Threads that take turns between any two lines of the session."""
    before = sys.getswitchinterval()

    def between_lines(frame, event, argument):
        return between_lines if frame.f_code.co_filename == session.__file__ else None

    sys.setswitchinterval(1e-6)
    threading.settrace(between_lines)
    with ThreadPoolExecutor(8) as pool:
        yield pool
    threading.settrace(None)
    sys.setswitchinterval(before)


def test_threads_never_get_one_number_twice(restless_threads):
    together = threading.Barrier(8)

    def draw(_):
        together.wait()
        return [(session.next_stream(), session.next_name("conv2d")) for _ in range(1000)]

    streams, names = zip(*sum(restless_threads.map(draw, range(8)), []), strict=True)
    assert sorted(streams) == list(range(8000))
    assert sorted(names) == sorted(f"conv2d_{i}" for i in range(1, 8001))


def test_networks_without_weights_are_the_affair_of_the_thread_that_makes_them(restless_threads):
    with session.without_initial_weights():
        assert not session.draws_weights()
        assert restless_threads.submit(session.draws_weights).result()
    assert session.draws_weights()
