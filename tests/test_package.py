"""What is installed is whole: a wheel made from the sdist holds every file of the package, and nothing else."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import tinycnn

ROOT = Path(__file__).resolve().parent.parent
MADE_BY_RUNNING = ("__pycache__", "*.py[cod]", "*.nb[ic]", "build", "*.egg-info", ".*", "site")


def build(kind, folder, destination):
    """The archive that `setuptools` makes of a source folder, without a network."""
    program = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    destination.mkdir()
    done = subprocess.run([sys.executable, "-c", program, destination], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (archive,) = destination.iterdir()
    return archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The sdist, unpacked. It is made of a copy, so that the working tree stays as it is."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, folder / "copy", ignore=shutil.ignore_patterns(*MADE_BY_RUNNING))
    with tarfile.open(build("sdist", folder / "copy", folder / "sdist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    with zipfile.ZipFile(build("wheel", sdist, tmp_path_factory.mktemp("package") / "wheel")) as archive:
        yield archive


def files_of(folder):
    """Every file below a folder of the repository, but for what running tinycnn leaves there."""
    found = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {p.as_posix() for p in found if not any(part == "__pycache__" for part in p.parts) and p.name[0] != "."}


def test_the_wheel_holds_every_file_of_the_package(wheel):
    installed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    kernels = {f"tinycnn/kernels/{name}" for name in files_of("kernels")}
    assert installed == {f"tinycnn/{name}" for name in files_of("tinycnn")} | kernels | {"tinycnn_pytest.py"}
    for file in ("ladder/8_tensor_cores.cu", "ladder/mma.cuh", "numba/conv2d.py", "common.cuh", "relu.cu"):
        assert f"tinycnn/kernels/{file}" in kernels
    assert {"tinycnn/py.typed", "tinycnn/emulator/runtime/warp.cpp"} <= installed


def test_the_wheel_says_what_it_is(wheel):
    folder = f"tinycnn-{tinycnn.__version__}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert f"\nVersion: {tinycnn.__version__}\n" in metadata and "\nAuthor: The tinycnn authors\n" in metadata
    licenses = [name for name in wheel.namelist() if name.startswith(folder) and name.endswith("/LICENSE")]
    assert [wheel.read(name) for name in licenses] == [(ROOT / "LICENSE").read_bytes()]
    entries = wheel.read(f"{folder}/entry_points.txt")
    assert b"tinycnn = tinycnn.command:main" in entries
    assert b"[pytest11]\ntinycnn_pytest = tinycnn_pytest\n" in entries


def test_the_sdist_holds_what_one_works_with(sdist):
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile", "mkdocs.yml"):
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()
    for folder in ("tinycnn", "kernels", "tests", "benchmarks", "docs"):
        there = {path.relative_to(sdist / folder).as_posix() for path in (sdist / folder).rglob("*") if path.is_file()}
        assert there == files_of(folder)


def test_the_version_stands_in_one_place():
    """The citation's is the package's."""
    assert f"\nversion: {tinycnn.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
