"""Numba's kernels as PTX, without a GPU: `python numba_ptx.py sm_80 float:all double:one` prints as JSON what is in it.

A program of its own, because the process of the tests may have Numba's simulator in place of its compiler.
"""

import inspect
import json
import re
import sys
from types import SimpleNamespace

from numba import float32, float64, int32, int64, types, uint8, uint32, uint64
from tinycnn.kernels import numba as in_python

from tinycnn import kernels

SCALARS = {
    "float": float32,
    "double": float64,
    "int": int32,
    "long long": int64,
    "unsigned char": uint8,
    "unsigned int": uint32,
    "unsigned long long": uint64,
}


def parameters(file, name):
    """[(name, C++ type)] of the kernel `name` of kernels/`file`.cu, as [('x', 'const T*'), ...]."""
    text = re.search(rf"__global__ void {name}\((.*?)\) \{{", kernels.path(file).read_text(), re.DOTALL)[1]
    found = [re.fullmatch(r"(.*?)\s*(\w+)", part.strip()) for part in text.replace("__restrict__", "").split(",")]
    return [(match[2], " ".join(match[1].split())) for match in found]


def types_of_template(file, instance):
    """{what the kernel's template calls a type: which one it is}, as {'T': 'float'}."""
    name, given = re.fullmatch(r"(\w+)<(.+)>", instance).groups()
    text = re.search(rf"template <(.*)>\n__global__ void {name}\(", kernels.path(file).read_text())[1]
    words = [part.split() for part in text.split(", ")]
    return {word[1]: a for word, a in zip(words, given.split(", "), strict=True) if word[0] == "typename"}


def signature(file, instance):
    """The types of a kernel's arguments in Numba, from those in C++."""
    name, named = instance.split("<")[0], types_of_template(file, instance)

    def numba_type(text):
        element = text.replace("const ", "").removesuffix("*")
        scalar = SCALARS[named.get(element, element)]
        return types.Array(scalar, 1, "C") if text.endswith("*") else scalar

    found = [numba_type(text) for _, text in parameters(file, name)]
    if file == "optimizers":  # table and tensors; here p, g, two states, their size and the slices of g
        found[:2] = [types.Array(SCALARS[named["T"]], 1, "C")] * 4 + [int64, int32]
    return tuple(found)


def chosen(file, ctype, which):
    """All forms of the file's kernels, or one of each."""
    names = kernels.instances(file, ctype)
    return names if which == "all" else list({name.split("<")[0]: name for name in names}.values())


def registers(ptx, arch):
    """Of a thread, as NVIDIA's assembler gives them out."""
    from cuda.bindings import nvjitlink

    linker = nvjitlink.create(3, [f"-arch={arch}", "-verbose", "-Xptxas=-v"])
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, ptx, len(ptx), "kernel")
        nvjitlink.complete(linker)
        log = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, log)
        return int(re.search(rb"Used (\d+) registers", log)[1])
    finally:
        nvjitlink.destroy(linker)


def main(arch, *wanted):
    from numba import cuda
    from numba.cuda import dispatcher

    capability = int(arch[3:]) // 10, int(arch[3:]) % 10
    # A kernel compiles the functions it calls for the GPU that is there.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    found = {}
    for ctype, which in (word.split(":") for word in wanted):
        for file in kernels.INSTANCES:
            for name in chosen(file, ctype, which):
                kernel = in_python.instance(file, name)
                function, bound = kernel.py_func, kernel.targetoptions.get("launch_bounds")
                ptx, _ = cuda.compile_ptx(function, signature(file, name), cc=capability, launch_bounds=bound)
                found[name] = {
                    "entry": ".entry" in ptx and function.__name__ in ptx,
                    "target": re.search(r"\.target (\w+)", ptx)[1],
                    "double": ".f64" in ptx,
                    "local": "__local_depot" in ptx,
                    "arguments": len(inspect.signature(function).parameters),
                    "registers": registers(ptx.encode(), arch),
                }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
