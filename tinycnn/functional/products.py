"""Convolution, its transpose and dense layers: sums of products, with their bias and activation."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from tinycnn.arithmetic import reshape
from tinycnn.devices.base import Array, Gradients, Wanted
from tinycnn.functional.activations import Activation, activated, known
from tinycnn.functional.joining import flatten
from tinycnn.shapes import (
    UNPADDED,
    Padding,
    Pair,
    explicit_padding,
    is_dense,
    pair,
    require,
    transposed_output,
    window_padding,
)
from tinycnn.tensor import Tensor, device_of, output_of


def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, stride: int | Pair = 1, padding: str | Padding = "valid",
    activation: Activation = None,
) -> Tensor:  # fmt: skip
    """Convolution: y[n,p,q,k] = act(b[k] + sum over r, s, c of x[n, p*stride+r-top, q*stride+s-left, c] * w[r,s,c,k]).

    (The field calls this cross-correlation a convolution.) A 1x1 filter with stride 1 takes the kernels of `conv1x1`, a
    filter as large as an unpadded image those of `dense`: they are the same sums.

    Args:
        x: images. w: filters. b: bias, or None.
        stride: an int or (rows, columns). activation: None, 'relu' (fused), another of ACTIVATIONS, or a function of a
            Tensor.
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
        return activated(activation, conv2d(x, w, b, stride, padding))
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
    activation: Activation = None,
) -> Tensor:  # fmt: skip
    """Transposed convolution: a convolution's way back, as a way forward (Dumoulin and Visin, 2016, chapter 4).

    Where the convolution by w takes images (N,P,Q,K) to (N,H,W,C), this takes (N,H,W,C) to (N,P,Q,K): what flows back
    there is computed here, and what is computed there flows back here. So it has no kernels of its own: on the way
    there it takes those of conv2d's backward data, and back to the images those of its forward.

    Args:
        x: images. w: filters, in the layout of the convolution that goes the other way. b: bias, or None.
        stride: of that convolution; images become so many times as large. activation: as conv2d has it, but not fused.
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
        return activated(activation, conv2d_transpose(x, w, b, stride, padding))
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


def conv1x1(x: Tensor, w: Tensor, b: Tensor | None = None, activation: Activation = None) -> Tensor:
    """Convolution with a 1x1 filter: a matrix product over the channels of every pixel.

    Args:
        x: images. w: filters. b: bias, or None. activation: as conv2d has it.

    Shapes:
        x (N,H,W,C), w (1,1,C,K), b (K,) -> (N,H,W,K).

    Raises:
        ShapeError: where the shapes do not fit. ValueError: for another activation.

    >>> conv1x1(Tensor([[[[1.0, 2.0]]]]), Tensor([[[[10.0], [100.0]]]])).item()
    210.0
    """
    if not is_fused(activation):
        return activated(activation, conv1x1(x, w, b))
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


def dense(x: Tensor, w: Tensor, b: Tensor | None = None, activation: Activation = None) -> Tensor:
    """act(x @ w + b).

    Args:
        x: inputs. w: the kernel. b: bias, or None. activation: as conv2d has it.

    Shapes:
        x (N,I), w (I,O), b (O,) -> (N,O). Where x has more axes, (...,I) -> (...,O).

    Raises:
        ShapeError: where the shapes do not fit. ValueError: for another activation.

    >>> dense(Tensor([[1.0, 2.0]]), Tensor([[1.0], [-3.0]]), Tensor([0.5]), activation="relu").item()
    0.0
    """
    if not is_fused(activation):
        return activated(activation, dense(x, w, b))
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


def is_fused(activation: Activation) -> bool:
    """Whether the product's own kernel applies it. Raises ValueError for what is no activation."""
    return activation is None or (not callable(activation) and known(activation) == "relu")
