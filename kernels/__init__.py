"""The place of the CUDA kernels; installed as tinycnn.kernels."""
