"""Random numbers: the published known answers, and what is made of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycnn import philox

# Random123's kat_vectors for philox4x32-10: counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("counter, key, result", KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, result):
    got = philox.philox4x32(words(counter), words(key))
    assert [int(word) for word in got] == words(result)
    assert all(word.dtype == np.uint32 for word in got)


@pytest.mark.parametrize("counter, key, result", KNOWN_ANSWERS)
def test_an_element_is_a_word_of_the_block_that_its_number_its_stream_and_its_step_count(counter, key, result):
    block, stream, step_low, step_high = words(counter)
    seed = words(key)[0] | words(key)[1] << 32
    got = philox.random_bits(4, seed, stream, step_low | step_high << 32, start=4 * block)
    assert got.dtype == np.uint32 and got.tolist() == words(result)


def test_philox_takes_arrays_of_counters():
    many = philox.philox4x32(
        [np.array([0, 0x243F6A88]), np.array([0, 0x85A308D3]), np.array([0, 0x13198A2E]), np.array([0, 0x03707344])],
        (0, 0),
    )
    for word, known in zip(many, words(KNOWN_ANSWERS[0][2]), strict=True):
        assert int(word[0]) == known and int(word[1]) != known


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_a_slice_of_a_stream_is_the_stream_from_there(start, n, seed, step):
    whole = philox.random_bits(start + n, seed, 3, step)
    part = philox.random_bits(n, seed, 3, step, start=start)
    assert whole.shape == (start + n,) and part.shape == (n,)
    assert np.array_equal(part, whole[start:])


def test_every_part_of_the_address_changes_the_numbers():
    base = {"seed": 5, "stream": 6, "step": 7}
    first = philox.random_bits(16, **base)
    assert np.array_equal(first, philox.random_bits(16, **base))
    for change in ({"seed": 6}, {"seed": 5 + 2**32}, {"stream": 7}, {"step": 8}, {"step": 7 + 2**32}):
        assert not np.any(first == philox.random_bits(16, **{**base, **change}))


def test_streams_of_different_kinds_never_meet():
    kinds = (philox.WEIGHTS, philox.DROPOUT, philox.SHUFFLE, philox.SYNTHETIC, philox.AUGMENTATION, philox.DRAWS)
    streams = {philox.stream_id(kind, index) for kind in kinds for index in (0, 1, 2**24 - 1)}
    assert len(streams) == 3 * len(kinds) and max(streams) < 2**32


def test_uniform_numbers_fill_the_half_open_interval_evenly():
    n = 100_000
    u = philox.uniform(n, seed=1, stream=2)
    assert u.shape == (n,) and u.dtype == np.float64
    assert u.min() >= 0 and u.max() < 1
    assert np.array_equal(u, u.astype(np.float32))  # 24 bits: float32 keeps them all, and none becomes 1
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12 / n)
    counts = np.histogram(u, bins=50, range=(0, 1))[0]
    chi_square = ((counts - n / 50) ** 2 / (n / 50)).sum()
    assert chi_square < 49 + 6 * math.sqrt(2 * 49)


def test_normal_numbers_have_the_moments_of_the_normal_distribution():
    n = 100_001
    z = philox.normal(n, seed=1, stream=2)
    assert z.shape == (n,) and np.isfinite(z).all()
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * math.sqrt(spread / n)
    assert abs(np.corrcoef(z[0:-1:2], z[1::2])[0, 1]) < 5 / math.sqrt(n / 2)


@given(st.integers(0, 300), st.integers(0, 2**64 - 1))
def test_a_permutation_is_one(n, seed):
    order = philox.permutation(n, seed, 1)
    assert order.dtype == np.int64 and sorted(order.tolist()) == list(range(n))


def test_permutations_differ_from_step_to_step_and_put_everything_everywhere():
    orders = np.stack([philox.permutation(10, 1, 2, step) for step in range(2000)])
    assert not np.array_equal(orders[0], orders[1])
    counts = np.stack([np.bincount(column, minlength=10) for column in orders.T])
    assert np.abs(counts - 200).max() < 6 * math.sqrt(2000 * 0.1 * 0.9)
