"""What the emulator's tests say of CUDA, asked of a GPU: a plugin of pytest's that lets CuPy build and launch kernels.

    cd tests/emulator; PYTHONPATH=. python -m pytest -p on_gpu test_semantics.py test_intrinsics.py test_together.py

The tests are the same, and the kernels, and what they have to give. benchmarks/emulator_beside_gpu.py runs them.
"""

from pathlib import Path

import cupy
import numpy as np

from tinycnn import emulator

USUAL_SHARED = 48 * 1024  # bytes of a block's, of which no more need be asked for
LAUNCHED = {"module", "others"}  # the fixtures that hold a module
OF_THE_EMULATOR = {  # tests of what is not CUDA's: of its errors, of addresses of the host, of the order of sums
    "test_what_would_hang_or_be_undefined_on_a_gpu_is_an_error",
    "test_a_struct_by_value_and_a_table_of_pointers",
    "test_launches_repeat_bit_for_bit",
    "test_a_launch_waits_while_all_sets_of_stacks_are_in_use",
    "test_a_block_that_cannot_go_on_ends_the_launch",
    "test_more_blocks_than_a_gpu_holds_are_refused",
}


def pytest_configure():
    emulator.load = Module


def pytest_collection_modifyitems(config, items):
    def is_cudas(item):
        return LAUNCHED & set(item.fixturenames) and item.originalname not in OF_THE_EMULATOR

    config.hook.pytest_deselected(items=[item for item in items if not is_cudas(item)])
    items[:] = filter(is_cudas, items)
    for item in items:
        item.module.COARSE = 2e-5  # what __tanf, __tanhf and __powf need on an H200


class Module:
    """In place of emulator.Module: a file's kernels on the GPU, their arguments in the host's memory all the same."""

    def __init__(self, path, name_expressions):
        text = Path(path).read_text()
        self.built = cupy.RawModule(code=text, options=("-std=c++17",), name_expressions=list(name_expressions))

    def launch(self, kernel, grid, block, args, shared=0, cooperative=False):
        function = self.built.get_function(kernel)
        if shared > USUAL_SHARED:
            function.max_dynamic_shared_size_bytes = shared
        arrays = [(arg, cupy.cuda.alloc(arg.nbytes)) for arg in args if isinstance(arg, np.ndarray)]
        for array, memory in arrays:
            memory.copy_from_host(array.ctypes.data, array.nbytes)
        left = iter(arrays)
        values = tuple(np.uint64(next(left)[1].ptr) if isinstance(arg, np.ndarray) else arg for arg in args)
        function.kernel(grid, block, values, shared_mem=shared, enable_cooperative_groups=cooperative)
        cupy.cuda.get_current_stream().synchronize()
        for array, memory in arrays:
            memory.copy_to_host(array.ctypes.data, array.nbytes)

    def get_global(self, name, dtype=np.uint8):
        try:
            return Variable(self.built.get_global(name), dtype)
        except cupy.cuda.driver.CUDADriverError:
            raise KeyError(f"no __constant__ array {name!r}") from None


class Variable:
    """The numbers of a variable of a module's, all of which can be written."""

    def __init__(self, memory, dtype):
        self.memory, self.dtype = memory, dtype

    def __setitem__(self, all_of_it, values):
        values = np.array(values, self.dtype)
        self.memory.copy_from_host(values.ctypes.data, values.nbytes)
