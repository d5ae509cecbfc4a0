"""The differentiable operations of a network, each with its way back, in terms of a device's kernels.

Every function checks shapes before a kernel sees them and raises ShapeError (a ValueError) that names them. It computes
its output, and says beside it what its gradient is: the `backward` that it hands to `output_of`.
Images are NHWC, filters HWIO (R, S, C, K), as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

from numpy.typing import ArrayLike

from tinycnn.arithmetic import reshape
from tinycnn.careful import checked
from tinycnn.devices.base import Array, Gradients, Mask, Wanted
from tinycnn.shapes import (
    UNPADDED,
    Padding,
    Pair,
    ShapeError,
    check_padding,
    explicit_padding,
    is_dense,
    pair,
    transposed_output,
    window_padding,
)
from tinycnn.tensor import Tensor, device_of, output_of


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ShapeError(message)


# ---------------------------------------------------------------- convolution and dense


def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, stride: int | Pair = 1, padding: str | Padding = "valid",
    activation: str | None = None,
) -> Tensor:  # fmt: skip
    """Convolution: y[n,p,q,k] = act(b[k] + sum over r, s, c of x[n, p*stride+r-top, q*stride+s-left, c] * w[r,s,c,k]).

    (The field calls this cross-correlation a convolution.) A 1x1 filter with stride 1 takes the kernels of `conv1x1`, a
    filter as large as an unpadded image those of `dense`: they are the same sums.

    Args:
        x: images. w: filters. b: bias, or None.
        stride: an int or (rows, columns). activation: None, 'relu' (fused), or another of ACTIVATIONS.
        padding: 'valid', 'same', or ((top, bottom), (left, right)) pixels.

    Shapes:
        x (N,H,W,C), w (R,S,C,K), b (K,) -> (N,P,Q,K).

    Returns:
        The Tensor y.

    Raises:
        ShapeError: where the shapes do not fit each other, or the window does not fit into the image.
        ValueError: for another padding or activation, or a stride below 1.

    >>> x, w = Tensor([[[[1.0], [2.0], [4.0]]]]), Tensor([[[[1.0]], [[-1.0]]]])
    >>> conv2d(x, w).numpy().ravel()  # an image of one row, and the difference of neighbours
    array([-1., -2.], dtype=float32)
    """
    if not is_fused(activation):
        return ACTIVATIONS[activation](conv2d(x, w, b, stride, padding))  # type: ignore[index]
    stride, relu = pair(stride, "stride"), activation == "relu"
    require(x.ndim == 4, f"conv2d: the images must have shape (N, H, W, C), not {x.shape}")
    require(w.ndim == 4, f"conv2d: the filters must have shape (R, S, C, K), not {w.shape}")
    require(
        x.shape[3] == w.shape[2],
        f"conv2d: images {x.shape} have {x.shape[3]} channels, filters {w.shape} want {w.shape[2]}",
    )
    require(b is None or b.shape == w.shape[3:], f"conv2d: filters {w.shape} need a bias of shape {w.shape[3:]}")
    pads = explicit_padding(x.shape, (w.shape[0], w.shape[1]), stride, padding, "conv2d")
    if w.shape[:2] == (1, 1) and stride == (1, 1) and pads == UNPADDED:
        return conv1x1(x, w, b, activation)
    if is_dense(x.shape, w.shape, pads):
        return reshape(dense(flatten(x), reshape(w, -1, w.shape[3]), b, activation), len(x), 1, 1, w.shape[3])
    device = device_of("conv2d", x, w, b)
    y = device.conv2d_forward(x.data, w.data, None if b is None else b.data, stride, pads, relu)
    return affine(
        "conv2d", x, w, b, y, relu,
        lambda dy, y, wanted: device.conv2d_backward(dy, y, x.data, w.data, stride, pads, wanted),
    )  # fmt: skip


def conv2d_transpose(
    x: Tensor, w: Tensor, b: Tensor | None = None, stride: int | Pair = 1, padding: str = "valid",
    activation: str | None = None,
) -> Tensor:  # fmt: skip
    """Transposed convolution: a convolution's way back, as a way forward (Dumoulin and Visin, 2016, chapter 4).

    Where the convolution by w takes images (N,P,Q,K) to (N,H,W,C), this takes (N,H,W,C) to (N,P,Q,K): what flows back
    there is computed here, and what is computed there flows back here. So it has no kernels of its own: on the way
    there it takes those of conv2d's backward data, and back to the images those of its forward.

    Args:
        x: images. w: filters, in the layout of the convolution that goes the other way. b: bias, or None.
        stride: of that convolution; images become so many times as large. activation: None, or one of ACTIVATIONS.
        padding: of that convolution, 'valid' or 'same'.

    Shapes:
        x (N,H,W,C), w (R,S,K,C), b (K,) -> (N,P,Q,K): P = H * stride with 'same', and with 'valid' R - stride more,
        where that is positive.

    Raises:
        ShapeError: where the shapes do not fit. ValueError: for another padding or activation, or a stride below 1.

    >>> x, w = Tensor([[[[1.0], [2.0]]]]), Tensor([[[[1.0]], [[10.0]]]])
    >>> conv2d_transpose(x, w, stride=(1, 2)).numpy().ravel()  # each pixel leaves its multiple of the filter
    array([ 1., 10.,  2., 20.], dtype=float32)
    """
    if not is_fused(activation) or activation == "relu":  # which backward data's kernels do not apply
        return ACTIVATIONS[activation](conv2d_transpose(x, w, b, stride, padding))  # type: ignore[index]
    stride = pair(stride, "stride")
    require(x.ndim == 4, f"conv2d_transpose: the images must have shape (N, H, W, C), not {x.shape}")
    require(w.ndim == 4, f"conv2d_transpose: the filters must have shape (R, S, K, C), not {w.shape}")
    require(
        x.shape[3] == w.shape[3],
        f"conv2d_transpose: images {x.shape} have {x.shape[3]} channels, filters {w.shape} want {w.shape[3]}",
    )
    R, S, K, _ = w.shape
    require(b is None or b.shape == (K,), f"conv2d_transpose: filters {w.shape} need a bias of shape {(K,)}")
    y_shape = (len(x), *transposed_output(x.shape, (R, S), stride, padding), K)
    pads = window_padding(y_shape[1:3], (R, S), stride, padding)
    device = device_of("conv2d_transpose", x, w, b)
    y = device.conv2d_backward_data(x.data, w.data, y_shape, stride, pads)
    if b is not None:
        y = device.elementwise("add", y, b.data)
    return affine(
        "conv2d_transpose", x, w, b, y, False,
        lambda dy, _, wanted: (
            device.conv2d_forward(dy, w.data, None, stride, pads, False) if wanted.x else None,
            device.conv2d_backward_filter(dy, x.data, w.shape, stride, pads) if wanted.w else None,
            device.reduce("sum", dy, (0, 1, 2)) if wanted.b else None,
        ),
    )  # fmt: skip


def conv1x1(x: Tensor, w: Tensor, b: Tensor | None = None, activation: str | None = None) -> Tensor:
    """Convolution with a 1x1 filter: a matrix product over the channels of every pixel.

    Args:
        x: images. w: filters. b: bias, or None. activation: None, 'relu' (fused), or another of ACTIVATIONS.

    Shapes:
        x (N,H,W,C), w (1,1,C,K), b (K,) -> (N,H,W,K).

    Raises:
        ShapeError: where the shapes do not fit. ValueError: for another activation.

    >>> conv1x1(Tensor([[[[1.0, 2.0]]]]), Tensor([[[[10.0], [100.0]]]])).item()
    210.0
    """
    if not is_fused(activation):
        return ACTIVATIONS[activation](conv1x1(x, w, b))  # type: ignore[index]
    require(w.ndim == 4 and w.shape[:2] == (1, 1), f"conv1x1: the filters must have shape (1, 1, C, K), not {w.shape}")
    require(
        x.ndim == 4 and x.shape[3] == w.shape[2], f"conv1x1: images {x.shape} do not fit filters of shape {w.shape}"
    )
    require(b is None or b.shape == w.shape[3:], f"conv1x1: filters {w.shape} need a bias of shape {w.shape[3:]}")
    device, relu = device_of("conv1x1", x, w, b), activation == "relu"
    y = device.conv1x1_forward(x.data, w.data, None if b is None else b.data, relu)
    return affine(
        "conv1x1", x, w, b, y, relu,
        lambda dy, y, wanted: device.conv1x1_backward(dy, y, x.data, w.data, wanted),
    )  # fmt: skip


def dense(x: Tensor, w: Tensor, b: Tensor | None = None, activation: str | None = None) -> Tensor:
    """act(x @ w + b).

    Args:
        x: inputs. w: the kernel. b: bias, or None. activation: None, 'relu' (fused), or another of ACTIVATIONS.

    Shapes:
        x (N,I), w (I,O), b (O,) -> (N,O). Where x has more axes, (...,I) -> (...,O).

    Raises:
        ShapeError: where the shapes do not fit. ValueError: for another activation.

    >>> dense(Tensor([[1.0, 2.0]]), Tensor([[1.0], [-3.0]]), Tensor([0.5]), activation="relu").item()
    0.0
    """
    if not is_fused(activation):
        return ACTIVATIONS[activation](dense(x, w, b))  # type: ignore[index]
    require(x.ndim >= 2, f"dense: the input must have shape (N, inputs), not {x.shape}")
    require(
        w.ndim == 2 and x.shape[-1] == w.shape[0], f"dense: input {x.shape} does not fit a kernel of shape {w.shape}"
    )
    require(b is None or b.shape == w.shape[1:], f"dense: a kernel {w.shape} needs a bias of shape {w.shape[1:]}")
    if x.ndim > 2:
        rows = dense(reshape(x, prod(x.shape[:-1]), x.shape[-1]), w, b, activation)
        return reshape(rows, *x.shape[:-1], w.shape[1])
    device, relu = device_of("dense", x, w, b), activation == "relu"
    y = device.dense_forward(x.data, w.data, None if b is None else b.data, relu)
    return affine(
        "dense", x, w, b, y, relu,
        lambda dy, y, wanted: device.dense_backward(dy, y, x.data, w.data, wanted),
    )  # fmt: skip


def affine(
    name: str, x: Tensor, w: Tensor, b: Tensor | None, y: Array, relu: bool,
    backward: Callable[[Array, Array | None, Wanted], Gradients],
) -> Tensor:  # fmt: skip
    """What convolution and dense share, y = act(product(x, w) + b).

    backward(dy, y, wanted): the gradients of x, w and b as a device gives them; y is None where there was no ReLU.
    """
    inputs, activated = (x, w) if b is None else (x, w, b), y if relu else None

    def way_back(dy: Array) -> tuple:
        wanted = Wanted(x.requires_grad, w.requires_grad, b is not None and b.requires_grad)
        return backward(dy, activated, wanted)[: len(inputs)]

    return output_of(name, inputs, y, way_back)


def is_fused(activation: str | None) -> bool:
    """Whether the product's own kernel applies it. Raises ValueError for what is no activation."""
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"the activation is None or one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    return activation in (None, "relu")


# ---------------------------------------------------------------- pooling and padding


def maxpool2d(x: Tensor, pool: int | Pair = 2, stride: int | Pair | None = None, padding: str = "valid") -> Tensor:
    """The maximum of every window. The gradient goes to the first maximum in row-major order.

    Args:
        x: images. pool: the window, an int or (rows, columns). stride: the pool's size if None.
        padding: 'valid' or 'same'; what lies outside the image is never the maximum.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ShapeError: where the window does not fit into the image. ValueError: for another padding.

    >>> maxpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    5.0
    """
    pool, stride, pads = pooling_window("maxpool2d", x, pool, stride, padding)
    device, x_shape = x.device, x.shape
    y, argmax = device.maxpool2d_forward(x.data, pool, stride, pads)

    def backward(dy: Array) -> tuple:
        return (device.maxpool2d_backward(dy, argmax, x_shape, pool, stride, pads),)

    return output_of("maxpool2d", (x,), y, backward)


def avgpool2d(x: Tensor, pool: int | Pair = 2, stride: int | Pair | None = None, padding: str = "valid") -> Tensor:
    """The mean of every window. With 'same', pixels outside the image do not count, as in Keras.

    Args:
        x: images. pool: the window, an int or (rows, columns). stride: the pool's size if None.
        padding: 'valid' or 'same'.

    Shapes:
        x (N,H,W,C) -> (N,P,Q,C).

    Raises:
        ShapeError: where the window does not fit into the image. ValueError: for another padding.

    >>> avgpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    2.75
    """
    pool, stride, pads = pooling_window("avgpool2d", x, pool, stride, padding)
    device, x_shape = x.device, x.shape
    y = device.avgpool2d_forward(x.data, pool, stride, pads)
    backward = lambda dy: (device.avgpool2d_backward(dy, x_shape, pool, stride, pads),)  # noqa: E731
    return output_of("avgpool2d", (x,), y, backward)


def pooling_window(
    name: str, x: Tensor, pool: int | Pair, stride: int | Pair | None, padding: str
) -> tuple[Pair, Pair, Padding]:
    """(pool, stride, padding in pixels) as the operation `name` hands them to a device. Raises what it raises."""
    pool = pair(pool, "pool")
    stride = pool if stride is None else pair(stride, "stride")
    require(x.ndim == 4, f"{name}: the images must have shape (N, H, W, C), not {x.shape}")
    return pool, stride, explicit_padding(x.shape, pool, stride, check_padding(padding), name)


def globalavgpool2d(x: Tensor) -> Tensor:
    """The mean of each channel over all pixels.

    Shapes:
        x (N,H,W,C) -> (N,C).

    Raises:
        ShapeError: for another number of axes.

    >>> globalavgpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    2.75
    """
    require(x.ndim == 4, f"globalavgpool2d: the images must have shape (N, H, W, C), not {x.shape}")
    device, x_shape = x.device, x.shape
    y = device.globalavgpool2d_forward(x.data)
    return output_of("globalavgpool2d", (x,), y, lambda dy: (device.globalavgpool2d_backward(dy, x_shape),))


def globalmaxpool2d(x: Tensor) -> Tensor:
    """The maximum of each channel over all pixels. Of equal maxima each takes the same share of the gradient.

    Shapes:
        x (N,H,W,C) -> (N,C).

    Raises:
        ShapeError: for another number of axes.

    >>> globalmaxpool2d(Tensor([[[[1.0], [5.0]], [[3.0], [2.0]]]])).item()
    5.0
    """
    require(x.ndim == 4, f"globalmaxpool2d: the images must have shape (N, H, W, C), not {x.shape}")
    device = x.device
    y = device.globalmaxpool2d_forward(x.data)
    return output_of("globalmaxpool2d", (x,), y, lambda dy: (device.globalmaxpool2d_backward(dy, x.data, y),))


def zeropad2d(x: Tensor, padding: Padding) -> Tensor:
    """Images with rows and columns of zeros around them.

    Args:
        padding: ((top, bottom), (left, right)) pixels.

    Shapes:
        x (N,H,W,C) -> (N, top + H + bottom, left + W + right, C).

    Raises:
        ShapeError: for another number of axes. ValueError: for another padding.

    >>> zeropad2d(Tensor([[[[1.0], [2.0]]]]), ((0, 0), (1, 0))).numpy().ravel()
    array([0., 1., 2.], dtype=float32)
    """
    require(x.ndim == 4, f"zeropad2d: the images must have shape (N, H, W, C), not {x.shape}")
    padding, device = explicit_padding(x.shape, (1, 1), (1, 1), padding, "zeropad2d"), x.device
    y = device.zeropad2d_forward(x.data, padding)
    return output_of("zeropad2d", (x,), y, lambda dy: (device.zeropad2d_backward(dy, padding),))


def upsample2d(x: Tensor, size: int | Pair = 2) -> Tensor:
    """Images made larger: every pixel so many times in both directions.

    Args:
        size: an int or (rows, columns).

    Shapes:
        x (N,H,W,C) -> (N, H*rows, W*columns, C).

    Raises:
        ShapeError: for another number of axes. ValueError: for a size below 1.

    >>> upsample2d(Tensor([[[[1.0], [2.0]]]]), (1, 3)).numpy().ravel()
    array([1., 1., 1., 2., 2., 2.], dtype=float32)
    """
    require(x.ndim == 4, f"upsample2d: the images must have shape (N, H, W, C), not {x.shape}")
    size, device = pair(size, "size"), x.device
    y = device.upsample2d_forward(x.data, size)
    return output_of("upsample2d", (x,), y, lambda dy: (device.upsample2d_backward(dy, size),))


# ---------------------------------------------------------------- normalisation and dropout


def batchnorm(
    x: Tensor, gamma: Tensor, beta: Tensor, moving_mean: Tensor, moving_variance: Tensor, training: bool,
    momentum: float = 0.99, epsilon: float = 1e-3, mask: Mask | None = None,
) -> Tensor:  # fmt: skip
    """Batch normalisation over all axes but the last: Ioffe and Szegedy, 2015, with Keras's defaults.

    Args:
        training: normalise by the batch's own statistics, and move the moving ones in passing; otherwise normalise by
            the moving ones, which are constants.
        momentum: moving = moving * momentum + batch * (1 - momentum). epsilon: added to the variance.
        mask: the arguments of a `dropout` of the result, which is computed in one with it: the same bits, in fewer
            launches.

    Shapes:
        x (...,C); gamma, beta, moving_mean, moving_variance (C,) -> (...,C).

    Raises:
        ShapeError: where a parameter has another shape. ValueError: for a mask of another rate than in [0, 1).

    >>> one, zero = Tensor([1.0]), Tensor([0.0])
    >>> batchnorm(Tensor([[1.0], [3.0]]), one, zero, Tensor([0.0]), Tensor([1.0]), training=True).numpy().round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    for parameter in (gamma, beta, moving_mean, moving_variance):
        require(
            parameter.shape == x.shape[-1:],
            f"batchnorm: input {x.shape} needs parameters of shape {x.shape[-1:]}, not {parameter.shape}",
        )
    device, mean, variance = device_of("batchnorm", x, gamma, beta), moving_mean.data, moving_variance.data
    if not training:
        y = batchnorm_inference(x, gamma, beta, mean, variance, epsilon)
        return y if mask is None else dropout(y, *mask)
    if mask is not None and checked(mask.rate, "the dropout rate", "[0, 1)") == 0:
        mask = None
    array, saved = device.batchnorm_forward(x.data, gamma.data, beta.data, mean, variance, momentum, epsilon, mask)

    def backward(dy: Array) -> tuple:
        return device.batchnorm_backward(dy, x.data, gamma.data, saved)

    return output_of("batchnorm", (x, gamma, beta), array, backward)


def batchnorm_inference(x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, variance: Array, epsilon: float) -> Tensor:
    """Normalisation by statistics that are constants: y = x * scale + shift, channel by channel."""
    device, of = x.device, x.device.elementwise
    y = device.batchnorm_inference(x.data, gamma.data, beta.data, mean, variance, epsilon)

    def backward(dy: Array) -> tuple:
        std = of("sqrt", of("add", variance, epsilon))
        x_hat = of("divide", of("subtract", x.data, mean), std)
        rows = tuple(range(len(dy.shape) - 1))
        dx = of("multiply", dy, of("divide", gamma.data, std))
        return dx, device.reduce("sum", of("multiply", dy, x_hat), axis=rows), device.reduce("sum", dy, axis=rows)

    return output_of("batchnorm_inference", (x, gamma, beta), y, backward)


def dropout(x: Tensor, rate: float, seed: int, stream: int, step: Array) -> Tensor:
    """Inverted dropout (Srivastava et al., 2014): zero a share `rate` of x, and divide the rest by 1 - rate.

    The mask is a function of (seed, stream, step, element) alone.

    Args:
        rate: in [0, 1). seed: in [0, 2**64). stream: in [0, 2**32). step: an int64 device array of one element.

    Shapes:
        x of any shape -> the same.

    Raises:
        ValueError: for another rate.

    >>> from tinycnn.devices import current_device
    >>> step = current_device().zeros((1,), "int64")
    >>> dropout(Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, seed=7, stream=0, step=step).numpy()
    array([2., 2., 0., 0.], dtype=float32)
    """
    if checked(rate, "the dropout rate", "[0, 1)") == 0:
        return x
    device = x.device
    y, saved = device.dropout_forward(x.data, rate, seed, stream, step)
    return output_of("dropout", (x,), y, lambda dy: (device.dropout_backward(dy, rate, seed, stream, saved),))


# ---------------------------------------------------------------- activations


def relu(x: Tensor) -> Tensor:
    """max(x, 0), of any shape. The gradient at exactly 0 is 0, as in Keras.

    >>> relu(Tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """
    y = x.device.relu_forward(x.data)
    return output_of("relu", (x,), y, lambda dy: (x.device.relu_backward(dy, y),))


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent, of any shape.

    >>> tanh(Tensor([0.0, 20.0])).numpy()
    array([0., 1.], dtype=float32)
    """
    return activation("tanh", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), of any shape.

    >>> sigmoid(Tensor([0.0, 20.0])).numpy()
    array([0.5, 1. ], dtype=float32)
    """
    return activation("sigmoid", x)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1), of any shape: Clevert et al., 2016. alpha is not negative.

    >>> elu(Tensor([-20.0, 2.0])).numpy()
    array([-1.,  2.], dtype=float32)
    """
    return activation("elu", x, alpha)


def leaky_relu(x: Tensor, alpha: float = 0.3) -> Tensor:
    """x where x > 0, else alpha * x, of any shape. alpha is not negative.

    >>> leaky_relu(Tensor([-2.0, 2.0]), alpha=0.5).numpy()
    array([-1.,  2.], dtype=float32)
    """
    return activation("leaky_relu", x, alpha)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), of any shape: ReLU without its corner.

    >>> softplus(Tensor([0.0, 20.0])).numpy().round(4)
    array([ 0.6931, 20.    ], dtype=float32)
    """
    return activation("softplus", x)


def activation(name: str, x: Tensor, alpha: float = 0.0) -> Tensor:
    """One of the activations that a device computes by its name. Raises ValueError for a negative alpha."""
    if not alpha >= 0:
        raise ValueError(f"{name}: alpha must be at least 0, not {alpha}")
    device = x.device
    y = device.activation_forward(name, x.data, alpha)
    return output_of(name, (x,), y, lambda dy: (device.activation_backward(name, dy, y, alpha),))


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis. The result remembers x as `.logits`, for the loss.

    Shapes:
        x (...,K), of at least two axes -> the same.

    Raises:
        ShapeError: for fewer axes.

    >>> softmax(Tensor([[1.0, 1.0]])).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """
    require(x.ndim >= 2, f"softmax: the input must have shape (N, classes), or more axes, not {x.shape}")
    device, rows = x.device, (prod(x.shape[:-1]), x.shape[-1])
    y = device.softmax_forward(x.data.reshape(rows))

    def backward(dy: Array) -> tuple:
        return (device.softmax_backward(dy.reshape(rows), y).reshape(x.shape),)

    output = output_of("softmax", (x,), y.reshape(x.shape), backward)
    output.logits = x
    return output


# The activations that need no argument, by Keras's names.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu, "softmax": softmax, "tanh": tanh, "sigmoid": sigmoid, "elu": elu, "softplus": softplus,
}  # fmt: skip


# ---------------------------------------------------------------- losses and penalties


def softmax_crossentropy(logits: Tensor, labels: Tensor | ArrayLike) -> tuple[Tensor, Array]:
    """The mean cross-entropy between softmax(logits) and labels, and how many rows were classified rightly.

    Args:
        labels: one-hot or soft; rows sum to 1.

    Shapes:
        logits, labels (N,K) -> (1,), (1,).

    Returns:
        (loss, correct): a Tensor, and a device array.

    Raises:
        ShapeError: where logits and labels differ in shape.

    >>> loss, correct = softmax_crossentropy(Tensor([[0.0, 0.0]]), [[1.0, 0.0]])
    >>> round(loss.item(), 4), float(correct[0])
    (0.6931, 1.0)
    """
    wanted = alike("softmax_crossentropy", logits, labels)
    return loss_of("softmax_crossentropy", logits, *logits.device.softmax_crossentropy(logits.data, wanted))


def binary_crossentropy(outputs: Tensor, labels: Tensor | ArrayLike, from_logits: bool = False) -> tuple[Tensor, Array]:
    """The mean over all numbers of -label * log p - (1 - label) * log(1 - p), and how much was right.

    Args:
        outputs: p, which is clipped to [1e-7, 1 - 1e-7]; with from_logits what p is the sigmoid of.
        labels: numbers in [0, 1].

    Shapes:
        outputs, labels (N,K) -> (1,), (1,).

    Returns:
        (loss, correct): a Tensor, and a device array: the sum over rows of the share that is rightly rounded.

    Raises:
        ShapeError: where outputs and labels differ in shape.

    >>> loss, correct = binary_crossentropy(Tensor([[0.5, 0.5]]), [[1.0, 0.0]])
    >>> round(loss.item(), 4), float(correct[0])
    (0.6931, 0.5)
    """
    wanted = alike("binary_crossentropy", outputs, labels)
    found = outputs.device.binary_crossentropy(outputs.data, wanted, from_logits)
    return loss_of("binary_crossentropy", outputs, *found)


def mean_squared_error(outputs: Tensor, labels: Tensor | ArrayLike) -> tuple[Tensor, Array]:
    """The mean over all numbers of (output - label)^2, and how many rows have their largest where the label has.

    Shapes:
        outputs, labels (N,K) -> (1,), (1,).

    Returns:
        (loss, correct): a Tensor, and a device array.

    Raises:
        ShapeError: where outputs and labels differ in shape.

    >>> loss, correct = mean_squared_error(Tensor([[1.0, 3.0]]), [[0.0, 1.0]])
    >>> loss.item(), float(correct[0])
    (2.5, 1.0)
    """
    wanted = alike("mean_squared_error", outputs, labels)
    return loss_of("mean_squared_error", outputs, *outputs.device.mean_squared_error(outputs.data, wanted))


def alike(name: str, outputs: Tensor, labels: Tensor | ArrayLike) -> Array:
    """The labels of the loss `name` on the device of its outputs. Raises ShapeError unless both are (N,K)."""
    wanted = labels.data if isinstance(labels, Tensor) else outputs.device.asarray(labels)
    require(
        outputs.ndim == 2 and outputs.shape == wanted.shape,
        f"{name}: outputs {outputs.shape} and labels {wanted.shape} must be alike, (N, K)",
    )
    return wanted


def loss_of(name: str, outputs: Tensor, loss: Array, correct: Array, gradient: Array) -> tuple[Tensor, Array]:
    """What a loss returns, of what a device gives: the gradient is known as soon as the loss is."""
    backward = lambda dy: (outputs.device.elementwise("multiply", gradient, dy),)  # noqa: E731
    return output_of(name, (outputs,), loss, backward), correct


def regularize(w: Tensor, l1: float, l2: float) -> Tensor:
    """The penalty l1 * sum |w| + l2 * sum w^2 on the size of a weight. Where w is 0, l1 has the gradient 0.

    Shapes:
        w of any shape -> (1,).

    >>> regularize(Tensor([1.0, -2.0]), l1=1.0, l2=0.5).item()
    5.5
    """
    device = w.device
    # The gradient is known as soon as the penalty is, so both are computed at once.
    gradient = device.zeros(w.shape)
    loss = device.regularize(w.data, gradient, l1, l2)
    return output_of("regularize", (w,), loss, lambda dy: (device.elementwise("multiply", gradient, dy),))


# ---------------------------------------------------------------- shapes and sums


def flatten(x: Tensor) -> Tensor:
    """Everything but the batch as one axis, row-major.

    Shapes:
        x (N, ...) -> (N, product of the rest).

    >>> flatten(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """
    return reshape(x, x.shape[0], prod(x.shape[1:]))


def add(tensors: Iterable[Tensor]) -> Tensor:
    """The sum of tensors of one shape, added in their order.

    Shapes:
        two or more of any shape -> the same.

    Raises:
        ShapeError: where there are fewer, or where their shapes differ.

    >>> add([Tensor([1.0]), Tensor([2.0]), Tensor([4.0])]).item()
    7.0
    """
    tensors = list(tensors)
    require(
        len(tensors) > 1 and len({t.shape for t in tensors}) == 1,
        f"add: it takes two or more of one shape; got {[t.shape for t in tensors]}",
    )
    y = device_of("add", *tensors).add([t.data for t in tensors])
    return output_of("add", tensors, y, lambda dy: (dy,) * len(tensors))


def concatenate(tensors: Iterable[Tensor]) -> Tensor:
    """Join tensors along their last axis, the channels.

    Shapes:
        (..., C_i) -> (..., sum of C_i).

    Raises:
        ShapeError: where there are none, or where another axis differs.

    >>> concatenate([Tensor([[1.0]]), Tensor([[2.0, 3.0]])]).numpy()
    array([[1., 2., 3.]], dtype=float32)
    """
    tensors = list(tensors)
    require(
        bool(tensors) and len({t.shape[:-1] for t in tensors}) == 1,
        f"concatenate: all axes but the last must agree; got {[t.shape for t in tensors]}",
    )
    device, sizes = device_of("concatenate", *tensors), [t.shape[-1] for t in tensors]
    y = device.concatenate([t.data for t in tensors])
    return output_of("concatenate", tensors, y, lambda dy: tuple(device.split(dy, sizes)))


def __getattr__(name: str) -> Callable:
    if name == "Conv2D":
        from tinycnn.moved import convolution_of_0_1_0

        return convolution_of_0_1_0
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
