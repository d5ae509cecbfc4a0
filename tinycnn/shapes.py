"""The arithmetic of windows: output sizes and padding of convolution and pooling, as Keras computes them."""

import operator


class ShapeError(ValueError):
    """Arrays, or layers, whose shapes do not fit."""


def pair(value, what):
    """(rows, columns) from an int or a pair of ints, all at least 1. `what` names it in the error."""
    try:
        rows, columns = (operator.index(v) for v in (value if isinstance(value, (tuple, list)) else (value, value)))
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be a whole number or a pair of them, not {value!r}") from None
    if rows < 1 or columns < 1:
        raise ValueError(f"{what} must be at least 1 in both directions, not {value!r}")
    return rows, columns


def check_padding(padding):
    """`padding` if it is one of the two kinds. Raises ValueError."""
    if padding not in ("valid", "same"):
        raise ValueError(f"padding must be 'valid' or 'same', not {padding!r}")
    return padding


def window_padding(size, window, stride, padding):
    """((top, bottom), (left, right)) for images of `size` (H, W).

    `same`: the output has ceil(n / stride) pixels; an odd amount puts the extra pixel at the end.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    pads = []
    for n, k, step in zip(size, window, stride, strict=True):
        total = max((-(-n // step) - 1) * step + k - n, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def window_output(shape, window, stride, padding, name):
    """(P, Q) of a window over images (..., H, W, C); `name` is the layer, for the error.

    Raises ShapeError where the window is larger than the image, in the words that Keras and TensorFlow use.
    """
    size = []
    for n, k, step, which in zip(shape[-3:-1], window, stride, ("rows", "columns"), strict=True):
        if padding == "same":
            size.append(-(-n // step))
        elif n < k:
            raise ShapeError(
                f"Negative dimension size caused by subtracting {k} from {n} for {name}: its {window[0]}x{window[1]} "
                f"window has more {which} than its input, shape {tuple(shape)}. Use a smaller window, padding='same', "
                "or fewer layers before it."
            )
        else:
            size.append((n - k) // step + 1)
    return tuple(size)
