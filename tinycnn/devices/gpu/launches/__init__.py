"""The host's side of the kernels: grid, block, shared memory and arguments of every launch. One file for each .cu file.

What a function computes, and the shapes of its arguments, stands at the method of its name in devices/base.py.
"""
