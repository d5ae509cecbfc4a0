#!/usr/bin/env bash
# Everything that needs a GPU, in one call: see gpu_check.py. PYTHON names the Python that has CuPy.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
"$PYTHON" -c 'import tinycnn.kernels' 2>/dev/null ||
    "$PYTHON" -m pip install --quiet --no-deps --no-build-isolation -e .
exec "$PYTHON" benchmarks/gpu_check.py "$@"
