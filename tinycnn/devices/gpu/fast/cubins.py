"""The kernels of one shape as machine code for an NVIDIA GPU: compiled side by side, and kept.

Each is a program of its own, so as many are compiled at once as there are cores: NVRTC works outside of Python's lock.
A kernel is two files in the folder: `<key>.cubin`, the code, and `<key>.json`, with the code's digest and the kernel's
name in it. The key is a digest of all that decides what the code is: the source, the name, the architecture and
NVRTC. A code that is not what was written is compiled again, and the longest unused make room for new ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import tinycnn.kernels as kernels
from tinycnn.folders import user_cache

DAY = 24 * 60 * 60  # seconds
ROOM = 256 * 2**20  # bytes of all kept code
MOST_THREADS = 16
OPTIONS = ("-std=c++17",)
SUFFIXES = (".cubin", ".json")
SECONDS_UNTIL_SHOWN = 1  # of compiling, until there is a line about it

_temporary: list[tempfile.TemporaryDirectory] = []  # the one that is used where the chosen folder cannot be written


class Code(NamedTuple):
    """Where a kernel's machine code is, and what it is called there."""

    path: Path
    symbol: str


def chosen_folder() -> Path:
    """The folder by the user's wish, TINYCNN_CUDA_CACHE, or in the user's cache folder."""
    given = os.environ.get("TINYCNN_CUDA_CACHE")
    return Path(given) if given else user_cache() / "tinycnn" / "cuda"


def describe() -> tuple[int, int]:
    """(files, bytes) of the chosen folder."""
    sizes = [path.stat().st_size for path in chosen_folder().glob("*") if path.suffix in SUFFIXES]
    return len(sizes), sum(sizes)


def build(nvrtc: Any, arch: str, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Code]:
    """The code of kernels, as (file, kernel), for an architecture like 'sm_90'; compiled where it is not kept yet.

    nvrtc: CuPy's module of that name. Raises RuntimeError with NVRTC's log for a kernel that it refuses.
    """
    sources = {file: kernels.source(file) for file in {file for file, _ in wanted}}
    keys = {(file, kernel): key_of(nvrtc, arch, sources[file], kernel) for file, kernel in wanted}
    found = {one: code for one, key in keys.items() if (code := find(key))}
    missing = [one for one in keys if one not in found]
    if missing:
        from tqdm import tqdm

        with (
            ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1, len(missing))) as pool,
            tqdm(
                total=len(missing), desc="compiling", unit=" kernels", leave=False, disable=None,
                delay=SECONDS_UNTIL_SHOWN,
            ) as bar,
        ):  # fmt: skip
            jobs = {pool.submit(compile_one, nvrtc, arch, sources[one[0]], *one): one for one in missing}
            for job in as_completed(jobs):
                found[jobs[job]] = keep(keys[jobs[job]], *job.result())
                bar.update()
        make_room({code.path.stem for code in found.values()})
    return found


def compile_one(nvrtc: Any, arch: str, source: str, file: str, kernel: str) -> tuple[bytes, str]:
    """(the code of a kernel, its name there)."""
    program = nvrtc.createProgram(source, f"{file}.cu", (), ())
    try:
        nvrtc.addNameExpression(program, kernel)
        try:
            nvrtc.compileProgram(program, (f"-arch={arch}", *OPTIONS))
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program)
            raise RuntimeError(f"{kernel} does not compile for {arch}: {error}\n{log}") from None
        symbol = nvrtc.getLoweredName(program, kernel)
        code = nvrtc.getCUBIN(program) + b"\0"  # CuPy leaves off the last byte, as of texts, whose end it is
        return code, symbol if isinstance(symbol, str) else symbol.decode()
    finally:
        nvrtc.destroyProgram(program)


# ---------------------------------------------------------------- what is kept


def key_of(nvrtc: Any, arch: str, source: str, kernel: str) -> str:
    """Tells apart what may be compiled to different code."""
    parts = repr((source, kernel, arch, OPTIONS, nvrtc.getVersion(), library()))
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def library() -> tuple[int, float] | None:
    """(size, time) of the NVRTC that is loaded: two of its releases may have one version. None where it is not told."""
    try:
        loaded = Path("/proc/self/maps").read_text().split()
        state = next(Path(word) for word in loaded if "libnvrtc.so" in word).stat()
    except (OSError, StopIteration):
        return None
    return state.st_size, state.st_mtime


def find(key: str) -> Code | None:
    """The kept code, if it is whole. One that is not is removed, and a warning says so."""
    for folder in [chosen_folder(), *(Path(folder.name) for folder in _temporary)]:
        path, about = folder / f"{key}.cubin", folder / f"{key}.json"
        try:
            code, known = path.read_bytes(), about.read_text(encoding="utf-8")
        except OSError:
            continue
        with suppress(ValueError, KeyError, TypeError):
            facts = json.loads(known)
            if hashlib.sha256(code).hexdigest() == facts["sha256"]:
                for used in (path, about):
                    with suppress(OSError):  # in a folder that can only be read
                        os.utime(used)
                return Code(path, facts["symbol"])
        warnings.warn(f"{path} was damaged, it is compiled again", stacklevel=2)
        for damaged in (path, about):
            with suppress(OSError):
                damaged.unlink()
    return None


def keep(key: str, code: bytes, symbol: str) -> Code:
    """Write a kernel's code: all of it or nothing."""
    facts = json.dumps({"sha256": hashlib.sha256(code).hexdigest(), "symbol": symbol})
    try:
        return write(chosen_folder(), key, code, facts, symbol)
    except OSError:  # a folder that cannot be written, or a full disk: kept as long as this process lives
        if not _temporary:
            _temporary.append(tempfile.TemporaryDirectory(prefix="tinycnn-cuda-"))
        return write(Path(_temporary[0].name), key, code, facts, symbol)


def write(folder: Path, key: str, code: bytes, facts: str, symbol: str) -> Code:
    """Both files of a kernel."""
    replace(folder, f"{key}.cubin", code)
    replace(folder, f"{key}.json", facts.encode())
    return Code(folder / f"{key}.cubin", symbol)


def replace(folder: Path, name: str, content: bytes) -> None:
    """Write a file of the folder under another name first: all of it or nothing. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("writing-*"):  # by a process that was killed: nothing takes a day to write
        with suppress(OSError):
            if time.time() - left_over.stat().st_mtime > DAY:
                left_over.unlink()
    handle, temporary = tempfile.mkstemp(dir=folder, prefix="writing-")
    try:
        with open(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, folder / name)
    except BaseException:  # a full disk, or Ctrl-C
        os.unlink(temporary)
        raise


def make_room(needed: set[str]) -> None:
    """Remove what was not used for longest, but for these keys, until all of the folder is no more than ROOM."""
    kept = []
    for path in chosen_folder().glob("*.cubin"):
        with suppress(OSError):  # removed meanwhile
            state = path.stat()
            kept.append((state.st_mtime, state.st_size, path))
    size = sum(entry[1] for entry in kept)
    for _, bytes_of_it, path in sorted(kept):
        if size <= ROOM:
            return
        if path.stem not in needed:
            size -= bytes_of_it
            for file in (path, path.with_suffix(".json")):
                with suppress(OSError):
                    file.unlink()
