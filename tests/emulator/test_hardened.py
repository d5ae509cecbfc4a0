"""The emulator with a compiler that hardens what it builds unasked, as those of Ubuntu, Fedora and Debian do."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinycnn.emulator.compiler import find_compiler, is_x86

HARDENING = [
    "-O2",
    "-D_FORTIFY_SOURCE=3",
    "-D_GLIBCXX_ASSERTIONS",
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-fPIE",
    "-pie",
    "-flto",
    *(["-fcf-protection=full"] if is_x86() else []),
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Where CXX is such a compiler, and nothing is built yet."""
    folder = tmp_path_factory.mktemp("hardened")
    compiler = find_compiler()
    if compiler.is_zig:
        pytest.skip("zig has no hardening of its own")
    wrapper = folder / "c++"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([*compiler.command, *HARDENING])} "$@"\n')
    wrapper.chmod(0o755)
    return {**os.environ, "CXX": str(wrapper), "TINYCNN_EMULATOR_CACHE": str(folder / "cache")}


def run(environment, *command):
    return subprocess.run([sys.executable, "-m", *command], env=environment, capture_output=True, text=True)


def test_the_wrapper_hardens(environment, tmp_path):
    """Or the others would show nothing."""
    (tmp_path / "overflow.cpp").write_text(
        "#include <string.h>\nchar small[8];\n"
        "int main(int count, char**) { memset(small, 0, 16 * count); return small[0]; }\n"
    )
    words = [environment["CXX"], "overflow.cpp", "-o", "overflow", "-fno-lto"]  # not everybody has the plugin of -flto
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "buffer overflow" in subprocess.run(tmp_path / "overflow", capture_output=True, text=True).stderr


@pytest.mark.slow
@pytest.mark.parametrize("file", ["test_semantics.py", "test_launch.py", "test_check.py", "test_trace.py"])
def test_the_emulator_s_tests_pass(environment, file):
    done = run(environment, "pytest", str(Path(__file__).with_name(file)), "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_step_of_training_runs(environment):
    """Through every file of kernels that a network needs."""
    network = "CN(4,(3,3))->BN()->MP(2,2)->DP(0.2)->FL()->DN(10)"
    command = "--epochs 1 --limit 8 --batch-size 8 --data synthetic --device emulator".split()
    done = run(environment, "tinycnn", "train", network, *command)
    assert done.returncode == 0 and "validation accuracy" in done.stdout, done.stderr
    built = {path.name.split("-")[0] for path in Path(environment["TINYCNN_EMULATOR_CACHE"]).glob("*-fast-*.so")}
    assert {"conv2d", "batchnorm", "maxpool2d", "dropout", "dense", "softmax_crossentropy", "optimizers"} <= built


@pytest.mark.skipif(not is_x86() or shutil.which("readelf") is None, reason="of x86, seen by readelf")
def test_what_is_built_does_not_ask_for_a_shadow_stack(environment):
    """Fibers change stacks by returning to addresses that nobody called from."""
    code = "from tinycnn import emulator, kernels; emulator.load(kernels.path('relu'), ['relu_forward<float>'])"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    (runtime,) = Path(environment["TINYCNN_EMULATOR_CACHE"]).glob("runtime-fast-*.o")
    shown = subprocess.run(["readelf", "-h", "-n", runtime], capture_output=True, text=True, check=True).stdout
    assert "REL (Relocatable file)" in shown and "SHSTK" not in shown
