// Half: 1 bit of sign, 5 of exponent, 10 of mantissa.
#pragma once
#include <small_floats.h>

typedef cudasim::Small<5> __half, half;
typedef cudasim::SmallPair<5> __half2, half2;
struct __half_raw { unsigned short x; };

CUDASIM_NAMES(__half, __half2, half, half2)
