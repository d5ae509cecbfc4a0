"""The optimisers, with Keras's update rules, names and defaults."""

import numpy as np

from tinycnn.devices import current_device


class Optimizer:
    """The base: the learning rate and the step count live on the device, so that a recorded step can read them.

    A subclass has `slots`, the names of its per-parameter state, and `update(device, parameters, gradients)`.
    """

    slots = ()

    def __init__(self, learning_rate, lr=None, decay=0.0):
        rate = learning_rate if lr is None else lr
        if not rate > 0:
            raise ValueError(f"the learning rate must be positive, not {rate!r}")
        if not decay >= 0:
            raise ValueError(f"decay must not be negative, not {decay!r}")
        self._learning_rate, self.decay = float(rate), float(decay)
        self.iterations = 0
        self.state = None  # slot name: list of arrays, one a parameter

    @property
    def name(self):
        return type(self).__name__

    @property
    def learning_rate(self):
        """The rate before Keras 2's decay, rate / (1 + decay * iterations), is applied."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self._learning_rate = float(value)

    lr = learning_rate

    def bind(self, parameters):
        """Make the state for these parameters on their device, unless it is there.

        Raises ValueError where it is that of another network.
        """
        if self.state is not None:
            held = [[array.shape for array in arrays] for arrays in self.state.values()]
            if any(shapes != [p.shape for p in parameters] for shapes in held):
                raise ValueError(f"this optimizer, {self.name}, holds the state of another network: make a new one")
            return
        self.device = parameters[0].device if parameters else current_device()
        self.rate_on_device, self.rate_there = self.device.zeros((1,)), 0.0
        self.step_on_device = self.device.zeros((1,), "int64")
        self.state = {slot: [self.device.zeros(p.shape) for p in parameters] for slot in self.slots}
        self.device.assign(self.step_on_device, np.array([self.iterations]))

    def before_step(self):
        """Bring the host's learning rate to the device where it has changed. Not part of a recorded step."""
        rate = self._learning_rate / (1 + self.decay * self.iterations)
        if rate != self.rate_there:
            self.device.assign(self.rate_on_device, np.array([rate]))
            self.rate_there = rate
        self.iterations += 1

    def step(self, parameters):
        """Update tensors in place by their `.grad`, the step's counter being moved on: what of it can be recorded."""
        self.update(self.device, [p.data for p in parameters], [p.grad.data for p in parameters])

    def apply(self, parameters):
        """One whole update of tensors by their `.grad`, for training loops of one's own.

        Raises ValueError where a parameter has no gradient.
        """
        for p in parameters:
            if p.grad is None:
                raise ValueError(f"a parameter of shape {p.shape} has no gradient: call backward() before the update")
        self.bind(parameters)
        self.before_step()
        self.device.advance([(self.step_on_device, 1)])
        self.step(parameters)

    def options(self):
        """The constructor's arguments, for checkpoints."""
        return {"learning_rate": self._learning_rate, "decay": self.decay}


class SGD(Optimizer):
    """v = momentum*v - lr*g; p += v, or p += momentum*v - lr*g with Nesterov's look-ahead."""

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, lr=None, decay=0.0):
        super().__init__(learning_rate, lr, decay)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], not {momentum!r}")
        self.momentum, self.nesterov = float(momentum), bool(nesterov)
        self.slots = ("velocity",) if momentum else ()

    def update(self, device, parameters, gradients):
        velocities = self.state.get("velocity", [])
        device.sgd_step(parameters, gradients, velocities, self.rate_on_device, self.momentum, self.nesterov)

    def options(self):
        return {**super().options(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(Optimizer):
    """Kingma and Ba, 2015, in Keras's form: epsilon outside the root, not corrected for bias."""

    slots = ("m", "v")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, lr=None, decay=0.0):
        super().__init__(learning_rate, lr, decay)
        self.beta_1, self.beta_2, self.epsilon = float(beta_1), float(beta_2), float(epsilon)

    def update(self, device, parameters, gradients):
        device.adam_step(
            parameters, gradients, self.state["m"], self.state["v"],
            self.rate_on_device, self.step_on_device, (self.beta_1, self.beta_2), self.epsilon,
        )  # fmt: skip

    def options(self):
        return {**super().options(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adadelta(Optimizer):
    """Zeiler, 2012. The learning rate's default is 1.0, as in Keras 2 and in the paper."""

    slots = ("mean_square", "mean_delta")

    def __init__(self, learning_rate=1.0, rho=0.95, epsilon=1e-7, lr=None, decay=0.0):
        super().__init__(learning_rate, lr, decay)
        self.rho, self.epsilon = float(rho), float(epsilon)

    def update(self, device, parameters, gradients):
        device.adadelta_step(
            parameters, gradients, self.state["mean_square"], self.state["mean_delta"],
            self.rate_on_device, self.rho, self.epsilon,
        )  # fmt: skip

    def options(self):
        return {**super().options(), "rho": self.rho, "epsilon": self.epsilon}


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adadelta": Adadelta}


def get(optimizer, **options):
    """An optimiser from its name ('sgd', 'adam', 'adadelta') or as it is. Raises ValueError for another name."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    cls = OPTIMIZERS.get(str(optimizer).lower())
    if cls is None:
        raise ValueError(f"no optimizer is called {optimizer!r}; there are: {', '.join(OPTIMIZERS)}")
    return cls(**options)
