"""The way back through convolution and dense in passes: through activation and bias first, then the product."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from tinycnn.devices.base import Array, Device, Gradients, Wanted
from tinycnn.shapes import Padding, Pair


class ActivationFirst(Device):
    """A device that takes dy through the activation once, and gives the result to both products.

    The kernels of a GPU do it while they load dy: there a pass of its own costs more than a comparison twice.
    """

    @abstractmethod
    def bias_relu_backward(self, dy: Array, y: Array | None) -> tuple[Array, Array]:
        """Through the activation to the bias.

        dy (...,K); y the fused ReLU's output of the same shape, or None where there was no ReLU.
        Returns (dz, db): dz = dy where y > 0 else 0 (dy itself without ReLU), db (K,) = dz summed over
        all axes but the last, in a fixed order.
        """

    def conv2d_backward(
        self, dy: Array, y: Array | None, x: Array, w: Array, stride: Pair, padding: Padding, wanted: Wanted
    ) -> Gradients:
        return self._passes(
            dy, y, wanted,
            lambda dz: self.conv2d_backward_data(dz, w, x.shape, stride, padding),
            lambda dz: self.conv2d_backward_filter(x, dz, w.shape, stride, padding),
        )  # fmt: skip

    def conv1x1_backward(self, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
        data = lambda dz: self.conv1x1_backward_data(dz, w)  # noqa: E731
        return self._passes(dy, y, wanted, data, lambda dz: self.conv1x1_backward_filter(x, dz))

    def dense_backward(self, dy: Array, y: Array | None, x: Array, w: Array, wanted: Wanted) -> Gradients:
        data = lambda dz: self.dense_backward_data(dz, w)  # noqa: E731
        return self._passes(dy, y, wanted, data, lambda dz: self.dense_backward_filter(x, dz))

    def _passes(
        self, dy: Array, y: Array | None, wanted: Wanted, data: Callable[[Array], Array],
        filter: Callable[[Array], Array],
    ) -> Gradients:  # fmt: skip
        dz, db = self.bias_relu_backward(dy, y) if wanted.b or y is not None else (dy, None)
        return data(dz) if wanted.x else None, filter(dz) if wanted.w else None, db if wanted.b else None
