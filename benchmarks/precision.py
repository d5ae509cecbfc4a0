"""In which precision a result was computed, judged by its error against float64 and by nothing else.

Operands rounded to TF32 have 10 bits after the point: whatever the length of the sums, the result is off by about
2.6e-4 of its norm (CUTLASS, discussion 385, reports as much). Sums in float32 lose about sqrt(length) * 2^-24, and
stay a factor of three below TF32 even at a million addends.
"""

from math import isfinite, sqrt

STRICT = "float32"
TF32 = "tf32"
WRONG = "wrong"
MOST_FLOAT32 = 1e-4
MOST_TF32 = 2.0**-10


def precision_of(error, length):
    """'float32', 'tf32' or 'wrong' for ||out - ref|| / ||ref|| of sums of `length` products. NaN is wrong."""
    if not isfinite(error):
        return WRONG
    if error <= min(2.0**-20 * sqrt(length), MOST_FLOAT32):  # with room for Winograd's transforms
        return STRICT
    return TF32 if error <= MOST_TF32 else WRONG
