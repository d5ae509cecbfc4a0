"""The fast CPU device: kernels compiled by Numba, on explicit SIMD vectors and two threads or more.

It computes the same as the loops of devices/reference and as the CUDA kernels, and is written for speed. A student who
wants to know what a convolution is reads those; here it is about what a processor can do. All figures below were
measured on two cores of an EPYC processor with AVX-512.

The files, in the order in which to read them
---------------------------------------------
    device.py       which function does what: the table of contents
    launch.py       what a kernel is, and how it is started: begin here
    relu.py         the simplest kernels, and dropout.py, softmax_crossentropy.py, optimizers.py, which are no harder
    simd.py         the vectors: 16 numbers in one instruction
    maxpool2d.py    the first kernel on vectors
    channels.py     passes over images whatever the number of channels, then batchnorm.py on top of it
    tiles.py        the inner loop of every matrix product and convolution
    direct.py       convolution: the loops around the tiles; dense.py and conv1x1.py use the same ones
    conv2d.py       chooses between direct.py and winograd.py
    cook_toom.py    how to convolve with fewer multiplications, then winograd.py, which does

To be skipped at a first reading, since one may take them as given:

    memory.py       arrays from memory that is used again
    threads.py      how threads share the tasks of a kernel
    compiler.py     from a Python function to the address of a C function; cache.py keeps what was compiled
    processor.py    what the processor can do

What each trick buys
--------------------
* Vectors (simd.py): NHWC has the channels beside each other, so the sixteen lanes of a register are sixteen channels.
* Tiles (tiles.py): a convolution that keeps a tile of outputs in registers takes 0.4 of the time of one that computes
  pixel by pixel, on the same vectors (26 x 26 pixels, 12 to 20 channels). The price: source text written by a program.
* Winograd's algorithm (winograd.py): 2 times as fast for the 5 x 5 filters of models-1, 1.4 times for 3 x 3 filters of
  12 to 20 channels. The price: an error of 1.1 to 3 times that of multiplying directly.
* Memory used again (memory.py): without it a training step of go-crazy takes 1.8 times as long, most of it for memory
  that the operating system hands out zeroed, page by page.
* Threads that watch for work (threads.py): a launch takes some microseconds, and a step has some hundred of them.
* Compiled code in a cache of our own (compiler.py, cache.py): the first operation of a process takes 0.06 s instead of
  0.35, and an edited or a damaged kernel is noticed.

The results do not depend on the number of threads, on which thread did what, or on what lay in memory: see launch.py.
"""

from tinycnn.devices.cpu.device import CpuDevice

__all__ = ["CpuDevice"]
