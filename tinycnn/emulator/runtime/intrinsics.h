// More of what CUDA has beside the language: integer and conversion intrinsics, arithmetic in a given rounding, matches and
// reductions of a warp, and mathematics that no C library has.
//
// Which there are, and which are refused, is listed in intrinsics.json; a test goes through that list.
#pragma once
// ---------------------------------------------------------------- integers

CUDASIM_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
CUDASIM_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
CUDASIM_INLINE unsigned long long __brevll(unsigned long long x) {
    return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}
// Each of the four digits of the selector is the number of a byte of y:x, and with its highest bit the sign of it.
CUDASIM_INLINE unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    uint64_t both = (uint64_t)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        unsigned place = selector >> 4 * i & 7;  // a digit's fourth bit counts in PTX's prmt alone
        result |= ((unsigned)(both >> 8 * place) & 255) << 8 * i;
    }
    return result;
}
CUDASIM_INLINE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)((((uint64_t)high << 32 | low) << (shift & 31)) >> 32);
}
CUDASIM_INLINE unsigned __funnelshift_lc(unsigned low, unsigned high, unsigned shift) {
    return shift >= 32 ? low : __funnelshift_l(low, high, shift);
}
CUDASIM_INLINE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
CUDASIM_INLINE unsigned __funnelshift_rc(unsigned low, unsigned high, unsigned shift) {
    return shift >= 32 ? high : __funnelshift_r(low, high, shift);
}
CUDASIM_INLINE int __mul24(int a, int b) {
    return (int)((int64_t)((int)((unsigned)a << 8) >> 8) * ((int)((unsigned)b << 8) >> 8));
}
CUDASIM_INLINE unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffff) * (b & 0xffffff); }
CUDASIM_INLINE long long __mul64hi(long long a, long long b) { return (long long)(((__int128)a * b) >> 64); }
CUDASIM_INLINE int __hadd(int a, int b) { return (int)(((int64_t)a + b) >> 1); }
CUDASIM_INLINE int __rhadd(int a, int b) { return (int)(((int64_t)a + b + 1) >> 1); }
CUDASIM_INLINE unsigned __uhadd(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a + b) >> 1); }
CUDASIM_INLINE unsigned __urhadd(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a + b + 1) >> 1); }
CUDASIM_INLINE unsigned __sad(int a, int b, unsigned c) {
    return (unsigned)(a < b ? (int64_t)b - a : (int64_t)a - b) + c;
}
CUDASIM_INLINE unsigned __usad(unsigned a, unsigned b, unsigned c) { return (a < b ? b - a : a - b) + c; }
CUDASIM_INLINE int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 32; i += 8) c += (int)(signed char)(a >> i) * (signed char)(b >> i);
    return c;
}
CUDASIM_INLINE unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
    return c;
}
CUDASIM_INLINE int __dp4a(char4 a, char4 b, int c) { return __dp4a(cudasim::bits<int>(a), cudasim::bits<int>(b), c); }
CUDASIM_INLINE unsigned __dp4a(uchar4 a, uchar4 b, unsigned c) {
    return __dp4a(cudasim::bits<unsigned>(a), cudasim::bits<unsigned>(b), c);
}
CUDASIM_INLINE int __dp2a_lo(int a, int b, int c) {
    return c + (short)a * (signed char)b + (short)(a >> 16) * (signed char)(b >> 8);
}
CUDASIM_INLINE unsigned __dp2a_lo(unsigned a, unsigned b, unsigned c) {
    return c + (a & 65535) * (b & 255) + (a >> 16) * (b >> 8 & 255);
}
CUDASIM_INLINE int __dp2a_hi(int a, int b, int c) { return __dp2a_lo(a, b >> 16, c); }
CUDASIM_INLINE unsigned __dp2a_hi(unsigned a, unsigned b, unsigned c) { return __dp2a_lo(a, b >> 16, c); }
// The place of the offset-th set bit from `base` on, upwards or, for a negative offset, downwards.
CUDASIM_INLINE unsigned __fns(unsigned mask, unsigned base, int offset) {
    if (base > 31) return 0xffffffffu;
    if (offset == 0) return mask >> base & 1 ? base : 0xffffffffu;
    int step = offset > 0 ? 1 : -1;
    unsigned left = offset > 0 ? offset : 0u - offset;
    for (int bit = (int)base; bit >= 0 && bit < 32; bit += step)
        if (mask >> bit & 1 && --left == 0) return (unsigned)bit;
    return 0xffffffffu;
}
CUDASIM_INLINE unsigned umin(unsigned a, unsigned b) { return a < b ? a : b; }
CUDASIM_INLINE unsigned umax(unsigned a, unsigned b) { return a > b ? a : b; }
CUDASIM_INLINE long long llmin(long long a, long long b) { return a < b ? a : b; }
CUDASIM_INLINE long long llmax(long long a, long long b) { return a > b ? a : b; }
CUDASIM_INLINE unsigned long long ullmin(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
CUDASIM_INLINE unsigned long long ullmax(unsigned long long a, unsigned long long b) { return a > b ? a : b; }

// ---------------------------------------------------------------- rounding
//
// In the name: to the nearest (rn), towards zero (rz), up (ru) or down (rd).
namespace cudasim {

template <int mode, typename F> __attribute__((noinline)) CUDASIM_UNHOOKED auto rounded(F compute) {
    int before = fegetround();
    fesetround(mode);
    auto result = compute();
    asm volatile("" : "+m"(result));
    fesetround(before);
    return result;
}

// As the GPU converts: what does not fit becomes the nearest that does, and NaN becomes 0, or of 64 bits the lowest bit
// pattern that has only its highest bit.
template <typename To, typename From> CUDASIM_INLINE To saturated(From x) {
    constexpr int bits = 8 * sizeof(To) - ((To)-1 < 0);
    const From least = (To)-1 < 0 ? -(From)2 * (1ull << (bits - 1)) : 0, most = (From)2 * (1ull << (bits - 1));
    if (x != x) return sizeof(To) == 8 ? (To)(1ull << 63) : 0;
    if (x <= least) return (To)-1 < 0 ? (To)(1ull << bits % 64) : 0;
    if (x >= most) return (To)((To)-1 < 0 ? ~(1ull << bits % 64) : ~0ull);
    return (To)x;
}

}  // namespace cudasim

#define CUDASIM_OPERATIONS(prefix, T, r, mode)                                                                        \
    CUDASIM_INLINE T __##prefix##add_##r(T a, T b) {                                                                  \
        return cudasim::rounded<mode>([a, b] { volatile T x = a, y = b; return (T)(x + y); });                       \
    }                                                                                                                 \
    CUDASIM_INLINE T __##prefix##sub_##r(T a, T b) {                                                                  \
        return cudasim::rounded<mode>([a, b] { volatile T x = a, y = b; return (T)(x - y); });                       \
    }                                                                                                                 \
    CUDASIM_INLINE T __##prefix##mul_##r(T a, T b) {                                                                  \
        return cudasim::rounded<mode>([a, b] { volatile T x = a, y = b; return (T)(x * y); });                       \
    }                                                                                                                 \
    CUDASIM_INLINE T __##prefix##div_##r(T a, T b) {                                                                  \
        return cudasim::rounded<mode>([a, b] { volatile T x = a, y = b; return (T)(x / y); });                       \
    }                                                                                                                 \
    CUDASIM_INLINE T __##prefix##rcp_##r(T a) { return __##prefix##div_##r((T)1, a); }                                \
    CUDASIM_INLINE T __##prefix##sqrt_##r(T a) {                                                                      \
        return cudasim::rounded<mode>([a] { volatile T x = a; return (T)(sizeof(T) == 4 ? sqrtf(x) : sqrt(x)); });   \
    }
CUDASIM_OPERATIONS(f, float, rz, FE_TOWARDZERO)
CUDASIM_OPERATIONS(f, float, ru, FE_UPWARD)
CUDASIM_OPERATIONS(f, float, rd, FE_DOWNWARD)
CUDASIM_OPERATIONS(d, double, rz, FE_TOWARDZERO)
CUDASIM_OPERATIONS(d, double, ru, FE_UPWARD)
CUDASIM_OPERATIONS(d, double, rd, FE_DOWNWARD)
#define CUDASIM_FMA(name, fma, T, r, mode)                                                                            \
    CUDASIM_INLINE T name##_##r(T a, T b, T c) {                                                                      \
        return cudasim::rounded<mode>([=] { volatile T x = a, y = b, z = c; return fma(x, y, z); });                  \
    }
CUDASIM_FMA(__fmaf, fmaf, float, rz, FE_TOWARDZERO)
CUDASIM_FMA(__fmaf, fmaf, float, ru, FE_UPWARD)
CUDASIM_FMA(__fmaf, fmaf, float, rd, FE_DOWNWARD)
CUDASIM_FMA(__fma, fma, double, rz, FE_TOWARDZERO)
CUDASIM_FMA(__fma, fma, double, ru, FE_UPWARD)
CUDASIM_FMA(__fma, fma, double, rd, FE_DOWNWARD)
#define __fmaf_ieee_rn __fmaf_rn
#define __fmaf_ieee_rz __fmaf_rz
#define __fmaf_ieee_ru __fmaf_ru
#define __fmaf_ieee_rd __fmaf_rd

// ---------------------------------------------------------------- conversions

#define CUDASIM_TO_INTEGER(from, F, to, T)                                                                            \
    CUDASIM_INLINE T __##from##2##to##_rn(F x) { return cudasim::saturated<T>((F)__builtin_rint(x)); }                \
    CUDASIM_INLINE T __##from##2##to##_rz(F x) { return cudasim::saturated<T>((F)__builtin_trunc(x)); }               \
    CUDASIM_INLINE T __##from##2##to##_ru(F x) { return cudasim::saturated<T>((F)__builtin_ceil(x)); }                \
    CUDASIM_INLINE T __##from##2##to##_rd(F x) { return cudasim::saturated<T>((F)__builtin_floor(x)); }
CUDASIM_TO_INTEGER(float, float, int, int)
CUDASIM_TO_INTEGER(float, float, uint, unsigned)
CUDASIM_TO_INTEGER(float, float, ll, long long)
CUDASIM_TO_INTEGER(float, float, ull, unsigned long long)
CUDASIM_TO_INTEGER(double, double, int, int)
CUDASIM_TO_INTEGER(double, double, uint, unsigned)
CUDASIM_TO_INTEGER(double, double, ll, long long)
CUDASIM_TO_INTEGER(double, double, ull, unsigned long long)

#define CUDASIM_FROM(from, F, to, T, r, mode)                                                                         \
    CUDASIM_INLINE T __##from##2##to##_##r(F value) {                                                                 \
        return cudasim::rounded<mode>([value] { volatile long double x = value; return (T)x; });                      \
    }
#define CUDASIM_FROM_EACH(from, F, to, T)                                                                             \
    CUDASIM_INLINE T __##from##2##to##_rn(F x) { return (T)x; }                                                       \
    CUDASIM_FROM(from, F, to, T, rz, FE_TOWARDZERO)                                                                   \
    CUDASIM_FROM(from, F, to, T, ru, FE_UPWARD)                                                                       \
    CUDASIM_FROM(from, F, to, T, rd, FE_DOWNWARD)
CUDASIM_FROM_EACH(int, int, float, float)
CUDASIM_FROM_EACH(uint, unsigned, float, float)
CUDASIM_FROM_EACH(ll, long long, float, float)
CUDASIM_FROM_EACH(ull, unsigned long long, float, float)
CUDASIM_FROM_EACH(ll, long long, double, double)
CUDASIM_FROM_EACH(ull, unsigned long long, double, double)
CUDASIM_FROM_EACH(double, double, float, float)
CUDASIM_INLINE double __int2double_rn(int x) { return x; }
CUDASIM_INLINE double __uint2double_rn(unsigned x) { return x; }
CUDASIM_INLINE int __double2hiint(double x) { return (int)(cudasim::bits<uint64_t>(x) >> 32); }
CUDASIM_INLINE int __double2loint(double x) { return (int)cudasim::bits<uint64_t>(x); }
CUDASIM_INLINE double __hiloint2double(int high, int low) {
    return cudasim::bits<double>((uint64_t)(unsigned)high << 32 | (unsigned)low);
}

// ---------------------------------------------------------------- mathematics

#define __exp10f(...) __builtin_exp10f(__VA_ARGS__)
#define __log10f(...) __builtin_log10f(__VA_ARGS__)
#define __tanf(...) __builtin_tanf(__VA_ARGS__)
#define __tanhf(...) __builtin_tanhf(__VA_ARGS__)
CUDASIM_INLINE float fdividef(float x, float y) { return x / y; }
CUDASIM_INLINE void __sincosf(float x, float* sine, float* cosine) {
    *sine = __builtin_sinf(x);
    *cosine = __builtin_cosf(x);
}
namespace cudasim {
constexpr double PI = 3.141592653589793238462643383279502884;
// Of pi x: exact where a half is a multiple of x, for x is taken into [-1, 1] first.
CUDASIM_INLINE double sine_of_pi(double x) {
    x = __builtin_remainder(x, 2.0);
    if (x == 1.0 || x == -1.0) return 0.0;
    if (x > 0.5) x = 1.0 - x;
    if (x < -0.5) x = -1.0 - x;
    return x == 0.5 ? 1.0 : x == -0.5 ? -1.0 : __builtin_sin(PI * x);
}
CUDASIM_INLINE double cosine_of_pi(double x) {
    x = __builtin_fabs(__builtin_remainder(x, 2.0));
    return x == 0.5 ? 0.0 : x > 0.5 ? -__builtin_cos(PI * (1.0 - x)) : __builtin_cos(PI * x);
}
}  // namespace cudasim
CUDASIM_INLINE float cudasim_sinpif(float x) { return (float)cudasim::sine_of_pi(x); }
CUDASIM_INLINE float cudasim_cospif(float x) { return (float)cudasim::cosine_of_pi(x); }
CUDASIM_INLINE float cudasim_sinpi(float x) { return cudasim_sinpif(x); }
CUDASIM_INLINE float cudasim_cospi(float x) { return cudasim_cospif(x); }
CUDASIM_INLINE double cudasim_sinpi(double x) { return cudasim::sine_of_pi(x); }
CUDASIM_INLINE double cudasim_cospi(double x) { return cudasim::cosine_of_pi(x); }
#define sinpif cudasim_sinpif
#define cospif cudasim_cospif
#define sinpi cudasim_sinpi
#define cospi cudasim_cospi
CUDASIM_INLINE void sincospif(float x, float* sine, float* cosine) { *sine = sinpif(x), *cosine = cospif(x); }
CUDASIM_INLINE void sincospi(double x, double* sine, double* cosine) { *sine = sinpi(x), *cosine = cospi(x); }
CUDASIM_INLINE float rcbrtf(float x) { return (float)(1.0 / __builtin_cbrt(x)); }
CUDASIM_INLINE double rcbrt(double x) { return 1.0 / __builtin_cbrt(x); }
CUDASIM_INLINE float rhypotf(float x, float y) { return (float)(1.0 / __builtin_hypot(x, y)); }
CUDASIM_INLINE double rhypot(double x, double y) { return 1.0 / __builtin_hypot(x, y); }
CUDASIM_INLINE double norm3d(double x, double y, double z) { return __builtin_hypot(__builtin_hypot(x, y), z); }
CUDASIM_INLINE float norm3df(float x, float y, float z) { return (float)norm3d(x, y, z); }
CUDASIM_INLINE double norm4d(double x, double y, double z, double w) { return __builtin_hypot(norm3d(x, y, z), w); }
CUDASIM_INLINE float norm4df(float x, float y, float z, float w) { return (float)norm4d(x, y, z, w); }
CUDASIM_INLINE double rnorm3d(double x, double y, double z) { return 1.0 / norm3d(x, y, z); }
CUDASIM_INLINE float rnorm3df(float x, float y, float z) { return (float)rnorm3d(x, y, z); }
CUDASIM_INLINE double rnorm4d(double x, double y, double z, double w) { return 1.0 / norm4d(x, y, z, w); }
CUDASIM_INLINE float rnorm4df(float x, float y, float z, float w) { return (float)rnorm4d(x, y, z, w); }
CUDASIM_INLINE float normcdff(float x) { return (float)(0.5 * __builtin_erfc(-x * 0.70710678118654752440)); }
CUDASIM_INLINE double normcdf(double x) { return 0.5 * __builtin_erfc(-x * 0.70710678118654752440); }

#define CUDART_INF_F __builtin_inff()
#define CUDART_NAN_F __builtin_nanf("")
#define CUDART_PI_F 3.141592654f
#define CUDART_MAX_NORMAL_F 3.402823466e38f
#define CUDART_INF __builtin_inf()
#define CUDART_NAN __builtin_nan("")
#define CUDART_PI 3.1415926535897931e+0

// ---------------------------------------------------------------- warps

template <typename T> CUDASIM_INLINE unsigned __match_any_sync(unsigned mask, T value, CUDASIM_HERE) {
    return (unsigned)cudasim::warp(cudasim::Warp::MatchAny, mask, cudasim::as_bits<T>(value), 0, 32, site);
}
template <typename T> CUDASIM_INLINE unsigned __match_all_sync(unsigned mask, T value, int* all, CUDASIM_HERE) {
    unsigned same = (unsigned)cudasim::warp(cudasim::Warp::MatchAll, mask, cudasim::as_bits<T>(value), 0, 32, site);
    *all = same != 0;
    return same;
}
// Of either type: as a number of 64 bits each is less and greater than the same.
#define CUDASIM_REDUCE(name, operation, type)                                                                        \
    CUDASIM_INLINE type __reduce_##name##_sync(unsigned mask, type value, CUDASIM_HERE) {                            \
        return (type)cudasim::warp(cudasim::Warp::operation, mask, (uint64_t)(int64_t)value, 0, 32, site);           \
    }
CUDASIM_REDUCE(add, Add, unsigned)
CUDASIM_REDUCE(add, Add, int)
CUDASIM_REDUCE(min, Min, unsigned)
CUDASIM_REDUCE(min, Min, int)
CUDASIM_REDUCE(max, Max, unsigned)
CUDASIM_REDUCE(max, Max, int)
CUDASIM_REDUCE(and, And, unsigned)
CUDASIM_REDUCE(or, Or, unsigned)
CUDASIM_REDUCE(xor, Xor, unsigned)

// ---------------------------------------------------------------- memory and time

namespace cudasim {
bool on_a_stack(uintptr_t address);    // fibers.cpp
bool is_shared(uintptr_t address);     // scheduler.cpp
}
CUDASIM_INLINE unsigned __isShared(const void* p) { return cudasim::is_shared((uintptr_t)p); }
CUDASIM_INLINE unsigned __isLocal(const void* p) { return cudasim::on_a_stack((uintptr_t)p); }
CUDASIM_INLINE unsigned __isGlobal(const void* p) { return !__isShared(p) && !__isLocal(p); }

// The C library's clock, of the time that this process has computed. It says nothing of a GPU's.
CUDASIM_INLINE long long clock64() { return (long long)clock(); }
