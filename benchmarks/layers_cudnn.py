"""The other layers of the documented networks: tinycnn's kernels against cuDNN, cuBLAS and PyTorch, on a GPU.

    python benchmarks/layers_cudnn.py --dry-run             # anywhere: shapes, operations, bytes, floors
    python benchmarks/layers_cudnn.py                       # on a GPU; writes benchmarks/results/<GPU>/layers_cudnn.*
    python benchmarks/layers_cudnn.py --only maxpool2d

Max-pooling, batch normalisation, dropout, softmax with cross-entropy, and dense layers, forward and backward at batch
128. The peer is the fastest that PyTorch has: cuDNN's kernel where there is one, cuBLAS for dense layers, else its own.
How it is timed and checked: see conv_cudnn.py.
"""

import sys

import network_shapes
import versus


def main(arguments=None):
    title = "Layers, tinycnn against cuDNN, cuBLAS and PyTorch"
    return versus.main("layers_cudnn", title, __doc__, network_shapes.other_layers, arguments)


if __name__ == "__main__":
    sys.exit(main())
