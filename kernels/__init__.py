"""The CUDA kernels: what this project teaches. One operation a file; `common.cuh` is what they share.

Installed as tinycnn.kernels. INSTANCES says which forms of each kernel exist: `T` stands for float or double.
LADDER is one operation in steps, from the naive kernel to tensor cores: lessons, which no device uses. FAST are the
kernels that are compiled for one layer's shape.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parent

INSTANCES: dict[str, tuple[str, ...]] = {
    "activations": ("activation_forward<T>", "activation_backward<T>"),
    "add": ("add<T>",),
    "avgpool2d": tuple(f"avgpool2d_{way}<T, {width}>" for way in ("forward", "backward") for width in (1, 4)),
    "batchnorm": (
        *(f"batchnorm_statistics<T, {width}>" for width in (1, 4)),
        *(
            f"batchnorm_{part}<T, {width}, {drops}>"
            for part in ("normalize", "backward_sums", "backward_data")
            for width in (1, 4)
            for drops in ("false", "true")
        ),
    ),
    "bookkeeping": ("gather_batch<T>", "fill<T>", "advance<long long>", "fill<long long>"),
    "conv1x1": (
        *(f"conv1x1_{way}<T, {columns}>" for way in ("forward", "backward_data") for columns in (8, 16, 32)),
        "conv1x1_backward_filter<T>",
    ),
    "conv2d": (
        *(
            f"conv2d_{way}<T, {pixels}, {vector}>"
            for way in ("forward", "backward_data")
            for pixels in (1, 4)
            for vector in ("false", "true")
        ),
        "conv2d_backward_filter<T, false>",
        "conv2d_backward_filter<T, true>",
    ),
    "dense": tuple(
        f"dense_{way}<T, {tile}>" for way in ("forward", "backward_data", "backward_filter") for tile in (32, 64)
    ),
    "draw": ("draw<T>",),
    "dropout": ("dropout<T>",),
    "elementwise": ("binary<T>", "binary_flat<T>", "binary_number<T>", "unary<T>"),
    "globalpool2d": tuple(f"global{kind}pool2d_{way}<T>" for kind in ("avg", "max") for way in ("forward", "backward")),
    "layout": ("transpose<T>", "transpose_matrix<T>", "copy_columns<T>"),
    "maxpool2d": tuple(
        f"maxpool2d_{way}<T, {index}, {width}>"
        for way in ("forward", "backward")
        for index in ("unsigned char", "int")
        for width in (1, 4)
    ),
    "optimizers": ("sgd<T>", "adam<T>", "adadelta<T>", "rmsprop<T>"),
    "reduce": ("reduce<T>",),
    "regularize": ("regularize<T>",),
    "relu": ("relu_forward<T>", "relu_backward<T>"),
    "softmax_crossentropy": (
        "softmax_forward<T>",
        "softmax_backward<T>",
        "softmax_crossentropy<T>",
        "binary_crossentropy<T>",
        "mean_squared_error<T>",
    ),
    "upsample2d": tuple(f"upsample2d_{way}<T, {width}>" for way in ("forward", "backward") for width in (1, 4)),
    "zeropad2d": ("zeropad2d<T, 1>", "zeropad2d<T, 4>"),
}

LADDER = tuple(
    f"ladder/{step}"
    for step in (
        "1_naive",
        "2_coalesced",
        "3_shared_filters",
        "4_halo_tile",
        "5_register_blocking",
        "6_implicit_gemm",
        "7_vectorised",
        "8_tensor_cores",
        "9_specialised",
    )
)

# Compiled for one layer's shape, a step of the ladder too: which instances there are, the layers say.
FAST = tuple(f"fast/{name}" for name in ("conv_gemm", "conv_gemm_filter", "conv_small", "conv_small_filter"))
SPECIALISED = (*FAST, "ladder/9_specialised")
NAMES = (*INSTANCES, *FAST, *LADDER)

INSTANCES_OF_A_STEP = ("conv2d_forward", "conv2d_backward_data", "conv2d_backward_filter")  # in float alone


def path(name: str) -> Path:
    """The file of the kernels called `name`, as 'conv2d' or 'ladder/1_naive'; of a generated one, its path without
    '.cu'."""
    return FOLDER / f"{name}.cu"


def files() -> list[str]:
    """What there is to read in C, as paths from FOLDER: the kernel files, their headers, and the ladder's own text."""
    patterns = ("*.cu", "*.cuh", "fast/*.cu", "fast/*.cuh", "step/*.cuh", "ladder/*.cu", "ladder/*.cuh", "ladder/*.md")
    return [found.relative_to(FOLDER).as_posix() for pattern in patterns for found in sorted(FOLDER.glob(pattern))]


def instances(name: str, ctype: str) -> tuple[str, ...]:
    """The kernels of a file, not of SPECIALISED, as C++ name expressions; ctype: 'float' or 'double'."""
    if name in LADDER:
        return INSTANCES_OF_A_STEP
    return tuple(re.sub(r"\bT\b", ctype, instance) for instance in INSTANCES[name])


def is_specialised(name: str) -> bool:
    """Whether a file's instances are built one by one, as they are launched: of SPECIALISED, or generated."""
    return name in SPECIALISED or Path(name).is_absolute()


def source(name: str) -> str:
    """The text of a kernel file with the headers that it includes put into it, each once, for NVRTC. Lines keep their
    numbers."""
    return _with_headers(path(name), f"{name}.cu", set())


def _with_headers(file: Path, name: str, there: set[Path]) -> str:
    lines = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        header = re.fullmatch(r'#include "(.*)"', line)
        if header and (found := (file.parent / header[1]).resolve()) not in there:
            there.add(found)
            text = _with_headers(found, header[1], there)
            lines += [f'#line 1 "{header[1]}"', text.rstrip("\n"), f'#line {number + 1} "{name}"']
        else:
            lines.append("" if header or line == "#pragma once" else line)
    return "\n".join([*lines, ""])
