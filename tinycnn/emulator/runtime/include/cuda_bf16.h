// Bfloat16: 1 bit of sign, 8 of exponent, 7 of mantissa.
#pragma once
#include <small_floats.h>

typedef cudasim::Small<8> __nv_bfloat16, nv_bfloat16;
typedef cudasim::SmallPair<8> __nv_bfloat162, nv_bfloat162;

CUDASIM_INLINE __nv_bfloat16 __float2bfloat16(float a) { return a; }
CUDASIM_INLINE __nv_bfloat16 __float2bfloat16_rn(float a) { return a; }
CUDASIM_INLINE float __bfloat162float(__nv_bfloat16 a) { return a; }
CUDASIM_INLINE __nv_bfloat162 __float2bfloat162_rn(float a) { return {a, a}; }
CUDASIM_INLINE __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {a, b}; }
CUDASIM_INLINE __nv_bfloat162 __float22bfloat162_rn(float2 a) { return {a.x, a.y}; }
CUDASIM_INLINE float2 __bfloat1622float2(__nv_bfloat162 a) { return make_float2(a.x, a.y); }
CUDASIM_INLINE __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 a) { return {a, a}; }
CUDASIM_INLINE __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
CUDASIM_INLINE __nv_bfloat162 make_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return {a, b}; }
CUDASIM_INLINE __nv_bfloat16 __low2bfloat16(__nv_bfloat162 a) { return a.x; }
CUDASIM_INLINE __nv_bfloat16 __high2bfloat16(__nv_bfloat162 a) { return a.y; }
CUDASIM_INLINE unsigned short __bfloat16_as_ushort(__nv_bfloat16 a) { return a.storage; }
CUDASIM_INLINE __nv_bfloat16 __ushort_as_bfloat16(unsigned short a) { return __nv_bfloat16::of_bits(a); }
