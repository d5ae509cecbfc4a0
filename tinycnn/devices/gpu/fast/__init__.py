"""Convolutions whose kernels are compiled for their shape: kernels/fast, what is launched of it, and which tile."""
