"""Tables of what of CUDA the emulator has and refuses, from the files that say so:

intrinsics, intrinsics-refused: from tinycnn/emulator/intrinsics.json;
cuda-functions, cuda-headers, cuda-refused-headers, cuda-refused-names: from its headers and unsupported.json;
cuda-programs: from the programs that the tests run.
"""

import json
import re
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent


def listed_intrinsics():
    return json.loads((ROOT / "tinycnn" / "emulator" / "intrinsics.json").read_text(encoding="utf-8"))


def intrinsics(results):
    return in_lines(listed_intrinsics()["works"])


def intrinsics_refused(results):
    instead = {}
    for name, text in listed_intrinsics()["refused"].items():
        instead.setdefault(text, []).append(name)
    return in_lines(instead)


def in_lines(names):
    """{what: names}, in lines: a table of them would be too wide."""
    return "\n".join(f"- {what}: " + " ".join(f"`{name}`" for name in those) for what, those in names.items())


def cuda_functions(results):
    """Those that host.h declares, by what they are about."""
    from tinycnn.emulator import headers

    text = (headers.RUNTIME / "host.h").read_text(encoding="utf-8")
    left = dict.fromkeys(re.findall(r"\b(cuda[A-Z]\w*)\(", text))
    subjects = {
        "symbols": r"\w*Symbol",
        "errors": r"\w*Error",
        "copies": "Memcpy|Memset",
        "memory": "Malloc|Free|HostAlloc|HostRegister|HostUnregister|HostGet|MemGetInfo|MemPrefetch|MemAdvise|Pointer",
        "streams and events": "Stream|Event|LaunchHostFunc",
        "launches": "Launch|Func|Occupancy",
        "the GPU": "",
    }
    rows = []
    for subject, words in subjects.items():
        found = sorted(name for name in left if re.match(f"cuda({words})" if words else "", name))
        left = [name for name in left if name not in found]
        rows.append([subject, ", ".join(f"`{name}`" for name in found)])
    return tabulate(rows, headers=["about", "functions"], tablefmt="pipe")


def cuda_headers(results):
    """The headers, with the first sentence of those that are more than another name of cuda_runtime.h."""
    from tinycnn.emulator import headers

    rows = []
    for name in headers.names():
        if name in headers.ALIASES or name in ("cuda_runtime.h", "small_floats.h"):
            continue
        comment = re.findall(r"^// ?(.*)$", (headers.FOLDER / name).read_text(encoding="utf-8"), re.MULTILINE)
        rows.append([f"`{name}`", " ".join(comment).partition(". ")[0].rstrip(".")])
    rows.append(["`cuda_runtime.h`", "the runtime's functions, below; it need not be included"])
    rows.append([", ".join(f"`{name}`" for name in headers.ALIASES), "the same as `cuda_runtime.h`"])
    return tabulate(rows, headers=["header", "what is there"], tablefmt="pipe")


def cuda_refused_headers(results):
    from tinycnn.emulator import unsupported

    rows = [[f"`{start}`", advice] for start, advice in unsupported.known()["headers"].items()]
    return tabulate(rows, headers=["header that begins with", "instead"], tablefmt="pipe")


def cuda_refused_names(results):
    from tinycnn.emulator import unsupported

    rows = [advice.partition(": ") for advice in unsupported.known()["names"].values() if ": " in advice]
    return tabulate([(what, advice) for what, _, advice in rows], headers=["what", "instead"], tablefmt="pipe")


def cuda_programs(results):
    """The kernels of the programs that the tests run, beside NumPy."""
    from tinycnn.emulator import syntax

    rows = []
    for path in sorted((ROOT / "tests" / "emulator" / "programs").glob("*.cu")):
        text = path.read_bytes()
        comment = re.findall(r"^// ?(.*)$", text.decode().partition("\n#include")[0], re.MULTILINE)
        kernels = ", ".join(f"`{name}`" for name in sorted(syntax.definitions(text).kernels))
        rows.append([f"`{path.name}`", " ".join(comment).partition(". ")[0].rstrip("."), kernels])
    return tabulate(rows, headers=["program", "what it is", "its kernels"], tablefmt="pipe")


TABLES = {
    "intrinsics": intrinsics,
    "intrinsics-refused": intrinsics_refused,
    "cuda-functions": cuda_functions,
    "cuda-headers": cuda_headers,
    "cuda-refused-headers": cuda_refused_headers,
    "cuda-refused-names": cuda_refused_names,
    "cuda-programs": cuda_programs,
}
