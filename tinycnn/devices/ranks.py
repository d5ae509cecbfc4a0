"""A device made of several processes, its ranks, each of which computes a part of every batch.

`of(get_device("cpu"), communicator, "part")` is the cpu device of one rank. What `fit` and `evaluate` ask it for is
asked of the whole batch, and it answers for its part:

* gather_batch gathers this rank's images. Those before them are other ranks', so dropout draws the words of the mask
  that belong to these images, and all ranks together have the masks of one process.
* The losses give the loss and the right answers of the whole batch, and this part's share of the gradient; so does
  regularize, of its penalty's.
* summed, which the optimisers call, adds up the ranks' gradients. Every rank then makes the same update.

Batch normalisation takes its statistics over the rank's part of a batch ("part"), as if it were a batch of its own; the
moving statistics are those of all parts, by their numbers of images. Or over the whole batch ("whole"), at the price of
two messages a layer and step; a step then is that of one process, to rounding.

The sums have a fixed order. A sum by MPI itself may be formed in another order with every library and every network. So
MPI only moves numbers here: each rank is sent its share of every rank's vector, adds it up in the order of the ranks,
and sends the result to all. A number is added up in one place only, so all ranks have the same bits, and as many ranks
have the same bits from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tinycnn.devices.base import Array, Device, Mask, Slices
from tinycnn.devices.network import Network, Rule
from tinycnn.shapes import Shape

STATISTICS = ("part", "whole")
ABLE = ("reference", "cpu", "emulator")  # a recorded graph of a GPU has no room for messages


class Communicator(Protocol):
    """What is used of mpi4py's communicators."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def Alltoall(self, sendbuf: np.ndarray, recvbuf: np.ndarray) -> Any: ...

    def Allgather(self, sendbuf: np.ndarray, recvbuf: np.ndarray) -> Any: ...


def add_up(communicator: Communicator, vector: np.ndarray) -> np.ndarray:
    """The sum of every rank's vector (n,), in the order of the ranks: the same bits on all of them."""
    ranks, n = communicator.size, vector.size
    shares = np.zeros((ranks, -(-n // ranks)), vector.dtype)  # a row for each rank, which adds it up
    shares.reshape(-1)[:n] = vector
    mine = np.empty_like(shares)
    communicator.Alltoall(shares, mine)
    total = mine[0].copy()
    for theirs in mine[1:]:
        total += theirs
    communicator.Allgather(total, shares)
    return shares.reshape(-1)[:n]


def add_up_arrays(communicator: Communicator, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The same for several arrays of one dtype, in one message."""
    total = add_up(communicator, np.concatenate([array.reshape(-1) for array in arrays]))
    ends = np.cumsum([array.size for array in arrays])[:-1]
    return [part.reshape(array.shape) for part, array in zip(np.split(total, ends), arrays, strict=True)]


class Part(NamedTuple):
    """What a rank has of a batch of `batch` images: `images` of them, from number `first` on.

    A rank that has none computes with one all the same, whose loss and gradient count nothing.
    """

    first: int
    images: int
    batch: int

    @classmethod
    def of(cls, rank: int, ranks: int, batch: int) -> Part:
        first, end = (batch * r // ranks for r in (rank, rank + 1))
        return cls(first, end - first, batch)

    @property
    def share(self) -> float:
        """Of the batch's mean."""
        return self.images / self.batch


class Whole(NamedTuple):
    """What the way back through batch normalisation over the whole batch needs; mean and inverse_std (C,)."""

    mean: Array
    inverse_std: Array
    rows: int  # of all ranks


class OneRank(Device):
    """The methods that differ from those of the device that a rank computes on, which is the next base class.

    statistics: "part" or "whole", what batch normalisation takes its statistics over.
    bytes_summed: of the vectors that were added up so far.
    """

    def __init__(self, dtype: str, communicator: Communicator, statistics: str):
        super().__init__(dtype)
        self.communicator, self.statistics, self.ranks = communicator, statistics, communicator.size
        self.bytes_summed = 0
        self.mine = Part(0, 1, 1)
        self.moving: list[Array] = []  # statistics that this step has moved by those of a part

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        return step

    def whole_step(self, network: Network, rule: Rule, batch: int) -> str:
        return "it is one of several ranks, which add up their gradients within a step"

    # ---------------------------------------------------------------- a batch and its loss

    def gather_batch(self, images: Array, labels: Array, order: Array, start: Array, size: int) -> tuple[Array, Array]:
        self.mine, self.moving = Part.of(self.communicator.rank, self.communicator.size, size), []
        begin = self.asarray(self.numpy(start) + self.mine.first, "int64")
        return super().gather_batch(images, labels, order, begin, max(self.mine.images, 1))  # type: ignore[safe-super]

    def softmax_crossentropy(
        self, logits: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
    ) -> tuple[Array, Array, Array]:
        return self.of_all(super().softmax_crossentropy(logits, labels, weights), totals)  # type: ignore[safe-super]

    def binary_crossentropy(
        self, outputs: Array, labels: Array, from_logits: bool, weights: Array | None = None,
        totals: Array | None = None,
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        mine = super().binary_crossentropy(outputs, labels, from_logits, weights)  # type: ignore[safe-super]
        return self.of_all(mine, totals)

    def mean_squared_error(
        self, outputs: Array, labels: Array, weights: Array | None = None, totals: Array | None = None
    ) -> tuple[Array, Array, Array]:
        return self.of_all(super().mean_squared_error(outputs, labels, weights), totals)  # type: ignore[safe-super]

    def of_all(self, mine: tuple[Array, Array, Array], totals: Array | None) -> tuple[Array, Array, Array]:
        """(loss, correct, gradient) of the whole batch from those of its parts."""
        loss, correct, dlogits = mine
        figures = [self.numpy(loss) * self.mine.share, self.numpy(correct) * min(self.mine.images, 1)]
        moved = [self.numpy(array) * self.mine.share for array in self.moving]
        mean, right, *statistics = self.sums([array.astype(np.float64) for array in [*figures, *moved]])
        for array, values in zip(self.moving, statistics, strict=True):
            self.assign(array, self.asarray(values))
        if totals is not None:
            self.assign(totals, self.numpy(totals) + [mean[0] * self.mine.batch, right[0]])
        return self.asarray(mean), self.asarray(right), self.elementwise("multiply", dlogits, self.mine.share)

    def regularize(
        self, parameter: Array, gradient: Array | Slices | None, l1: float, l2: float, rows: int = 1,
        totals: Array | None = None,
    ) -> Array:  # fmt: skip
        share = self.mine.share  # of the gradient, for `summed` adds up those of all ranks
        super().regularize(parameter, gradient, l1 * share, l2 * share)  # type: ignore[safe-super]
        return super().regularize(parameter, None, l1, l2, rows, totals)  # type: ignore[safe-super]

    def summed(self, gradients: Sequence[Any]) -> list[Any]:
        return [self.asarray(total) for total in self.sums([self.numpy(self.whole(g)) for g in gradients])]

    def sums(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.bytes_summed += sum(array.nbytes for array in arrays)
        return add_up_arrays(self.communicator, arrays)

    # ---------------------------------------------------------------- dropout

    def dropout_forward(self, x: Array, rate: float, seed: int, stream: int, step: Array) -> tuple[Array, Any]:
        here, shape = self.place(x.shape)
        y, saved = super().dropout_forward(self.embed(x, shape, here), rate, seed, stream, step)  # type: ignore[safe-super]
        return self.part(y, here), saved

    def dropout_backward(self, dy: Array, rate: float, seed: int, stream: int, saved: Any) -> Array:
        here, shape = self.place(dy.shape)
        return self.part(super().dropout_backward(self.embed(dy, shape, here), rate, seed, stream, saved), here)  # type: ignore[safe-super]

    def place(self, shape: Shape) -> tuple[slice, Shape]:
        """Where this rank's images are in the whole batch, and the whole batch's shape."""
        return slice(self.mine.first, self.mine.first + shape[0]), (max(self.mine.batch, shape[0]), *shape[1:])

    def draw(self, array: Array, normal: bool, seed: int, stream: int, step: Array) -> None:
        raise ValueError("ranks draw no random numbers beside dropout's: train in one process")

    # ---------------------------------------------------------------- batch normalisation

    def batchnorm_forward(
        self, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, momentum: float,
        epsilon: float, mask: Mask | None = None,
    ) -> tuple[Array, Any]:  # fmt: skip
        arrays = x, gamma, beta, moving_mean, moving_variance
        if self.statistics == "whole":
            y, saved = self.whole_forward(*arrays, momentum, epsilon)
        else:
            y, saved = super().batchnorm_forward(*arrays, momentum, epsilon)  # type: ignore[safe-super]
            self.moving += [moving_mean, moving_variance]
        if mask is None:
            return y, (saved, None)
        y, kept = self.dropout_forward(y, *mask)
        return y, (saved, mask._replace(step=kept))

    def batchnorm_backward(self, dy: Array, x: Array, gamma: Array, saved: Any) -> tuple[Array, Array, Array]:
        own, mask = saved
        if mask is not None:
            dy = self.dropout_backward(dy, *mask)
        if isinstance(own, Whole):
            return self.whole_backward(dy, x, gamma, own)
        return super().batchnorm_backward(dy, x, gamma, own)  # type: ignore[safe-super]

    def whole_forward(
        self, x: Array, gamma: Array, beta: Array, moving_mean: Array, moving_variance: Array, momentum: float,
        epsilon: float,
    ) -> tuple[Array, Whole]:  # fmt: skip
        """batchnorm_forward by the statistics of the whole batch.

        Each rank sends its number of rows, its mean and its sum of squares around it; they are joined by the formula of
        Chan, Golub and LeVeque (1979), for a difference of large sums would lose the digits of a small variance.
        """
        rows, C = (math.prod(x.shape[:-1]), x.shape[-1])
        axes = tuple(range(len(x.shape) - 1))
        mean = self.elementwise("divide", self.reduce("sum", x, axes), float(rows))
        away = self.elementwise("subtract", x, mean)
        squares = self.reduce("sum", self.elementwise("multiply", away, away), axes)
        counted = rows if self.mine.images else 0
        sent = np.concatenate([[counted], self.numpy(mean).astype(np.float64), self.numpy(squares)])
        got = np.empty((self.communicator.size, 1 + 2 * C))
        self.communicator.Allgather(sent, got)
        self.bytes_summed += sent.nbytes
        n, means, squared = got[:, :1], got[:, 1 : 1 + C], got[:, 1 + C :]
        total = n.sum()
        joined = (n * means).sum(axis=0) / total
        variance = np.where(n > 0, squared + n * (means - joined) ** 2, 0).sum(axis=0) / total
        for moving, new in ((moving_mean, joined), (moving_variance, variance)):
            old = self.numpy(moving)
            self.assign(moving, self.asarray(old + (new - old) * (1 - momentum)))
        statistics = self.asarray(joined), self.asarray(variance)
        y = self.batchnorm_inference(x, gamma, beta, *statistics, epsilon)
        return y, Whole(statistics[0], self.asarray(1 / np.sqrt(variance + epsilon)), int(total))

    def whole_backward(self, dy: Array, x: Array, gamma: Array, saved: Whole) -> tuple[Array, Array, Array]:
        """(dx, and this part's dgamma and dbeta)."""
        of, axes = self.elementwise, tuple(range(len(x.shape) - 1))
        x_hat = of("multiply", of("subtract", x, saved.mean), saved.inverse_std)
        dbeta, dgamma = self.reduce("sum", dy, axes), self.reduce("sum", of("multiply", dy, x_hat), axes)
        means = [self.asarray(a / saved.rows) for a in self.sums([self.numpy(dbeta), self.numpy(dgamma)])]
        inner = of("subtract", of("subtract", dy, means[0]), of("multiply", x_hat, means[1]))
        counts = float(min(self.mine.images, 1))  # the image of a rank that has none moves with the others' sums
        dx = of("multiply", inner, of("multiply", of("multiply", gamma, saved.inverse_std), counts))
        return dx, dgamma, dbeta


def of(device: Device, communicator: Communicator, statistics: str) -> Device:
    """The same device as one rank of several. Raises ValueError for a device that cannot be one."""
    if device.name not in ABLE:
        raise ValueError(
            f"the {device.name} device trains in one process, for its recorded steps have no room for what ranks send "
            f"one another; those that can be ranks: {', '.join(ABLE)}"
        )
    if statistics not in STATISTICS:
        raise ValueError(f"batch normalisation takes its statistics over {' or '.join(STATISTICS)}, not {statistics!r}")
    made: Device = class_of(device)(device.dtype, communicator, statistics)
    made.path = device.path
    made.path_is_forced = device.path_is_forced
    return made


def class_of(device: Device) -> Callable[[str, Communicator, str], Device]:
    """The class of one rank of this device."""
    if device.name == "cpu":
        from tinycnn.devices.cpu.rank import CpuRank

        return CpuRank
    return type(f"OneRankOf{type(device).__name__}", (OneRank, type(device)), {})
