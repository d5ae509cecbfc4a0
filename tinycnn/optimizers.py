"""The optimisers, with Keras's update rules, names and defaults."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinycnn import refusals
from tinycnn.careful import Careful, checked
from tinycnn.devices import current_device
from tinycnn.devices.base import Array, Device
from tinycnn.tensor import Tensor


class Rate(float):
    """An optimiser's learning rate: a number, through which `backend.set_value` finds the optimiser."""

    owner: Optimizer

    @classmethod
    def of(cls, optimizer: Optimizer, value: float) -> Rate:
        rate = cls(value)
        rate.owner = optimizer
        return rate


class Optimizer(Careful):
    """The base: the learning rate and the step count live on the device, so that a recorded step can read them.

    A subclass has `slots`, the names of its per-parameter state, and `update(device, parameters, gradients)`.
    """

    slots: tuple[str, ...] = ()
    takes_slices = False  # whether `update` adds up gradients that come in Slices, as the devices' own rules do
    settable = ("learning_rate",)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "__init__" in vars(cls):
            cls.__init__ = refusals.by_name(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, learning_rate: float, lr: float | None = None, decay: float = 0.0):
        self._learning_rate = checked(learning_rate if lr is None else lr, "the learning rate", "(0, inf)")
        self.decay = checked(decay, "decay", "[0, inf)")
        self.iterations = 0
        self.parameters: list[Tensor] = []  # those that the state belongs to
        self.state: dict[str, list[Array]] | None = None  # slot name: list of arrays, one a parameter

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def learning_rate(self) -> float:
        """The rate before Keras 2's decay, rate / (1 + decay * iterations), is applied. May be set, also to 0."""
        return Rate.of(self, self._learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = checked(value, "the learning rate", "[0, inf)")

    lr = learning_rate

    def bind(self, parameters: Sequence[Tensor]) -> None:
        """Make the state for these parameters on their device, unless it is there.

        Raises ValueError where it is that of other parameters: moments of one network say nothing about another's.
        """
        if self.state is not None:
            if [id(p) for p in parameters] != [id(p) for p in self.parameters]:
                raise ValueError(f"this optimizer, {self.name}, holds the state of other parameters: make a new one")
            return
        self.parameters = list(parameters)
        self.device: Device = parameters[0].device if parameters else current_device()
        self.rate_on_device, self.rate_there = self.device.zeros((1,)), 0.0
        self.step_on_device = self.device.zeros((1,), "int64")
        self.state = {slot: [self.device.zeros(p.shape) for p in parameters] for slot in self.slots}
        self.device.assign(self.step_on_device, np.array([self.iterations]))

    def before_step(self) -> None:
        """Bring the host's learning rate to the device where it has changed. Not part of a recorded step."""
        rate = self._learning_rate / (1 + self.decay * self.iterations)
        if rate != self.rate_there:
            self.device.assign(self.rate_on_device, np.array([rate]))
            self.rate_there = rate
        self.iterations += 1

    def next_rates(self, steps: int) -> np.ndarray:
        """What a device multiplies by in each of the next steps, float32 (steps,), which it takes in one launch. They
        count as taken."""
        taken = self.iterations + np.arange(steps)
        rates = (self._learning_rate / (1 + self.decay * taken)).astype(np.float32)
        self.iterations += steps
        return self.corrected(rates, taken + 1)

    def corrected(self, rates: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Learning rates of these steps, the first being 1, with what the rule corrects them by."""
        return rates

    def step(self, parameters: Sequence[Tensor]) -> None:
        """Update tensors in place by their `.grad`, the step's counter being moved on: what of it can be recorded."""
        gradients: list[Any] = [p.gradient if self.takes_slices else p.grad for p in parameters]
        arrays = [g.data if isinstance(g, Tensor) else g for g in gradients]
        self.update(self.device, [p.data for p in parameters], list(self.device.summed(arrays)))

    def update(self, device: Device, parameters: list[Array], gradients: list[Any]) -> None:
        """The rule of a subclass, in place. Raises NotImplementedError where it has none."""
        raise NotImplementedError(f"{self.name} has no update(self, device, parameters, gradients)")

    def apply(self, parameters: Sequence[Tensor]) -> None:
        """One whole update of tensors by their `.grad`, for training loops of one's own.

        Raises ValueError where a parameter has no gradient.
        """
        for p in parameters:
            if p.gradient is None:
                raise ValueError(f"a parameter of shape {p.shape} has no gradient: call backward() before the update")
        self.bind(parameters)
        self.before_step()
        self.device.advance([(self.step_on_device, 1)])
        self.step(parameters)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments, for checkpoints."""
        return {"learning_rate": self._learning_rate, "decay": self.decay}

    def get_config(self) -> dict[str, Any]:
        """The same, by Keras's name."""
        return self.options()


class SGD(Optimizer):
    """v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead.

    >>> p = Tensor([1.0, 2.0], requires_grad=True)
    >>> (p * p).sum().backward()
    >>> SGD(0.25).apply([p])
    >>> p.numpy()
    array([0.5, 1. ], dtype=float32)
    """

    takes_slices = True

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, *, lr: float | None = None,
        decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(learning_rate, lr, decay)
        self.momentum, self.nesterov = checked(momentum, "momentum", "[0, 1]"), bool(nesterov)
        self.slots = ("velocity",) if momentum else ()

    def update(self, device: Device, parameters: list[Array], gradients: list[Array]) -> None:
        velocities = (self.state or {}).get("velocity", [])
        device.sgd_step(parameters, gradients, velocities, self.rate_on_device, self.momentum, self.nesterov)

    def options(self) -> dict[str, Any]:
        return {**super().options(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Kingma and Ba, 2015, in Keras's form: epsilon outside the root, not corrected for bias."""

    slots = ("m", "v")
    takes_slices = True

    def __init__(
        self, learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, *, epsilon: float | None = 1e-7,
        lr: float | None = None, decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(learning_rate, lr, decay)
        self.beta_1, self.beta_2 = checked(beta_1, "beta_1", "[0, 1)"), checked(beta_2, "beta_2", "[0, 1)")
        self.epsilon = checked(1e-7 if epsilon is None else epsilon, "epsilon", "[0, inf)")

    def corrected(self, rates: np.ndarray, steps: np.ndarray) -> np.ndarray:
        exact = rates.astype(np.float64) * np.sqrt(1 - self.beta_2**steps) / (1 - self.beta_1**steps)
        return exact.astype(np.float32)

    def update(self, device: Device, parameters: list[Array], gradients: list[Array]) -> None:
        state = self.state or {}
        device.adam_step(
            parameters, gradients, state["m"], state["v"],
            self.rate_on_device, self.step_on_device, (self.beta_1, self.beta_2), self.epsilon,
        )  # fmt: skip

    def options(self) -> dict[str, Any]:
        return {**super().options(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adadelta(Optimizer):
    """Zeiler, 2012. The learning rate's default is 1.0, as in Keras 2 and in the paper."""

    slots = ("mean_square", "mean_delta")
    takes_slices = True

    def __init__(
        self, learning_rate: float = 1.0, rho: float = 0.95, *, epsilon: float | None = 1e-7, lr: float | None = None,
        decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(learning_rate, lr, decay)
        self.rho = checked(rho, "rho", "[0, 1]")
        self.epsilon = checked(1e-7 if epsilon is None else epsilon, "epsilon", "[0, inf)")

    def update(self, device: Device, parameters: list[Array], gradients: list[Array]) -> None:
        state = self.state or {}
        device.adadelta_step(
            parameters, gradients, state["mean_square"], state["mean_delta"],
            self.rate_on_device, self.rho, self.epsilon,
        )  # fmt: skip

    def options(self) -> dict[str, Any]:
        return {**super().options(), "rho": self.rho, "epsilon": self.epsilon}


class RMSprop(Optimizer):
    """Tieleman and Hinton, 2012, in Keras 2's form: epsilon outside the root. (Keras 3 adds it inside.)"""

    slots = ("mean_square",)
    takes_slices = True

    def __init__(
        self, learning_rate: float = 0.001, rho: float = 0.9, *, epsilon: float | None = 1e-7, lr: float | None = None,
        decay: float = 0.0,
    ):  # fmt: skip
        super().__init__(learning_rate, lr, decay)
        self.rho = checked(rho, "rho", "[0, 1]")
        self.epsilon = checked(1e-7 if epsilon is None else epsilon, "epsilon", "[0, inf)")

    def update(self, device: Device, parameters: list[Array], gradients: list[Array]) -> None:
        mean_square = (self.state or {})["mean_square"]
        device.rmsprop_step(parameters, gradients, mean_square, self.rate_on_device, self.rho, self.epsilon)

    def options(self) -> dict[str, Any]:
        return {**super().options(), "rho": self.rho, "epsilon": self.epsilon}


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adadelta": Adadelta, "rmsprop": RMSprop}


# Keras 2's other names.
sgd, adam, adadelta, rmsprop = SGD, Adam, Adadelta, RMSprop


def get(identifier: str | Optimizer, **options: Any) -> Optimizer:
    """An optimiser from its name, one of OPTIMIZERS, or as it is. Raises ValueError for another name."""
    if isinstance(identifier, Optimizer):
        return identifier
    cls = OPTIMIZERS.get(str(identifier).lower())
    if cls is None:
        raise ValueError(f"no optimizer is called {identifier!r}; there are: {', '.join(OPTIMIZERS)}")
    return cls(**options)


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
