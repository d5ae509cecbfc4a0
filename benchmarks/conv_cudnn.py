"""Every convolution of the documented networks, and a few classics: tinycnn's kernels against cuDNN, on a GPU.

    python benchmarks/conv_cudnn.py --dry-run          # anywhere: shapes, operations, bytes, floors
    python benchmarks/conv_cudnn.py                    # on a GPU; writes benchmarks/results/<GPU>/conv_cudnn.*
    python benchmarks/conv_cudnn.py --only go-crazy    # the shapes of one network

Forward, backward data and backward filter at batch 128, without bias. Times are medians by device events over replays
of a CUDA graph, so that launching is not counted; over buffers that take turns and do not fit into the L2 cache (the
tables), and over warm ones (in the JSON). cuDNN is the fastest of what PyTorch and, where it is installed, cuDNN's own
interface find, in both layouts. Strict float32 is the main table; in the second TF32 is allowed, which tinycnn's
kernels do not use. In which of them a time stands is decided by its error against float64, not by a flag.
"""

import sys

import network_shapes
import versus


def main(arguments=None):
    title = "Convolution, tinycnn against cuDNN"
    return versus.main("conv_cudnn", title, __doc__, network_shapes.convolutions, arguments)


if __name__ == "__main__":
    sys.exit(main())
