// Bfloat16: 1 bit of sign, 8 of exponent, 7 of mantissa.
#pragma once
#include <small_floats.h>

typedef cudasim::Small<8> __nv_bfloat16, nv_bfloat16;
typedef cudasim::SmallPair<8> __nv_bfloat162, nv_bfloat162;

CUDASIM_NAMES(__nv_bfloat16, __nv_bfloat162, bfloat16, bfloat162)
