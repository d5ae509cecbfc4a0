"""The autograd engine: what a tensor remembers, and what backward does with it."""

import gc

import numpy as np
import pytest
from helpers import assert_close, check_gradients, normal, spaced

import tinycnn
from tinycnn import Tensor
from tinycnn.arithmetic import matmul
from tinycnn.tensor import Function, output_of


def rng_of(*seed):
    return np.random.default_rng(seed)


def positive(rng, *shape):
    return 0.5 + np.abs(normal(rng, *shape))


def leaf(values):
    return Tensor(np.asarray(values, dtype=np.float64), requires_grad=True)


def test_a_tensor_of_one_number_is_true_where_it_is_not_0(device):
    assert not Tensor([0.0]) and Tensor([[-0.5]]) and bool(Tensor(3.0) < 4.0) and not Tensor(5.0) < 4.0
    with pytest.raises(ValueError, match=r"shape \(2,\) is neither true nor false"):
        bool(Tensor([1.0, 1.0]))


def test_a_function_s_object_may_be_called_again_before_the_way_back(device):
    class Square(Function):
        def forward(self, x):
            self.x = x
            return self.device.elementwise("multiply", x, x)

        def backward(self, dy):
            return self.device.elementwise("multiply", self.device.elementwise("multiply", dy, 2.0), self.x)

    square, a, b = Square(), Tensor(3.0, requires_grad=True), Tensor(5.0, requires_grad=True)
    (square(a) + square(b)).backward()
    assert (a.grad.item(), b.grad.item()) == (6, 10)


# ---------------------------------------------------------------- arithmetic

BROADCASTS = [
    ((3, 4), (3, 4)),
    ((2, 3, 4), (4,)),
    ((2, 1, 4), (3, 1)),
    ((1,), (3, 2)),
    ((), (2, 3)),
    ((5,), ()),
    ((), ()),
]
OPERATORS = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a ** b": lambda a, b: a**b,
}


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_binary_operators_broadcast_and_so_do_their_gradients(device, operator, shapes):
    rng = rng_of(1)
    a, b = positive(rng, *shapes[0]), positive(rng, *shapes[1])
    function = OPERATORS[operator]
    got = function(Tensor(a), Tensor(b))
    want = function(a, b)
    assert got.shape == want.shape
    assert_close(got.numpy(), want)
    check_gradients(function, a, b, device=device)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: 2 - a,
        lambda a: 2.5 / a,
        lambda a: 3 * a + 1,
        lambda a: a - 1.5,
        lambda a: a**3,
        lambda a: a**-1,
        lambda a: 2**a,
        lambda a: -a,
        lambda a: a.exp(),
        lambda a: a.log(),
        lambda a: a.sqrt(),
        lambda a: np.array([1.0, 2.0, -3.0]) * a,
        lambda a: np.array([[1.0], [2.0]]) - a[0],
        lambda a: a / [1.0, 2.0, 4.0],
        lambda a: np.float64(2.0) * a,
        lambda a: np.float32(2.0) / a,
    ],
    ids=[
        "2-a",
        "2.5/a",
        "3a+1",
        "a-1.5",
        "a^3",
        "1/a",
        "2^a",
        "-a",
        "exp",
        "log",
        "sqrt",
        "array*a",
        "array-a[0]",
        "a/list",
        "float64*a",
        "float32/a",
    ],
)
def test_numbers_arrays_and_functions_of_one_tensor(device, function):
    check_gradients(function, positive(rng_of(2), 2, 3), device=device)


def test_powers_of_negative_numbers_and_zero_have_their_gradients(device):
    x = leaf([-2.0, 0.0, 3.0])
    (x**2).backward(np.ones(3))
    assert_close(x.grad.numpy(), [-4.0, 0.0, 6.0])
    x.zero_grad()
    (x**1).backward(np.ones(3))
    assert_close(x.grad.numpy(), [1.0, 1.0, 1.0])


def test_matrix_products(device):
    rng = rng_of(3)
    a, b = normal(rng, 3, 5), normal(rng, 5, 2)
    assert_close((Tensor(a) @ Tensor(b)).numpy(), np.einsum("ij,jk->ik", a, b), 5)
    check_gradients(lambda p, q: p @ q, a, b, device=device)
    assert_close((a @ Tensor(b)).numpy(), np.einsum("ij,jk->ik", a, b), 5)


def test_an_array_times_a_tensor_is_a_tensor(device):
    a, t = np.array([1.0, 2.0, 3.0]), leaf([4.0, 5.0, 6.0])
    for product in (a * t, t * a):
        assert isinstance(product, Tensor) and product.shape == (3,)
        assert product.numpy().tolist() == [4, 10, 18]
    (a * t).backward(np.array([1.0, 0.5, 2.0]))
    assert t.grad.numpy().tolist() == [1, 1, 6]


# ---------------------------------------------------------------- reductions and shapes


@pytest.mark.parametrize("axis", [None, 0, 2, -2, (0, 2), (-1, 0), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_reductions(device, name, axis, keepdims):
    x = spaced(rng_of(4), 2, 3, 4)

    def function(t):
        return getattr(t, name)(axis, keepdims)

    assert_close(function(Tensor(x)).numpy(), getattr(np, name)(x, axis=axis, keepdims=keepdims), 24)
    check_gradients(function, x, device=device)


def test_equal_maxima_share_the_gradient_equally(device):
    x = leaf([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    x.max(axis=1).backward(np.array([1.0, 6.0]))
    assert x.grad.numpy().tolist() == [[0, 0.5, 0.5], [2, 2, 2]]
    y = leaf([5.0, 1.0, 5.0])
    y.max().backward()
    assert y.grad.numpy().tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize(
    "function",
    [
        lambda t: t.reshape(6, 4),
        lambda t: t.reshape((4, -1)),
        lambda t: t.reshape(-1),
        lambda t: t.T,
        lambda t: t.transpose(),
        lambda t: t.transpose(1, 0, 2),
        lambda t: t.transpose(2, 0, 1),
        lambda t: t[1],
        lambda t: t[-1, 2],
        lambda t: t[1, 2, 3],
        lambda t: t[:, 1],
        lambda t: t[..., 0],
        lambda t: t[..., 1:3],
        lambda t: t[:, ::-1],
        lambda t: t[::-1, 2:0:-1, ::2],
        lambda t: t[:, 1:] * t[:, :-1],
        lambda t: t.transpose(2, 0, 1).reshape(4, 6)[1:] * t[0, 0, 0],
    ],
)
def test_shapes_and_slices(device, function):
    x = normal(rng_of(5), 2, 3, 4)
    if "transpose" not in function.__code__.co_names:  # NumPy spells the axes in another way
        assert_close(function(Tensor(x)).numpy(), function(x), factor=1)
    check_gradients(function, x, device=device)


def test_a_slice_is_a_copy(device):
    x = Tensor(np.zeros((3, 2)))
    part = x[1:]
    device.assign(x.data, np.ones((3, 2)))
    assert not part.numpy().any()


def test_a_tensor_without_axes_is_still_an_array(device):
    x = leaf([1.0, 2.0, 3.0])
    for scalar in (x[1], x[1] * 2, x.sum(), x.sum() + 1.0, -x[0], (x[0] + x[1]).reshape(1)[0]):
        assert isinstance(scalar.numpy(), np.ndarray)
        assert scalar.shape == () and scalar.ndim == 0 and scalar.size == 1
        assert scalar.numpy().dtype == device.dtype


# ---------------------------------------------------------------- the graph


def test_gradients_add_up_over_passes_until_they_are_zeroed(device):
    x = leaf([1.0, 2.0])
    (x * x).backward(np.array([1.0, 1.0]))
    (x * 3.0).backward(np.array([1.0, 2.0]))
    assert x.grad.numpy().tolist() == [2 + 3, 4 + 6]
    x.zero_grad()
    assert x.grad is None
    (x * 3.0).backward(np.array([1.0, 2.0]))
    assert x.grad.numpy().tolist() == [3, 6]


def test_a_gradient_once_read_does_not_change_when_another_is_added(device):
    x = leaf([1.0, 2.0])
    (x * 2.0).backward(np.ones(2))
    first = x.grad
    (x * 2.0).backward(np.ones(2))
    assert first.numpy().tolist() == [2, 2]
    assert x.grad.numpy().tolist() == [4, 4]


def test_a_tensor_that_is_used_twice_gets_both_gradients(device):
    check_gradients(lambda t: t * t + t, normal(rng_of(6), 3, 2), device=device)
    check_gradients(lambda t: t + t, normal(rng_of(6), 3, 2), device=device)
    check_gradients(lambda t: t @ t, normal(rng_of(6), 3, 3), device=device)


def test_the_caller_s_upstream_is_left_alone(device):
    x, upstream = leaf([1.0, 2.0]), np.array([1.0, -1.0], dtype=device.dtype)
    y = x + x
    (y + y).backward(upstream)
    assert upstream.tolist() == [1, -1]
    assert x.grad.numpy().tolist() == [4, -4]


def test_diamonds(device):
    def diamond(t):
        top = t.exp()
        left, right = top * 2.0, top.sqrt()
        return left * right + top

    check_gradients(diamond, normal(rng_of(7), 4), device=device)

    def lopsided(t):  # one arm is much longer than the other, and the short one comes second
        arm = t * 1.0
        for _ in range(5):
            arm = arm * t
        return arm + t * 1.0

    check_gradients(lopsided, positive(rng_of(8), 3), device=device)


def test_each_function_runs_backward_once_with_the_whole_gradient(device):
    runs = []

    def backward(dy):
        runs.append(device.numpy(dy).tolist())
        return (dy,)

    x = leaf([1.0])
    y = output_of("watched", (x,), device.copy(x.data), backward)
    z = y
    for _ in range(10):
        z = z + z  # 2^10 paths
    z.backward()
    assert runs == [[1024.0]]
    assert x.grad.numpy().tolist() == [1024]


def test_no_gradient_goes_to_tensors_that_did_not_ask(device):
    x, constant = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    (x * constant).backward(np.ones(2))
    assert constant.grad is None
    assert x.grad.numpy().tolist() == [3, 4]


def test_only_leaves_keep_a_gradient(device):
    x = leaf([2.0])
    y = x * x
    (y * 3.0).backward()
    assert y.grad is None and x.grad.numpy().tolist() == [12]


def test_no_grad_remembers_nothing_and_ends_with_its_block(device):
    x = leaf([1.0, 2.0])
    with tinycnn.no_grad():
        y = x * x
        with tinycnn.no_grad():
            pass
        z = x * x
    assert not y.requires_grad and y.creator is None and z.creator is None
    with pytest.raises(RuntimeError, match="no gradient flows"):
        y.sum().backward()
    with pytest.raises(ZeroDivisionError):
        with tinycnn.no_grad():
            1 / 0  # noqa: B018
    assert (x * x).requires_grad


def test_detach_leaves_the_graph(device):
    x = leaf([3.0])
    y = x * x
    (y.detach() * x).backward()
    assert x.grad.numpy().tolist() == [9]


def test_backward_on_a_leaf_is_its_upstream(device):
    x = leaf([[1.0, 2.0]])
    x.backward(np.array([[5.0, 6.0]]))
    x.backward(np.array([[1.0, 1.0]]))
    assert x.grad.numpy().tolist() == [[6, 7]]


def test_backward_without_a_graph_says_so(device):
    with pytest.raises(RuntimeError, match="requires_grad"):
        Tensor(np.ones(1)).backward()
    with pytest.raises(RuntimeError, match="requires_grad"):
        (Tensor(np.ones(1)) * 2.0).backward()


def test_an_upstream_of_another_shape_is_refused_with_both_shapes(device):
    y = leaf(np.ones((2, 3))) * 2.0
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        y.backward(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 3\)"):
        y.backward(np.ones(3))  # it would broadcast, and still is not the gradient of this tensor
    with pytest.raises(ValueError, match=r"\(2, 3\) needs an upstream"):
        y.backward()
    y.backward(np.ones((2, 3)))  # the refusals did not free the graph


def test_the_upstream_may_be_left_out_for_one_element(device):
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * x).backward()
        assert x.grad.numpy().ravel().tolist() == [6]


def test_backward_twice_is_an_error_that_names_the_remedy(device):
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="freed.*retain_graph=True"):
        y.backward()
    assert x.grad.numpy().tolist() == [2, 4]


def test_backward_through_a_part_that_was_freed_is_an_error_and_changes_nothing(device):
    x, w = leaf([1.0, 2.0]), leaf([5.0, 5.0])
    shared = x * x
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="multiply.*freed"):
        (shared * w).sum().backward()
    assert w.grad is None
    assert x.grad.numpy().tolist() == [2, 4]


def test_retain_graph_lets_backward_run_again_and_adds_up(device):
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.numpy().tolist() == [6, 12]
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_the_graph_lets_go_of_its_arrays_after_backward(device):
    x = leaf(np.ones(4))
    y = x.exp() * 2.0
    z = y.sum()
    function = y.creator
    z.backward()
    assert function.inputs is None and function.backward is None


def test_a_chain_of_5000_functions_needs_no_deep_stack(float64):
    x = leaf([1.0])
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.backward()
    assert y.item() == 5001
    assert x.grad.item() == 1
    deep = x
    for _ in range(50_000):
        deep = deep + 1.0
    del deep  # letting go of a deep graph is no recursion either
    gc.collect()


# ---------------------------------------------------------------- tensors and their surroundings


def test_tensors_are_of_the_device_s_precision(device):
    for values in (
        [1, 2],
        np.arange(3, dtype=np.int64),
        np.ones(2, np.float64),
        np.ones(2, np.float32),
        np.ones(2, bool),
        3.5,
    ):
        t = Tensor(values)
        assert t.numpy().dtype == device.dtype
        assert t.device is device
        assert t.shape == np.shape(values)
        assert np.array_equal(t.numpy(), values)


def test_a_tensor_is_a_numpy_array_where_one_is_wanted(device):
    t = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert np.array_equal(np.asarray(t), [[1, 2], [3, 4]])
    assert np.asarray(t, dtype=np.float64).dtype == np.float64
    assert np.linalg.norm(t) == pytest.approx(30**0.5)
    assert len(t) == 2 and t.ndim == 2 and t.size == 4
    copy = np.array(t)
    copy[0, 0] = 9
    assert t.numpy()[0, 0] == 1


def test_item_is_for_one_element(device):
    assert Tensor([[2.5]]).item() == 2.5
    assert float(Tensor(2.5)) == 2.5
    with pytest.raises(ValueError, match=r"\(2,\)"):
        Tensor([1.0, 2.0]).item()
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))


def test_the_repr_tells_the_values_and_who_made_them(device):
    x = leaf([1.0, 2.0])
    text = repr(x * 2.0)
    assert all(part in text for part in ("2.", "4.", device.dtype, "made by multiply", "requires_grad"))


def test_shapes_that_do_not_broadcast_are_named(device):
    with pytest.raises(ValueError, match=r"add.*\(2, 3\).*\(4,\)"):
        Tensor(np.ones((2, 3))) + Tensor(np.ones(4))
    with pytest.raises(ValueError, match=r"matmul.*\(2, 3\).*\(2, 3\)"):
        Tensor(np.ones((2, 3))) @ Tensor(np.ones((2, 3)))


@pytest.mark.parametrize("index", ["name", None, [0, 1], np.array([True, False]), 1.5, (0, [1])], ids=repr)
def test_only_integers_and_slices_index_a_tensor(device, index):
    with pytest.raises(TypeError, match="indexed by"):
        Tensor(np.ones((2, 2)))[index]


def test_what_is_no_number_cannot_be_combined_with_a_tensor(device):
    for other in ("1", None, {}):
        with pytest.raises(TypeError, match=type(other).__name__):
            Tensor(np.ones(2)) + other


def test_tensors_of_two_devices_do_not_mix():
    one = Tensor(np.ones(2), device=tinycnn.get_device("reference", "float64"))
    other = Tensor(np.ones(2), device=tinycnn.get_device("reference", "float32"))
    with pytest.raises(ValueError, match="two devices"):
        one + other
    with pytest.raises(ValueError, match="two devices"):
        matmul(one.reshape(1, 2), other.reshape(2, 1))


def test_a_tensor_of_a_tensor_stays_on_its_device():
    held = Tensor(np.ones(2), device=tinycnn.get_device("reference", "float64"))
    with tinycnn.use_device("reference", "float32"):
        assert Tensor(held).device is held.device
        assert (held * 2.0).device is held.device


# ---------------------------------------------------------------- choosing a device


def test_unknown_devices_and_precisions_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match="abacus.*reference.*cpu"):
        tinycnn.get_device("abacus")
    with pytest.raises(ValueError, match="float16"):
        tinycnn.get_device("reference", "float16")
    with pytest.raises(ValueError, match="float64 is computed by: reference"):
        tinycnn.get_device("cpu", "float64")


def test_use_device_ends_with_its_block_even_by_an_error():
    before = tinycnn.get_device()
    with pytest.raises(ZeroDivisionError):
        with tinycnn.use_device("reference", "float64") as inside:
            assert tinycnn.get_device() is inside
            1 / 0  # noqa: B018
    assert tinycnn.get_device() is before
