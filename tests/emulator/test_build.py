"""Kernel files are built once, and what does not build is shown as the compiler says it."""

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.emulator import build, cache, elf, sources
from tinycnn.emulator.program import build_program

COPY = 'extern "C" __global__ void copy(const float* x, float* y) {\n    y[threadIdx.x] = x[threadIdx.x] * SCALE;\n}\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with scale.cuh and copy.cu, and a cache of its own."""
    monkeypatch.setenv("TINYCNN_EMULATOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_temporary", [])
    (tmp_path / "scale.cuh").write_text("#define SCALE 2.f\n")
    (tmp_path / "copy.cu").write_text('#include "scale.cuh"\n' + COPY)
    return tmp_path


def scale(path):
    x, y = np.ones(4, np.float32), np.zeros(4, np.float32)
    emulator.load(path, ["copy"]).launch("copy", (1,), (4,), [x, y])
    return y[0]


def test_equal_content_is_built_once(folder):
    first = build.build(folder / "copy.cu", ["copy"])
    before = first.stat().st_mtime_ns
    assert build.build(folder / "copy.cu", ["copy"]) == first and first.stat().st_mtime_ns == before
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("copy.cu", "scale.cuh"):
        (elsewhere / name).write_text((folder / name).read_text())
    assert build.build(elsewhere / "copy.cu", ["copy"]) == first


def test_a_change_in_what_is_included_builds_anew(folder):
    assert scale(folder / "copy.cu") == 2
    (folder / "scale.cuh").write_text("#define SCALE 3.f\n")
    assert scale(folder / "copy.cu") == 3
    (folder / "scale.cuh").write_text("#define SCALE 2.f\n")
    assert scale(folder / "copy.cu") == 2


def test_what_a_header_in_a_folder_includes_from_beside_the_kernel_file_belongs_to_it(folder):
    """The compiler is told to look there too."""
    (folder / "parts").mkdir()
    (folder / "parts" / "all.cuh").write_text('#include "scale.cuh"\n')
    (folder / "copy.cu").write_text('#include "parts/all.cuh"\n' + COPY)
    assert scale(folder / "copy.cu") == 2
    (folder / "scale.cuh").write_text("#define SCALE 3.f\n")
    assert scale(folder / "copy.cu") == 3


def test_the_cache_holds_whole_files_only(folder):
    """Several builders at once, of one file: each gets a file that works, and nothing else is left."""
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(build.build(folder / "copy.cu", ["copy"]))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1 and scale(folder / "copy.cu") == 2
    assert {p.suffix for p in (folder / "cache").iterdir()} == {".so", ".o"}


# ---------------------------------------------------------------- a cache that is not as it was left


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, flip_a_bit, empty])
def test_a_damaged_file_is_never_loaded_but_built_anew(folder, damage):
    built = build.build(folder / "copy.cu", ["copy"])
    (runtime,) = (folder / "cache").glob("runtime-*.o")
    damage(built)
    damage(runtime)
    with pytest.warns(UserWarning) as warned:
        assert build.build(folder / "copy.cu", ["copy"]) == built
    assert [str(w.message) for w in warned] == [f"{file} was damaged, it is built anew" for file in (built, runtime)]
    assert scale(folder / "copy.cu") == 2


def test_a_whole_file_is_used_without_a_word(folder, recwarn):
    for _ in range(2):
        assert scale(folder / "copy.cu") == 2
    assert not recwarn.list


def test_a_cache_that_cannot_be_written_is_done_without(folder, monkeypatch):
    (folder / "file").write_text("")
    for place in (folder / "file" / "cache", folder / "file"):
        monkeypatch.setenv("TINYCNN_EMULATOR_CACHE", str(place))
        (folder / "scale.cuh").write_text(f"#define SCALE {len(str(place))}.f\n")
        with pytest.warns(UserWarning, match=f"{place} cannot be written .*TINYCNN_EMULATOR_CACHE names another"):
            assert scale(folder / "copy.cu") == len(str(place))
        before = build.build(folder / "copy.cu", ["copy"])
        assert build.build(folder / "copy.cu", ["copy"]) == before  # in this process it is kept


def test_what_a_cache_holds_is_used_where_nothing_can_be_added(folder, monkeypatch):
    built = build.build(folder / "copy.cu", ["copy"])
    monkeypatch.setattr(cache, "folder", None)
    assert build.build(folder / "copy.cu", ["copy"]) == built


def test_a_full_disk_is_an_error_that_names_the_path(folder, monkeypatch):
    def full(made, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as writing raises it, without a name

    (folder / "main.cu").write_text("int main() {}\n")
    monkeypatch.setattr(cache, "keep", full)
    program = sources.read([folder / "main.cu"])
    for of_a_file in (lambda: build.build(folder / "copy.cu", ["copy"]), lambda: build_program(program)):
        with pytest.raises(OSError) as error:
            of_a_file()
        assert str(folder / "cache") in error.value.filename and error.value.errno == errno.ENOSPC
        assert not list((folder / "cache").iterdir())


def test_a_full_disk_is_seen_before_anything_is_built(folder, monkeypatch):
    class Full:
        def __init__(self, dir):
            self.is_full = Path(dir) == folder / "cache"

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def write(self, data):
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.tempfile, "TemporaryFile", Full)
    with pytest.warns(UserWarning, match=f"{folder / 'cache'} cannot be written .No space left on device"):
        assert scale(folder / "copy.cu") == 2
    assert not list((folder / "cache").iterdir())


def test_what_a_killed_build_left_is_removed_after_a_day(folder):
    left, building = folder / "cache" / "building-left", folder / "cache" / "building-now"
    for path in (left, building):
        path.mkdir(parents=True)
        (path / "wrapper.cpp").write_text("")
    os.utime(left, (0, 0))
    assert scale(folder / "copy.cu") == 2
    assert not left.exists() and building.exists()


def test_a_build_that_another_process_finishes_meanwhile_is_nothing_to_warn_of(folder, monkeypatch, recwarn):
    listed = Path.glob

    def with_one_that_is_gone(path, pattern):
        return [*listed(path, pattern), path / "building-gone"]

    monkeypatch.setattr(Path, "glob", with_one_that_is_gone)
    assert cache.folder() == folder / "cache" and not recwarn.list


def test_many_threads_that_load_one_file_share_it(folder):
    start = threading.Barrier(8)

    def work(_):
        start.wait()
        return emulator.load(folder / "copy.cu", ["copy"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(work, range(8))))) == 1


def test_a_compiler_that_fails_is_one_line_of_the_command(folder):
    (folder / "broken").write_text(
        '#!/bin/sh\ncase "$1" in --version) echo g++;; *) echo "x.cpp:1: error: no space left" >&2; exit 1;; esac\n'
    )
    (folder / "broken").chmod(0o755)
    command = "train CN(2,(3,3))->FL()->DN(10) --epochs 1 --limit 4 --data synthetic --device emulator".split()
    done = subprocess.run(
        [sys.executable, "-m", "tinycnn", *command],
        env={**os.environ, "CXX": str(folder / "broken")},
        capture_output=True,
        text=True,
    )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("tinycnn: ") and "does not build: x.cpp:1: error: no space" in line


# ---------------------------------------------------------------- what cannot be built


def test_a_mistake_is_shown_with_its_line(folder):
    (folder / "copy.cu").write_text("// a comment\n" + COPY)
    with pytest.raises(emulator.BuildError) as error:
        build.build(folder / "copy.cu", ["copy"])
    assert f"{folder / 'copy.cu'}:3:" in str(error.value) and "SCALE" in str(error.value)
    assert "wrapper.cpp" not in str(error.value)
    assert not list((folder / "cache").glob("*.so"))


@pytest.mark.parametrize("name", ["nothing", "nothing<float>", "copy<float>"])
def test_a_kernel_that_is_not_there(folder, name):
    with pytest.raises(emulator.BuildError, match=f"kernel {name}:1|{name.split('<')[0]}"):
        build.build(folder / "copy.cu", [name])


@pytest.mark.parametrize("name", ["", "copy; int evil", "copy>", "copy()", "#include"])
def test_what_is_no_name(folder, name):
    with pytest.raises(emulator.BuildError, match="is not the name of a kernel"):
        build.build(folder / "copy.cu", [name])


def test_writing_to_threadidx_or_a_const_pointer_is_an_error(folder):
    for line in ("threadIdx.x = 1;", "x[0] = 1.f;"):
        (folder / "bad.cu").write_text(f'extern "C" __global__ void bad(const float* x) {{\n    {line}\n}}\n')
        with pytest.raises(emulator.BuildError, match="bad.cu:2:"):
            build.build(folder / "bad.cu", ["bad"])


@pytest.mark.parametrize(
    "symbol, name",
    [
        ("smem", "smem"),
        ("_ZZ9transposePKfPfE4tile", "tile"),
        ("_ZZ9transposeIfLi32EEvPKT_PS0_E4tile_0", "tile"),
        ("_ZZ2k3E1s", "s"),
        ("_ZZ1kvE3a1b", "a1b"),
        ("_ZN2ns3fooE", "foo"),
        ("_ZL5table", "table"),
    ],
)
def test_variables_are_shown_by_their_names_in_the_source(symbol, name):
    assert elf.plain_name(symbol) == name


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils are not installed")
def test_the_variables_of_a_built_file_are_those_that_nm_lists(folder):
    (folder / "many.cu").write_text(
        "__constant__ float table[3];\nextern __shared__ float dynamic[];\n"
        'extern "C" __global__ void many(float* y) {\n    __shared__ double tile[5];\n'
        "    tile[0] = table[1], y[0] = tile[0] + dynamic[0];\n}\n"
    )
    built = build.build(folder / "many.cu", ["many"], build.DEBUG)
    listed = subprocess.run(["nm", "-S", "--defined-only", built], capture_output=True, text=True, check=True).stdout
    sizes = {name: int(size, 16) for size, name in re.findall(r"^\S+ (\S+) \w (\S+)$", listed, re.M)}
    found = {elf.plain_name(s.name): s for s in elf.variables(built) if s.defined}
    assert {name: sizes[found[name].name] for name in ("table", "tile", "dynamic")} == {
        "table": 12, "tile": 40, "dynamic": build.MOST_SHARED
    }  # fmt: skip
    for name, is_tls in (("table", False), ("tile", True), ("dynamic", True)):
        assert (found[name].size, found[name].is_tls) == (sizes[found[name].name], is_tls)


def test_a_missing_file(folder):
    with pytest.raises(FileNotFoundError, match="no such kernel file"):
        emulator.load(folder / "missing.cu", ["copy"])


def test_without_a_compiler_it_says_what_mends_it(folder, monkeypatch):
    environment = {**os.environ, "PATH": str(folder)}
    environment.pop("CXX", None)
    code = (
        "import importlib.util, tinycnn.emulator as e\n"
        "importlib.util.find_spec = lambda name: None\n"
        "try: e.build.find_compiler()\n"
        "except e.CompilerMissing as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "apt install g++" in done.stdout and "tinycnn[zig]" in done.stdout, done.stderr


def test_importing_needs_no_compiler_and_little_time(folder):
    code = "import sys, tinycnn.emulator; print(sorted({'cupy', 'numba', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PATH": ""}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
