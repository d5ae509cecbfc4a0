"""The differentiable operations of a network: one Function each, in terms of a device's kernels.

Every function checks shapes before a kernel sees them and raises ShapeError (a ValueError) that names them.
Images are NHWC, filters HWIO (R, S, C, K), as in Keras.
"""

from tinycnn.arithmetic import Reshape
from tinycnn.shapes import ShapeError, check_padding, pair, window_output, window_padding
from tinycnn.tensor import Function, Tensor


def require(condition, message):
    if not condition:
        raise ShapeError(message)


class Affine(Function):
    """What convolution and dense share: y = act(product(x, w) + b), and the way back through act and b."""

    def __init__(self, relu):
        self.relu = relu

    def forward(self, x, w, b=None):
        self.x, self.w = x, w
        y = self.product(x, w, b)
        self.y = y if self.relu else None
        return y

    def backward(self, dy):
        dz, db = dy, None
        if self.relu or len(self.inputs) == 3:
            dz, db = self.device.bias_relu_backward(dy, self.y)
        dx = self.backward_data(dz) if self.needs(0) else None
        dw = self.backward_filter(dz) if self.needs(1) else None
        return (dx, dw, db)[: len(self.inputs)]


class Conv2D(Affine):
    """Cross-correlation, which the field calls convolution."""

    def __init__(self, stride, padding, relu):
        super().__init__(relu)
        self.stride, self.padding = stride, padding

    def product(self, x, w, b):
        return self.device.conv2d_forward(x, w, b, self.stride, self.padding, self.relu)

    def backward_data(self, dz):
        return self.device.conv2d_backward_data(dz, self.w, self.x.shape, self.stride, self.padding)

    def backward_filter(self, dz):
        return self.device.conv2d_backward_filter(self.x, dz, self.w.shape, self.stride, self.padding)


class Conv1x1(Affine):
    """Convolution with a 1x1 filter: a matrix product over the channels of every pixel."""

    def product(self, x, w, b):
        return self.device.conv1x1_forward(x, w, b, self.relu)

    def backward_data(self, dz):
        return self.device.conv1x1_backward_data(dz, self.w)

    def backward_filter(self, dz):
        return self.device.conv1x1_backward_filter(self.x, dz)


class Dense(Affine):
    """x @ w + b."""

    def product(self, x, w, b):
        return self.device.dense_forward(x, w, b, self.relu)

    def backward_data(self, dz):
        return self.device.dense_backward_data(dz, self.w)

    def backward_filter(self, dz):
        return self.device.dense_backward_filter(self.x, dz)


class MaxPool2D(Function):
    def __init__(self, pool, stride, padding):
        self.pool, self.stride, self.padding = pool, stride, padding

    def forward(self, x):
        self.x_shape = x.shape
        y, self.argmax = self.device.maxpool2d_forward(x, self.pool, self.stride, self.padding)
        return y

    def backward(self, dy):
        return self.device.maxpool2d_backward(dy, self.argmax, self.x_shape, self.pool, self.stride, self.padding)


class BatchNorm(Function):
    """Normalisation by the batch's statistics: Ioffe and Szegedy, 2015. Moves the moving ones in passing."""

    def __init__(self, moving_mean, moving_variance, momentum, epsilon):
        self.moving_mean, self.moving_variance = moving_mean.data, moving_variance.data
        self.momentum, self.epsilon = momentum, epsilon

    def forward(self, x, gamma, beta):
        self.x, self.gamma = x, gamma
        y, self.saved = self.device.batchnorm_forward(
            x, gamma, beta, self.moving_mean, self.moving_variance, self.momentum, self.epsilon
        )
        return y

    def backward(self, dy):
        return self.device.batchnorm_backward(dy, self.x, self.gamma, self.saved)


class BatchNormInference(Function):
    """Normalisation by the moving statistics, which are constants: y = x * scale + shift, channel by channel."""

    def __init__(self, moving_mean, moving_variance, epsilon):
        self.moving_mean, self.moving_variance, self.epsilon = moving_mean.data, moving_variance.data, epsilon

    def forward(self, x, gamma, beta):
        self.x, self.gamma = x, gamma
        return self.device.batchnorm_inference(x, gamma, beta, self.moving_mean, self.moving_variance, self.epsilon)

    def backward(self, dy):
        of = self.device.elementwise
        std = of("sqrt", of("add", self.moving_variance, self.epsilon))
        rows = tuple(range(len(dy.shape) - 1))
        x_hat = of("divide", of("subtract", self.x, self.moving_mean), std)
        dx = of("multiply", dy, of("divide", self.gamma, std))
        return (
            dx,
            self.device.reduce("sum", of("multiply", dy, x_hat), axis=rows),
            self.device.reduce("sum", dy, axis=rows),
        )


class Dropout(Function):
    """Inverted dropout (Srivastava et al., 2014): what is kept is divided by 1 - rate."""

    def __init__(self, rate, seed, stream, step):
        self.rate, self.seed, self.stream, self.step = rate, seed, stream, step

    def forward(self, x):
        y, self.saved = self.device.dropout_forward(x, self.rate, self.seed, self.stream, self.step)
        return y

    def backward(self, dy):
        return self.device.dropout_backward(dy, self.rate, self.seed, self.stream, self.saved)


class ReLU(Function):
    def forward(self, x):
        self.y = self.device.relu_forward(x)
        return self.y

    def backward(self, dy):
        return self.device.relu_backward(dy, self.y)


class Softmax(Function):
    def forward(self, x):
        self.y = self.device.softmax_forward(x)
        return self.y

    def backward(self, dy):
        return self.device.softmax_backward(dy, self.y)


class SoftmaxCrossEntropy(Function):
    """The gradient is known as soon as the loss is, so both are computed in the forward pass."""

    def __init__(self, labels):
        self.labels = labels

    def forward(self, logits):
        loss, self.correct, self.dlogits = self.device.softmax_crossentropy(logits, self.labels)
        return loss

    def backward(self, dy):
        return self.device.elementwise("multiply", self.dlogits, dy)


class Concatenate(Function):
    """Along the last axis, the channels."""

    def forward(self, *arrays):
        self.sizes = [array.shape[-1] for array in arrays]
        return self.device.concatenate(arrays)

    def backward(self, dy):
        return tuple(self.device.split(dy, self.sizes))


def conv2d(x, w, b=None, stride=1, padding="valid", activation=None):
    """Convolution of x (N,H,W,C) with w (R,S,C,K), plus b (K,) -> (N,P,Q,K).

    stride: an int or (rows, columns); padding: 'valid' or 'same'; activation: None or 'relu', fused.
    A 1x1 filter with stride 1 takes the kernels of `conv1x1`.
    """
    stride, relu = pair(stride, "stride"), fused_relu(activation)
    require(x.ndim == 4, f"conv2d: the images must have shape (N, H, W, C), not {x.shape}")
    require(w.ndim == 4, f"conv2d: the filters must have shape (R, S, C, K), not {w.shape}")
    require(
        x.shape[3] == w.shape[2],
        f"conv2d: images {x.shape} have {x.shape[3]} channels, filters {w.shape} want {w.shape[2]}",
    )
    require(b is None or b.shape == w.shape[3:], f"conv2d: filters {w.shape} need a bias of shape {w.shape[3:]}")
    window_output(x.shape, w.shape[:2], stride, check_padding(padding), "conv2d")
    inputs = (x, w) if b is None else (x, w, b)
    if w.shape[:2] == (1, 1) and stride == (1, 1):
        return Conv1x1(relu)(*inputs)
    return Conv2D(stride, window_padding(x.shape[1:3], w.shape[:2], stride, padding), relu)(*inputs)


def conv1x1(x, w, b=None, activation=None):
    """x (N,H,W,C), w (1,1,C,K), b (K,) -> (N,H,W,K)."""
    require(w.ndim == 4 and w.shape[:2] == (1, 1), f"conv1x1: the filters must have shape (1, 1, C, K), not {w.shape}")
    return conv2d(x, w, b, activation=activation)


def dense(x, w, b=None, activation=None):
    """x (N,I) @ w (I,O) + b (O,) -> (N,O). activation: None or 'relu', fused."""
    require(x.ndim == 2, f"dense: the input must have shape (N, inputs), not {x.shape}; flatten it first")
    require(
        w.ndim == 2 and x.shape[1] == w.shape[0], f"dense: input {x.shape} does not fit a kernel of shape {w.shape}"
    )
    require(b is None or b.shape == w.shape[1:], f"dense: a kernel {w.shape} needs a bias of shape {w.shape[1:]}")
    return Dense(fused_relu(activation))(*((x, w) if b is None else (x, w, b)))


def fused_relu(activation):
    if activation not in (None, "relu"):
        raise ValueError(f"the fused activation is None or 'relu', not {activation!r}")
    return activation == "relu"


def maxpool2d(x, pool=2, stride=None, padding="valid"):
    """The maximum of every window of x (N,H,W,C) -> (N,P,Q,C). stride: the pool's size if None.

    The gradient goes to the first maximum in row-major order.
    """
    pool = pair(pool, "pool")
    stride = pool if stride is None else pair(stride, "stride")
    require(x.ndim == 4, f"maxpool2d: the images must have shape (N, H, W, C), not {x.shape}")
    window_output(x.shape, pool, stride, check_padding(padding), "maxpool2d")
    return MaxPool2D(pool, stride, window_padding(x.shape[1:3], pool, stride, padding))(x)


def batchnorm(x, gamma, beta, moving_mean, moving_variance, training, momentum=0.99, epsilon=1e-3):
    """Batch normalisation of x (..., C) over all axes but the last; gamma, beta and the statistics are (C,) tensors.

    training: the batch's own statistics, and the moving ones move; otherwise the moving ones are used.
    """
    for parameter in (gamma, beta, moving_mean, moving_variance):
        require(
            parameter.shape == x.shape[-1:],
            f"batchnorm: input {x.shape} needs parameters of shape {x.shape[-1:]}, not {parameter.shape}",
        )
    if training:
        return BatchNorm(moving_mean, moving_variance, momentum, epsilon)(x, gamma, beta)
    return BatchNormInference(moving_mean, moving_variance, epsilon)(x, gamma, beta)


def dropout(x, rate, seed, stream, step):
    """Zero a share `rate` of x, in [0, 1), and divide the rest by 1 - rate.

    The mask is a function of (seed, stream, step, element) alone; step is an int64 device array of one element.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the dropout rate must be in [0, 1), not {rate}")
    return x if rate == 0 else Dropout(rate, seed, stream, step)(x)


def relu(x):
    """max(x, 0)."""
    return ReLU()(x)


def softmax(x):
    """exp(x) / sum(exp(x)) by rows of x (N,K). The result remembers x as `.logits`, for the loss."""
    require(x.ndim == 2, f"softmax: the input must have shape (N, classes), not {x.shape}")
    y = Softmax()(x)
    y.logits = x
    return y


def softmax_crossentropy(logits, labels):
    """The mean cross-entropy between softmax(logits) and labels, both (N,K); rows of labels sum to 1.

    Returns (loss, correct): a Tensor (1,) and the device array (1,) of how many rows were classified rightly.
    """
    labels = labels.data if isinstance(labels, Tensor) else logits.device.asarray(labels)
    require(
        logits.ndim == 2 and logits.shape == labels.shape,
        f"softmax_crossentropy: logits {logits.shape} and labels {labels.shape} must be alike, (N, classes)",
    )
    function = SoftmaxCrossEntropy(labels)
    return function(logits), function.correct


def flatten(x):
    """x (N, ...) -> (N, product of the rest), row-major."""
    size = 1
    for n in x.shape[1:]:
        size *= n
    return Reshape((x.shape[0], size))(x)


def concatenate(tensors):
    """Join tensors (..., C_i) along their last axis -> (..., sum of C_i)."""
    tensors = list(tensors)
    require(
        tensors and len({t.shape[:-1] for t in tensors}) == 1,
        f"concatenate: all axes but the last must agree; got {[t.shape for t in tensors]}",
    )
    return Concatenate()(*tensors)
