import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
INIT = (ROOT / "tinycnn" / "__init__.py").read_text(encoding="utf-8")

setup(
    name="tinycnn",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE)[1],
    description="How a GPU computes a convolution: autograd and CUDA kernels written by hand, for learning",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The tinycnn authors",
    license="MIT",
    license_files=["LICENSE"],
    keywords=["CUDA", "convolution", "autograd", "neural networks", "MNIST", "Keras", "teaching"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: C++",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)),
        "Topic :: Education",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=[*find_packages(include=["tinycnn", "tinycnn.*"]), "tinycnn.kernels", "tinycnn.kernels.numba"],
    py_modules=["tinycnn_pytest"],
    package_dir={"tinycnn.kernels": "kernels"},
    package_data={
        "tinycnn": ["py.typed"],
        "tinycnn.devices.gpu": ["cards.json"],
        "tinycnn.devices.gpu.fast": ["cost.json"],
        "tinycnn.keras_reference": ["values.safetensors"],
        "tinycnn.kernels": [
            *(f"{folder}*.{ending}" for folder in ("", "fast/", "ladder/") for ending in ("cu", "cuh")),
            "ladder/README.md",
        ],
        "tinycnn.lessons": ["page/*.html", "page/*.css", "page/*.js"],
        "tinycnn.emulator": ["runtime/*.h", "runtime/*.cpp"],
        "tinycnn.lab": ["page/*", "vendor/codemirror/*"],
        "tinycnn.exercises": ["*/*.md", "*/*.cu", "*/*.diff"],
    },
    install_requires=[
        "click>=8.1",
        "jinja2>=3.1",
        "jsonschema>=4.18",
        "matplotlib>=3.7",
        "numba>=0.61",
        "numpy>=1.26",
        "packaging>=22",
        "pillow>=10",
        "pooch>=1.8",
        "pyelftools>=0.30",
        "pygments>=2.17",
        "safetensors>=0.4.3",
        "tabulate>=0.9",
        "tqdm>=4.65",
    ],
    extras_require={
        "cuda12": ["cupy-cuda12x>=13"],
        "cuda13": ["cupy-cuda13x>=13.6"],
        "numba": ["numba-cuda>=0.30", "greenlet>=3"],
        "numba12": ["numba-cuda[cu12]>=0.30", "greenlet>=3"],
        "numba13": ["numba-cuda[cu13]>=0.30", "greenlet>=3"],
        "zig": ["ziglang>=0.13"],
        "augment": ["scipy>=1.10"],
        "hdf5": ["h5py>=3.8"],
        "notebook": ["ipykernel>=6", "ipython>=7.34"],
        "lab": ["starlette>=0.40", "uvicorn>=0.30"],
        "lint": ["mypy>=2,<3", "ruff>=0.17,<0.18"],
        "keras": ["keras>=3.3", "jax>=0.4.30"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26", "ruff>=0.9"],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6",
            "setuptools>=70.1",  # builds the wheel of test_package.py
            "keras>=3.3",
            "jax>=0.4.30",
            "nvidia-cuda-nvrtc>=13; sys_platform == 'linux'",
            "nvidia-nvvm>=13; sys_platform == 'linux'",
            "nvidia-nvjitlink>=13; sys_platform == 'linux'",
            "numba-cuda>=0.30; sys_platform != 'darwin'",
            "greenlet>=3",
            "h5py>=3.8",
            "scipy>=1.10",
            "ipykernel>=6",
            "nbclient>=0.8",  # runs the notebook of docs/
            "starlette>=0.40",
            "uvicorn>=0.30",
            "httpx2>=2; python_version >= '3.11'",  # for Starlette's TestClient
            "httpx>=0.27; python_version < '3.11'",
            "axe-core-python>=0.1",  # what looks for barriers in the lessons' pages
        ],
    },
    entry_points={
        "console_scripts": ["tinycnn=tinycnn.command:main"],
        "pytest11": ["tinycnn_pytest=tinycnn_pytest"],
    },
)
