"""Deliberately broken backwards and kernels. Every one of them has to be caught: `make mutants`.

A mutant is a small change of one file: `old`, which stands there exactly once, becomes `new`. The faults are those that
people make: a wrong sign, a filter that is not turned, a term of batch normalisation's gradient left out, a barrier
forgotten. run_mutants.py applies them one at a time, to a copy of the package, and asks a tool whether it notices.
"""

from mutants.in_fast_kernels import FAST, ONE_KERNEL
from mutants.in_kernels import KERNELS
from mutants.in_python import AUTOGRAD, CPU_DEVICE, REFERENCE_DEVICE
from mutants.mutant import CHECK, GRADCHECK, TEST, Mutant

__all__ = ["CHECK", "GRADCHECK", "MUTANTS", "TEST", "Mutant"]

MUTANTS = (*AUTOGRAD, *REFERENCE_DEVICE, *CPU_DEVICE, *KERNELS, *FAST, *ONE_KERNEL)
