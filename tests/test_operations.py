"""Batches, optimisers, tensor arithmetic, and what holds for every operation, on every device."""

import math

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, normal, one_hot, padding_of
from oracles import counter, log_softmax, on, rng_of

from tinycnn.devices.base import Wanted

# ---------------------------------------------------------------- batches and counters


def test_gather_takes_the_rows_from_the_counter_on_in_order(device):
    rng = rng_of(18)
    images, labels = normal(rng, 23, 5, 3, 2), one_hot(rng.integers(0, 4, 23), 4)
    order = rng.permutation(23)
    dev_images, dev_labels = on(device, images, labels)
    dev_order, start = device.asarray(order, "int64"), counter(device)
    taken = 0
    for size in (7, 7, 1, 8):
        x, y = device.gather_batch(dev_images, dev_labels, dev_order, start, size)
        rows = order[taken : taken + size]
        assert np.array_equal(device.numpy(x), images[rows])
        assert np.array_equal(device.numpy(y), labels[rows])
        taken += size
        device.advance([(start, size)])


def test_a_counter_counts(device):
    step = counter(device, 2**33)
    device.advance([(step, 1)])
    device.advance([(step, 1)])
    assert device.numpy(step).tolist() == [2**33 + 2]


def test_up_to_three_counters_move_on_at_once(device):
    first, second, third = counter(device, 5), counter(device, 2**33), counter(device, 0)
    device.advance([(first, 128), (second, 1), (third, 2)])
    device.advance([(third, 1), (first, 3)])
    assert [device.numpy(c).tolist() for c in (first, second, third)] == [[136], [2**33 + 1], [3]]


def test_totals_sum_the_loss_by_image_and_the_hits(device):
    rng, totals, loss, hits = rng_of(19), device.zeros((2,), "float64"), 0.0, 0
    for size in (8, 2, 1):
        logits, labels = normal(rng, size, 5), rng.integers(0, 5, size)
        device.softmax_crossentropy(*on(device, logits, one_hot(labels, 5)), None, totals)
        loss -= log_softmax(logits)[np.arange(size), labels].sum()
        hits += (logits.argmax(axis=1) == labels).sum()
    assert device.numpy(totals).dtype == np.float64
    assert_close(device.numpy(totals)[:1].astype(device.dtype), [loss], 11)
    assert 0 < hits == device.numpy(totals)[1]


def test_totals_keep_float64_over_a_long_epoch(device):
    totals, arrays = device.zeros((2,), "float64"), on(device, [[0.3, 0.1]] * 3, [[1, 0]] * 3)
    value = float(device.numpy(device.softmax_crossentropy(*arrays)[0])[0])
    for _ in range(1000):
        device.softmax_crossentropy(*arrays, None, totals)
    np.testing.assert_allclose(device.numpy(totals), [3000 * value, 3000], rtol=1e-12)


def test_a_recorded_step_does_the_same_each_time(device):
    step, (x,) = counter(device), on(device, np.zeros(3))
    gradient, rate = on(device, np.ones(3), [0.5])

    def work():
        device.advance([(step, 1)])
        device.sgd_step([x], [gradient], [], rate, 0.0, False)

    recorded = device.record(work)
    before = int(device.numpy(step)[0])
    values = float(device.numpy(x)[0])
    recorded()
    device.assign(rate, np.array([0.25]))
    recorded()
    assert device.numpy(step).tolist() == [before + 2]
    assert device.numpy(x).tolist() == [values - 0.75] * 3


# ---------------------------------------------------------------- optimisers

SHAPES = [(3, 3, 1, 5), (5,), (1,), (45, 7), (7,)]


def optimise(device, update, slots, rates=(0.1, 0.1, 0.05, 0.05, 0.2)):
    """Five updates of several parameters on the device. Returns what the parameters and their state are then,
    and the gradients. update(device, p, g, state, rate, step)."""
    rng = rng_of(19)
    start = [normal(rng, *shape) for shape in SHAPES]
    gradients = [[normal(rng, *shape) for shape in SHAPES] for _ in rates]
    parameters = on(device, *start)
    state = [[device.zeros(shape) for shape in SHAPES] for _ in range(slots)]
    rate, step = device.zeros((1,)), counter(device)
    for now, gradient in zip(rates, gradients, strict=True):
        device.assign(rate, np.array([now]))
        device.advance([(step, 1)])
        update(device, parameters, on(device, *gradient), state, rate, step)
    return start, gradients, rates, [device.numpy(p) for p in parameters]


def check_optimiser(device, update, slots, oracle):
    start, gradients, rates, got = optimise(device, update, slots)
    for i, p in enumerate(start):
        want = oracle(p.copy(), [g[i] for g in gradients], rates)
        assert_close(got[i], want, 5)


def test_sgd(device):
    def update(device, p, g, state, rate, step):
        device.sgd_step(p, g, [], rate, 0.0, False)

    def oracle(p, gradients, rates):
        return p - sum(rate * g for rate, g in zip(rates, gradients, strict=True))

    check_optimiser(device, update, 0, oracle)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum(device, nesterov):
    def update(device, p, g, state, rate, step):
        device.sgd_step(p, g, state[0], rate, 0.9, nesterov)

    def oracle(p, gradients, rates):
        velocity = np.zeros_like(p)
        for rate, g in zip(rates, gradients, strict=True):
            velocity = 0.9 * velocity - rate * g
            p = p + 0.9 * velocity - rate * g if nesterov else p + velocity
        return p

    check_optimiser(device, update, 1, oracle)


def test_adam(device):
    def update(device, p, g, state, rate, step):
        device.adam_step(p, g, *state, rate, step, (0.9, 0.999), 1e-7)

    def oracle(p, gradients, rates):
        """From the sums that the running means stand for."""
        for t, rate in enumerate(rates, start=1):
            m = sum(0.1 * 0.9 ** (t - i) * gradients[i - 1] for i in range(1, t + 1))
            v = sum(0.001 * 0.999 ** (t - i) * gradients[i - 1] ** 2 for i in range(1, t + 1))
            p = p - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
        return p

    check_optimiser(device, update, 2, oracle)


def test_adam_stays_exact_where_the_gradient_is_tiny(device):
    """Epsilon is outside the root: with |g| = 1e-7 it makes up most of the denominator."""
    p, g, m, v, rate = on(device, [1.0], [1e-7], [0.0], [0.0], [1.0])
    device.adam_step([p], [g], [m], [v], rate, counter(device, 1), (0.9, 0.999), 1e-7)
    want = 1 - math.sqrt(0.001) / 0.1 * 1e-8 / (math.sqrt(0.001) * 1e-7 + 1e-7)
    assert_close(device.numpy(p), [want], 5)


def test_adadelta(device):
    def update(device, p, g, state, rate, step):
        device.adadelta_step(p, g, *state, rate, 0.95, 1e-7)

    def oracle(p, gradients, rates):
        square, delta = np.zeros_like(p), np.zeros_like(p)
        for rate, g in zip(rates, gradients, strict=True):
            square = 0.95 * square + 0.05 * g**2
            u = g * np.sqrt((delta + 1e-7) / (square + 1e-7))
            p = p - rate * u
            delta = 0.95 * delta + 0.05 * u**2
        return p

    check_optimiser(device, update, 2, oracle)


def test_rmsprop(device):
    def update(device, p, g, state, rate, step):
        device.rmsprop_step(p, g, state[0], rate, 0.9, 1e-7)

    def oracle(p, gradients, rates):
        """From the sums that the running mean stands for."""
        for t, rate in enumerate(rates, start=1):
            square = sum(0.1 * 0.9 ** (t - i) * gradients[i - 1] ** 2 for i in range(1, t + 1))
            p = p - rate * gradients[t - 1] / (np.sqrt(square) + 1e-7)
        return p

    check_optimiser(device, update, 1, oracle)


def test_rmsprop_adds_epsilon_to_the_root_and_not_below_it(device):
    p, g, a, rate = on(device, [1.0], [1e-6], [0.0], [1.0])
    device.rmsprop_step([p], [g], [a], rate, 0.9, 1e-6)
    assert_close(device.numpy(p), [1 - 1 / (math.sqrt(0.1) + 1)], 5)


# ---------------------------------------------------------------- arrays and tensor arithmetic

BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


@pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide", "power", "equal", "greater"])
@pytest.mark.parametrize(
    "a_shape, b_shape", [((2, 3), (2, 3)), ((2, 1, 4), (3, 1)), ((1,), (5, 7)), ((), (3,)), ((3, 2), ())], ids=str
)
def test_elementwise_arithmetic_broadcasts(device, operation, a_shape, b_shape):
    rng = rng_of(20)
    a, b = rng.integers(1, 5, a_shape) / 2.0, rng.integers(1, 5, b_shape) / 2.0
    lhs, rhs = np.broadcast_arrays(a, b)
    want = np.empty(lhs.shape)
    rule = {
        "add": lambda p, q: p + q,
        "subtract": lambda p, q: p - q,
        "multiply": lambda p, q: p * q,
        "divide": lambda p, q: p / q,
        "power": lambda p, q: p**q,
        "equal": lambda p, q: float(p == q),
        "greater": lambda p, q: float(p > q),
    }[operation]
    for place in np.ndindex(want.shape):
        want[place] = rule(float(lhs[place]), float(rhs[place]))
    got = device.numpy(device.elementwise(operation, *on(device, a, b)))
    assert got.dtype == device.dtype
    assert_close(got, want)


@pytest.mark.parametrize("operation", ["negative", "exp", "log", "sqrt"])
def test_elementwise_functions(device, operation):
    x = np.array([[0.25, 1.0, 2.0], [3.0, 0.5, 7.0]])
    want = [
        [{"negative": lambda v: -v, "exp": math.exp, "log": math.log, "sqrt": math.sqrt}[operation](v) for v in row]
        for row in x
    ]
    assert_close(device.numpy(device.elementwise(operation, *on(device, x))), want)


def test_elementwise_takes_python_numbers_and_keeps_the_precision(device):
    (x,) = on(device, [1.0, 2.0])
    for got in (device.elementwise("multiply", x, 0.1), device.elementwise("subtract", 0.1, x)):
        assert device.numpy(got).dtype == device.dtype
    assert_close(device.numpy(device.elementwise("subtract", 0.5, x)), [-0.5, -1.5])


@pytest.mark.parametrize("operation", ["sum", "max"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(device, operation, axis, keepdims):
    x = normal(rng_of(21), 3, 5, 4)
    axes = {a % 3 for a in ((0, 1, 2) if axis is None else axis if isinstance(axis, tuple) else (axis,))}
    kept = np.zeros([1 if i in axes else n for i, n in enumerate(x.shape)])
    kept -= np.inf if operation == "max" else 0
    for place in np.ndindex(x.shape):
        to = tuple(0 if i in axes else p for i, p in enumerate(place))
        kept[to] = max(kept[to], x[place]) if operation == "max" else kept[to] + x[place]
    want = kept if keepdims else kept.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    assert_close(device.numpy(device.reduce(operation, *on(device, x), axis=axis, keepdims=keepdims)), want, 60)


def test_matrix_product_and_transposition(device):
    rng = rng_of(22)
    a, b, c = normal(rng, 3, 5), normal(rng, 5, 7), normal(rng, 2, 3, 4, 5)
    dev_a, dev_b, dev_c = on(device, a, b, c)
    assert_close(device.numpy(device.matmul(dev_a, dev_b)), np.einsum("ij,jk->ik", a, b), 5)
    moved = device.numpy(device.transpose(dev_c, (2, 0, 3, 1)))
    assert moved.flags.c_contiguous
    assert np.array_equal(moved, np.einsum("abcd->cadb", c))


def test_arrays_come_and_go_unchanged(device):
    x = normal(rng_of(23), 3, 4)
    (held,) = on(device, x)
    assert held.shape == (3, 4) and held.size == 12 and device.numpy(held).dtype == device.dtype
    assert np.array_equal(device.numpy(held), x)
    assert np.array_equal(device.numpy(held.reshape((2, 6))), x.reshape(2, 6))
    assert np.array_equal(device.numpy(device.copy(held[1:, ::2])), x[1:, ::2])
    copy = device.copy(held)
    device.assign(held, np.zeros((3, 4)))
    assert np.array_equal(device.numpy(copy), x)
    device.assign(held, copy)
    assert np.array_equal(device.numpy(held), x)
    assert device.numpy(device.zeros((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert device.empty((2, 3)).shape == (2, 3)


# ---------------------------------------------------------------- what holds for every operation


def passes(device, scale=1.0):
    """{operation: the list of arrays it returns}, from fixed inputs; `scale` multiplies every upstream gradient."""
    rng = rng_of(24)
    x, w, b = normal(rng, 5, 9, 8, 3), normal(rng, 4, 3, 3, 6), normal(rng, 6)
    stride, padding = (2, 1), padding_of("same", x.shape, (4, 3), (2, 1))
    dy = normal(rng, 5, 5, 8, 6) * scale
    dev_x, dev_w, dev_b, dev_dy = on(device, x, w, b, dy)
    y = device.conv2d_forward(dev_x, dev_w, dev_b, stride, padding, True)
    wanted = Wanted(True, True, True)
    through = [device.whole(g) for g in device.conv2d_backward(dev_dy, y, dev_x, dev_w, stride, padding, wanted)]
    done = {
        "conv2d": ([y], [*through, device.conv2d_backward_data(dev_dy, dev_w, x.shape, stride, padding),
                         device.conv2d_backward_filter(dev_x, dev_dy, w.shape, stride, padding)]),
    }  # fmt: skip
    w1, dy1 = on(device, normal(rng, 1, 1, 3, 6), normal(rng, 5, 9, 8, 6) * scale)
    done["conv1x1"] = (
        [device.conv1x1_forward(dev_x, w1, dev_b, False)],
        [device.conv1x1_backward_data(dy1, w1), device.conv1x1_backward_filter(dev_x, dy1)],
    )
    flat, wd, dyd = on(device, normal(rng, 67, 31), normal(rng, 31, 6), normal(rng, 67, 6) * scale)
    logits = device.dense_forward(flat, wd, dev_b, False)
    done["dense"] = [logits], [device.dense_backward_data(dyd, wd), device.dense_backward_filter(flat, dyd)]
    pooled, argmax = device.maxpool2d_forward(dev_x, (3, 2), (2, 1), ((1, 0), (0, 1)))
    (dyp,) = on(device, normal(rng, *pooled.shape) * scale)
    done["maxpool2d"] = [pooled], [device.maxpool2d_backward(dyp, argmax, x.shape, (3, 2), (2, 1), ((1, 0), (0, 1)))]
    done["avgpool2d"] = (
        [device.avgpool2d_forward(dev_x, (3, 2), (2, 1), ((1, 0), (0, 1)))],
        [device.avgpool2d_backward(dyp, x.shape, (3, 2), (2, 1), ((1, 0), (0, 1)))],
    )
    (dyg,), best = on(device, normal(rng, 5, 3) * scale), device.globalmaxpool2d_forward(dev_x)
    done["globalpool2d"] = (
        [device.globalavgpool2d_forward(dev_x), best],
        [device.globalavgpool2d_backward(dyg, x.shape), device.globalmaxpool2d_backward(dyg, dev_x, best)],
    )
    gamma, beta, mean, variance, dyn = on(
        device, normal(rng, 3), normal(rng, 3), np.zeros(3), np.ones(3), normal(rng, *x.shape) * scale
    )
    normed, saved = device.batchnorm_forward(dev_x, gamma, beta, mean, variance, 0.9, 1e-3)
    done["batchnorm"] = [normed, mean, variance], list(device.batchnorm_backward(dyn, dev_x, gamma, saved))
    dropped, mask = device.dropout_forward(dev_x, 0.3, 5, 6, counter(device, 7))
    done["dropout"] = [dropped], [device.dropout_backward(dyn, 0.3, 5, 6, mask)]
    rectified = device.relu_forward(dev_x)
    done["relu"] = [rectified], [device.relu_backward(dyn, rectified)]
    for name in ("tanh", "sigmoid", "elu", "leaky_relu", "softplus"):
        activated = device.activation_forward(name, dev_x, 0.3)
        done[name] = [activated], [device.activation_backward(name, dyn, activated, 0.3)]
    padded = device.zeropad2d_forward(dev_x, ((1, 0), (2, 1)))
    done["zeropad2d"] = (
        [padded],
        [device.zeropad2d_backward(device.zeropad2d_forward(dyn, ((1, 0), (2, 1))), ((1, 0), (2, 1)))],
    )
    enlarged = device.upsample2d_forward(dev_x, (2, 1))
    done["upsample2d"] = [enlarged], [device.upsample2d_backward(device.upsample2d_forward(dyn, (2, 1)), (2, 1))]
    penalised = device.copy(dev_w)
    done["regularize"] = [device.regularize(dev_w, penalised, 0.1, 0.2), penalised], []
    p = device.softmax_forward(logits)
    done["softmax"] = [p], [device.softmax_backward(dyd, p)]
    (labels,) = on(device, one_hot(np.arange(67) % 6, 6))
    done["softmax_crossentropy"] = list(device.softmax_crossentropy(logits, labels)), []
    done["add"] = [device.add([dev_x, normed, rectified])], []
    done["concatenate"] = [device.concatenate([dev_x, normed])], device.split(dyn, [1, 2])
    return done


def test_results_are_identical_from_run_to_run(device):
    first, second = passes(device), passes(device)
    for name in first:
        for one, other in zip(sum(first[name], []), sum(second[name], []), strict=True):
            assert_same_bits(device.numpy(one), device.numpy(other))


def test_results_stay_as_they_are_while_others_are_computed(device):
    first = passes(device)
    kept = {name: [device.numpy(a).copy() for a in sum(arrays, [])] for name, arrays in first.items()}
    for scale in (2.0, 3.0):
        passes(device, scale)
    for name, arrays in first.items():
        for array, copy in zip(sum(arrays, []), kept[name], strict=True):
            assert_same_bits(device.numpy(array), copy)


def test_a_zero_upstream_gives_exactly_zero_gradients(device):
    for name, (_, backward) in passes(device, scale=0.0).items():
        for gradient in backward:
            assert not np.any(device.numpy(gradient)), name


def test_operations_leave_their_inputs_alone(device):
    rng = rng_of(25)
    x, w, b = on(device, normal(rng, 3, 7, 6, 4), normal(rng, 3, 3, 4, 5), normal(rng, 5))
    padding = ((1, 1), (1, 1))
    dy, flat, wd, dyd = on(device, normal(rng, 3, 7, 6, 5), normal(rng, 9, 7), normal(rng, 7, 5), normal(rng, 9, 5))
    gamma, beta, mean, variance = on(device, normal(rng, 4), normal(rng, 4), np.zeros(4), np.ones(4))
    watched = [x, w, b, dy, flat, wd, dyd, gamma, beta]
    before = [device.numpy(a).copy() for a in watched]
    y = device.conv2d_forward(x, w, b, (1, 1), padding, True)
    kept = device.numpy(y).copy()
    device.conv2d_backward(dy, y, x, w, (1, 1), padding, Wanted(True, True, True))
    device.conv2d_backward_data(dy, w, x.shape, (1, 1), padding)
    device.conv2d_backward_filter(x, dy, w.shape, (1, 1), padding)
    pooled, argmax = device.maxpool2d_forward(x, (2, 2), (1, 1), ((0, 1), (0, 1)))
    device.maxpool2d_backward(pooled, argmax, x.shape, (2, 2), (1, 1), ((0, 1), (0, 1)))
    _, saved = device.batchnorm_forward(x, gamma, beta, mean, variance, 0.9, 1e-3)
    device.batchnorm_backward(x, x, gamma, saved)
    device.batchnorm_inference(x, gamma, beta, mean, variance, 1e-3)
    _, mask = device.dropout_forward(x, 0.5, 1, 2, counter(device))
    device.dropout_backward(x, 0.5, 1, 2, mask)
    device.relu_backward(x, device.relu_forward(x))
    logits = device.dense_forward(flat, wd, b, False)
    device.dense_backward_data(dyd, wd)
    device.dense_backward_filter(flat, dyd)
    device.softmax_backward(dyd, device.softmax_forward(logits))
    device.softmax_crossentropy(logits, on(device, one_hot(np.arange(9) % 5, 5))[0])
    device.concatenate([x, x])
    device.split(x, [1, 3])
    for array, copy in zip([*watched, y], [*before, kept], strict=True):
        assert_same_bits(device.numpy(array), copy)


@pytest.mark.slow_on("emulator-float64")
def test_more_images_than_a_grid_has_rows(device):
    """A grid's second axis ends at 65,535: blocks take several images."""
    N = 65_539
    x = rng_of(26).permutation(4 * N).reshape(N, 2, 2, 1).astype(np.float64)
    labels, order = np.arange(N, dtype=np.float64)[:, None], np.arange(N)[::-1].copy()
    dev_x, dev_labels = on(device, x, labels)
    start, order = counter(device), device.asarray(order, "int64")
    images, chosen = device.gather_batch(dev_x, dev_labels, order, start, N)
    assert np.array_equal(device.numpy(images), x[::-1]) and np.array_equal(device.numpy(chosen), labels[::-1])
    y, argmax = device.maxpool2d_forward(dev_x, (2, 2), (2, 2), ((0, 0), (0, 0)))
    assert np.array_equal(device.numpy(y).ravel(), x.reshape(N, 4).max(axis=1))
    dx = device.maxpool2d_backward(y, argmax, x.shape, (2, 2), (2, 2), ((0, 0), (0, 0)))
    assert np.array_equal(device.numpy(dx), np.where(x == x.max(axis=(1, 2, 3), keepdims=True), x, 0))
    mean = device.avgpool2d_forward(dev_x, (2, 2), (2, 2), ((0, 0), (0, 0)))
    assert_close(device.numpy(mean).ravel(), x.reshape(N, 4).mean(axis=1), 4)
    assert np.array_equal(device.numpy(device.globalmaxpool2d_forward(dev_x)), x.max(axis=(1, 2)))


def test_nan_in_the_input_is_not_hidden(device):
    """A network that has diverged must show it: no kernel turns NaN into a number."""
    x = np.ones((1, 4, 4, 2))
    x[0, 1, 1, 0] = np.nan
    (dev_x,) = on(device, x)
    w, b = on(device, np.ones((3, 3, 2, 3)), np.zeros(3))
    for relu in (False, True):
        assert np.isnan(device.numpy(device.conv2d_forward(dev_x, w, b, (1, 1), ((0, 0), (0, 0)), relu))).all()
    assert np.isnan(device.numpy(device.relu_forward(dev_x))).sum() == 1
    assert np.isnan(device.numpy(device.softmax_forward(*on(device, [[1.0, np.nan, 2.0]])))).all()
    loss, _, _ = device.softmax_crossentropy(*on(device, [[1.0, np.nan, 2.0]], [[1.0, 0, 0]]))
    assert np.isnan(device.numpy(loss)).all()
