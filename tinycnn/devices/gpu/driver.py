"""What the launch code asks of the place where kernels run."""

from abc import ABC, abstractmethod


class Driver(ABC):
    """Arrays, kernels and launches. An array has .shape, .size, .dtype, .reshape and slicing like NumPy's."""

    @abstractmethod
    def holds(self, array):
        """Whether this is an array of this driver's."""

    @abstractmethod
    def asarray(self, host, dtype):
        """A C-contiguous device array, aligned to 16 bytes, with the values of a NumPy or device array."""

    @abstractmethod
    def numpy(self, array):
        """The values as a NumPy array. Waits for the device."""

    @abstractmethod
    def empty(self, shape, dtype):
        """A C-contiguous array of any content, aligned to 16 bytes."""

    @abstractmethod
    def zeros(self, shape, dtype):
        """The same, of zeros."""

    @abstractmethod
    def copy(self, array):
        """A new C-contiguous array with the values of an array or a view."""

    @abstractmethod
    def assign(self, destination, source):
        """destination[...] = source."""

    @abstractmethod
    def address_table(self, rows):
        """An int64 device array of these rows (of ints and arrays), an array standing for its address."""

    @abstractmethod
    def launch(self, file, kernel, ctype, grid, block, args, shared):
        """Start a kernel of kernels/`file`.cu, built for `ctype` ('float' or 'double').

        kernel: its C++ name, as 'relu_forward<float>'; args: device arrays and NumPy scalars of the exact types;
        shared: bytes of dynamic shared memory.
        """

    def record(self, step):
        """A function that does what `step` does, as fast as it can."""
        return step
