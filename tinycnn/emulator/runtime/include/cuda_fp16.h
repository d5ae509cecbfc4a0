// Half: 1 bit of sign, 5 of exponent, 10 of mantissa.
#pragma once
#include <small_floats.h>

typedef cudasim::Small<5> __half, half;
typedef cudasim::SmallPair<5> __half2, half2;
struct __half_raw { unsigned short x; };

CUDASIM_INLINE __half __float2half(float a) { return a; }
CUDASIM_INLINE __half __float2half_rn(float a) { return a; }
CUDASIM_INLINE __half __double2half(double a) {
    float near = (float)a;  // rounded to odd, so that it is rounded once
    if ((double)near != a && a == a) {
        uint32_t raw = cudasim::bits<uint32_t>(near);
        near = cudasim::bits<float>((__builtin_fabs((double)near) > __builtin_fabs(a) ? raw - 1 : raw) | 1u);
    }
    return near;
}
CUDASIM_INLINE float __half2float(__half a) { return a; }
CUDASIM_INLINE __half2 __float2half2_rn(float a) { return {a, a}; }
CUDASIM_INLINE __half2 __floats2half2_rn(float a, float b) { return {a, b}; }
CUDASIM_INLINE __half2 __float22half2_rn(float2 a) { return {a.x, a.y}; }
CUDASIM_INLINE float2 __half22float2(__half2 a) { return make_float2(a.x, a.y); }
CUDASIM_INLINE __half2 __half2half2(__half a) { return {a, a}; }
CUDASIM_INLINE __half2 __halves2half2(__half a, __half b) { return {a, b}; }
CUDASIM_INLINE __half2 make_half2(__half a, __half b) { return {a, b}; }
CUDASIM_INLINE __half __low2half(__half2 a) { return a.x; }
CUDASIM_INLINE __half __high2half(__half2 a) { return a.y; }
CUDASIM_INLINE __half2 __low2half2(__half2 a) { return {a.x, a.x}; }
CUDASIM_INLINE __half2 __high2half2(__half2 a) { return {a.y, a.y}; }
CUDASIM_INLINE __half2 __lows2half2(__half2 a, __half2 b) { return {a.x, b.x}; }
CUDASIM_INLINE __half2 __highs2half2(__half2 a, __half2 b) { return {a.y, b.y}; }
CUDASIM_INLINE unsigned short __half_as_ushort(__half a) { return a.storage; }
CUDASIM_INLINE short __half_as_short(__half a) { return (short)a.storage; }
CUDASIM_INLINE __half __ushort_as_half(unsigned short a) { return __half::of_bits(a); }
CUDASIM_INLINE __half __short_as_half(short a) { return __half::of_bits((uint16_t)a); }
CUDASIM_INLINE __half __int2half_rn(int a) { return __double2half(a); }
CUDASIM_INLINE __half __uint2half_rn(unsigned a) { return __double2half(a); }
CUDASIM_INLINE int __half2int_rn(__half a) { return (int)__builtin_rintf(a); }
CUDASIM_INLINE int __half2int_rz(__half a) { return (int)(float)a; }
