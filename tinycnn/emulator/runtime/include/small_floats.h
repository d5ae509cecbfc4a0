// What half and bfloat16 share: 16 bits of storage, and every operation done in float (or double) and rounded once, to
// the nearest, ties to even. cuda_fp16.h and cuda_bf16.h name the types.
#pragma once
#include <cuda_runtime.h>

namespace cudasim {

// As a float, rounded to odd where it is none: rounded once more, to fewer bits, it is as if rounded once. error: whether
// the value itself has lost something already.
CUDASIM_INLINE float to_odd(double value, bool error = false) {
    float near = (float)value;
    if (value - value != 0 || ((double)near == value && !error)) return near;
    bool away = __builtin_fabs((double)near) > __builtin_fabs(value);
    return bits<float>((bits<uint32_t>(near) - away) | 1u);
}

// To a format of 16 bits with so many exponent bits, from the 32 of a float.
template <int Exponent> CUDASIM_INLINE uint16_t to_small(float value) {
    constexpr int mantissa = 15 - Exponent, bias = (1 << (Exponent - 1)) - 1, most = (1 << Exponent) - 1;
    uint32_t bits_of = bits<uint32_t>(value), sign = bits_of >> 16 & 0x8000u, rest = bits_of & 0x7fffffffu;
    if (rest > 0x7f800000u) return 0x7fff;  // NaN, as the hardware writes it
    if (rest == 0x7f800000u) return (uint16_t)(sign | most << mantissa);
    int exponent = (int)(rest >> 23) - 127 + bias;
    uint32_t whole = rest >> 23 ? (rest & 0x7fffffu) | 0x800000u : rest & 0x7fffffu;
    if (!(rest >> 23)) ++exponent;
    int drop = 23 - mantissa;
    if (exponent <= 0) drop += 1 - exponent, exponent = 0;
    if (drop > 25) return (uint16_t)sign;
    uint32_t kept = whole >> drop, lost = whole & ((1u << drop) - 1), half = 1u << (drop - 1);
    if (lost > half || (lost == half && (kept & 1))) ++kept;
    // The leading bit of a normal number adds one to the exponent, and so does a mantissa that has run over.
    uint32_t result = exponent ? ((uint32_t)(exponent - 1) << mantissa) + kept : kept;
    if (result >= (uint32_t)most << mantissa) result = (uint32_t)most << mantissa;
    return (uint16_t)(sign | result);
}

template <int Exponent> CUDASIM_INLINE float from_small(uint16_t value) {
    constexpr int mantissa = 15 - Exponent, bias = (1 << (Exponent - 1)) - 1, most = (1 << Exponent) - 1;
    uint32_t sign = (uint32_t)(value & 0x8000u) << 16, exponent = value >> mantissa & most;
    uint32_t rest = value & ((1u << mantissa) - 1);
    if ((int)exponent == most) return bits<float>(sign | 0x7f800000u | rest << (23 - mantissa));
    if (exponent) return bits<float>(sign | (exponent - bias + 127) << 23 | rest << (23 - mantissa));
    float small = __builtin_ldexpf((float)rest, 1 - bias - mantissa);
    return sign ? -small : small;
}

template <int Exponent> struct Small {
    uint16_t storage;
    Small() = default;
    CUDASIM_INLINE Small(float value) : storage(to_small<Exponent>(value)) {}
    CUDASIM_INLINE Small(double value) : Small(to_odd(value)) {}
    CUDASIM_INLINE Small(int value) : Small((double)value) {}
    CUDASIM_INLINE Small(unsigned value) : Small((double)value) {}
    CUDASIM_INLINE Small(long value) : Small((double)value) {}
    CUDASIM_INLINE Small(unsigned long value) : Small((double)value) {}
    CUDASIM_INLINE Small(short value) : Small((float)value) {}
    CUDASIM_INLINE Small(unsigned short value) : Small((float)value) {}
    CUDASIM_INLINE operator float() const { return from_small<Exponent>(storage); }
    static CUDASIM_INLINE Small of_bits(uint16_t bits) {
        Small made;
        made.storage = bits;
        return made;
    }
};

template <int Exponent> struct __align__(4) SmallPair {
    Small<Exponent> x, y;
    SmallPair() = default;
    CUDASIM_INLINE SmallPair(Small<Exponent> x, Small<Exponent> y) : x(x), y(y) {}
    CUDASIM_INLINE SmallPair(const SmallPair& o) { bits_of() = o.bits_of(); }
    CUDASIM_INLINE SmallPair& operator=(const SmallPair& o) { return bits_of() = o.bits_of(), *this; }

  private:
    typedef uint32_t Bits __attribute__((may_alias));
    CUDASIM_INLINE Bits& bits_of() { return *(Bits*)this; }
    CUDASIM_INLINE const Bits& bits_of() const { return *(const Bits*)this; }
};

#define CUDASIM_SMALL template <int E> CUDASIM_INLINE
#define CUDASIM_OPERATOR(op)                                                                                       \
    CUDASIM_SMALL Small<E> operator op(Small<E> a, Small<E> b) { return (float)a op (float)b; }                     \
    CUDASIM_SMALL Small<E>& operator op##=(Small<E>& a, Small<E> b) { return a = a op b; }                          \
    CUDASIM_SMALL SmallPair<E> operator op(SmallPair<E> a, SmallPair<E> b) { return {a.x op b.x, a.y op b.y}; }     \
    CUDASIM_SMALL SmallPair<E>& operator op##=(SmallPair<E>& a, SmallPair<E> b) { return a = a op b; }
CUDASIM_OPERATOR(+)
CUDASIM_OPERATOR(-)
CUDASIM_OPERATOR(*)
CUDASIM_OPERATOR(/)
#undef CUDASIM_OPERATOR
CUDASIM_SMALL Small<E> operator-(Small<E> a) { return Small<E>::of_bits(a.storage ^ 0x8000); }
CUDASIM_SMALL SmallPair<E> operator-(SmallPair<E> a) { return {-a.x, -a.y}; }
#define CUDASIM_COMPARISON(op) \
    CUDASIM_SMALL bool operator op(Small<E> a, Small<E> b) { return (float)a op (float)b; }
CUDASIM_COMPARISON(==) CUDASIM_COMPARISON(!=) CUDASIM_COMPARISON(<)
CUDASIM_COMPARISON(>) CUDASIM_COMPARISON(<=) CUDASIM_COMPARISON(>=)
#undef CUDASIM_COMPARISON

}  // namespace cudasim

#define CUDASIM_OF_TWO(name, expression)                                                                    \
    CUDASIM_SMALL cudasim::Small<E> name(cudasim::Small<E> a, cudasim::Small<E> b) { return expression; }   \
    CUDASIM_SMALL cudasim::SmallPair<E> name##2(cudasim::SmallPair<E> a, cudasim::SmallPair<E> b) {         \
        return {name(a.x, b.x), name(a.y, b.y)};                                                            \
    }
CUDASIM_OF_TWO(__hadd, a + b)
CUDASIM_OF_TWO(__hsub, a - b)
CUDASIM_OF_TWO(__hmul, a * b)
CUDASIM_OF_TWO(__hdiv, a / b)
CUDASIM_OF_TWO(__hmax, cudasim::maximum((float)a, (float)b))
CUDASIM_OF_TWO(__hmin, cudasim::minimum((float)a, (float)b))
CUDASIM_OF_TWO(__hadd_sat, __saturatef((float)a + (float)b))
CUDASIM_OF_TWO(__hmul_sat, __saturatef((float)a * (float)b))
#undef CUDASIM_OF_TWO
#define CUDASIM_OF_ONE(name, pairs, expression)                                                                       \
    CUDASIM_SMALL cudasim::Small<E> name(cudasim::Small<E> a) { return expression; }                                  \
    CUDASIM_SMALL cudasim::SmallPair<E> pairs(cudasim::SmallPair<E> a) { return {name(a.x), name(a.y)}; }
CUDASIM_OF_ONE(__hneg, __hneg2, -a)
CUDASIM_OF_ONE(__habs, __habs2, cudasim::Small<E>::of_bits(a.storage & 0x7fff))
CUDASIM_OF_ONE(hsqrt, h2sqrt, __builtin_sqrtf(a))
CUDASIM_OF_ONE(hrsqrt, h2rsqrt, 1.0 / __builtin_sqrt(a))
CUDASIM_OF_ONE(hrcp, h2rcp, 1.0f / (float)a)
CUDASIM_OF_ONE(hexp, h2exp, __builtin_exp((float)a))
CUDASIM_OF_ONE(hexp2, h2exp2, __builtin_exp2((float)a))
CUDASIM_OF_ONE(hlog, h2log, __builtin_log((float)a))
CUDASIM_OF_ONE(hlog2, h2log2, __builtin_log2((float)a))
CUDASIM_OF_ONE(hsin, h2sin, __builtin_sin((float)a))
CUDASIM_OF_ONE(hcos, h2cos, __builtin_cos((float)a))
CUDASIM_OF_ONE(htanh, h2tanh, __builtin_tanh((float)a))
CUDASIM_OF_ONE(hfloor, h2floor, __builtin_floorf(a))
CUDASIM_OF_ONE(hceil, h2ceil, __builtin_ceilf(a))
CUDASIM_OF_ONE(hrint, h2rint, __builtin_rintf(a))
CUDASIM_OF_ONE(htrunc, h2trunc, __builtin_truncf(a))
#undef CUDASIM_OF_ONE
#define CUDASIM_QUESTION(name, op) \
    CUDASIM_SMALL bool name(cudasim::Small<E> a, cudasim::Small<E> b) { return (float)a op (float)b; }
CUDASIM_QUESTION(__heq, ==)
CUDASIM_QUESTION(__hne, !=)
CUDASIM_QUESTION(__hlt, <)
CUDASIM_QUESTION(__hgt, >)
CUDASIM_QUESTION(__hle, <=)
CUDASIM_QUESTION(__hge, >=)
#undef CUDASIM_QUESTION
CUDASIM_SMALL bool __hisnan(cudasim::Small<E> a) { return (float)a != (float)a; }
CUDASIM_SMALL int __hisinf(cudasim::Small<E> a) { return __builtin_isinf_sign((float)a); }
CUDASIM_SMALL cudasim::Small<E> __hfma(cudasim::Small<E> a, cudasim::Small<E> b, cudasim::Small<E> c) {
    // Exact in double but for a sum whose terms are very far apart.
    double product = (double)(float)a * (float)b, sum = product + (float)c;
    double error = (product - (sum - (float)c)) + ((float)c - (sum - (sum - (float)c)));
    return cudasim::to_odd(sum, error != 0);
}
CUDASIM_SMALL cudasim::SmallPair<E> __hfma2(cudasim::SmallPair<E> a, cudasim::SmallPair<E> b, cudasim::SmallPair<E> c) {
    return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
CUDASIM_SMALL cudasim::Small<E> __hfma_relu(cudasim::Small<E> a, cudasim::Small<E> b, cudasim::Small<E> c) {
    return __hmax(__hfma(a, b, c), cudasim::Small<E>(0.0f));
}
CUDASIM_SMALL float __low2float(cudasim::SmallPair<E> a) { return a.x; }
CUDASIM_SMALL float __high2float(cudasim::SmallPair<E> a) { return a.y; }
CUDASIM_SMALL cudasim::SmallPair<E> __lowhigh2highlow(cudasim::SmallPair<E> a) { return {a.y, a.x}; }

// The names of what there is for each of the two: `one` number of the type, `two` of them.
#define CUDASIM_NAMES(type, pair, one, two)                                                \
    CUDASIM_INLINE type __float2##one(float a) { return a; }                               \
    CUDASIM_INLINE type __float2##one##_rn(float a) { return a; }                          \
    CUDASIM_INLINE type __double2##one(double a) { return a; }                             \
    CUDASIM_INLINE type __int2##one##_rn(int a) { return a; }                              \
    CUDASIM_INLINE type __uint2##one##_rn(unsigned a) { return a; }                        \
    CUDASIM_INLINE float __##one##2float(type a) { return a; }                             \
    CUDASIM_INLINE int __##one##2int_rn(type a) { return (int)__builtin_rintf(a); }        \
    CUDASIM_INLINE int __##one##2int_rz(type a) { return (int)(float)a; }                  \
    CUDASIM_INLINE unsigned short __##one##_as_ushort(type a) { return a.storage; }        \
    CUDASIM_INLINE short __##one##_as_short(type a) { return (short)a.storage; }           \
    CUDASIM_INLINE type __ushort_as_##one(unsigned short a) { return type::of_bits(a); }   \
    CUDASIM_INLINE type __short_as_##one(short a) { return type::of_bits((uint16_t)a); }   \
    CUDASIM_INLINE pair __float2##two##_rn(float a) { return {a, a}; }                     \
    CUDASIM_INLINE pair __floats2##two##_rn(float a, float b) { return {a, b}; }           \
    CUDASIM_INLINE pair __float22##two##_rn(float2 a) { return {a.x, a.y}; }               \
    CUDASIM_INLINE float2 __##two##2float2(pair a) { return make_float2(a.x, a.y); }       \
    CUDASIM_INLINE pair __##one##2##two(type a) { return {a, a}; }                         \
    CUDASIM_INLINE pair __halves2##two(type a, type b) { return {a, b}; }                  \
    CUDASIM_INLINE pair make_##two(type a, type b) { return {a, b}; }                      \
    CUDASIM_INLINE type __low2##one(pair a) { return a.x; }                                \
    CUDASIM_INLINE type __high2##one(pair a) { return a.y; }                               \
    CUDASIM_INLINE pair __low2##two(pair a) { return {a.x, a.x}; }                         \
    CUDASIM_INLINE pair __high2##two(pair a) { return {a.y, a.y}; }                        \
    CUDASIM_INLINE pair __lows2##two(pair a, pair b) { return {a.x, b.x}; }                \
    CUDASIM_INLINE pair __highs2##two(pair a, pair b) { return {a.y, b.y}; }

namespace cudasim {
template <int E> constexpr bool is_small_float<Small<E>> = true;
template <int E> constexpr bool is_small_float<SmallPair<E>> = true;
}

// Shuffles of what is smaller than the words that they move.
#define CUDASIM_SHUFFLE(name, type)                                                                              \
    CUDASIM_SMALL cudasim::Small<E> name(unsigned mask, cudasim::Small<E> a, type lane, int width = 32, CUDASIM_HERE) { \
        return cudasim::Small<E>::of_bits((uint16_t)name(mask, (unsigned)a.storage, lane, width, site));          \
    }
CUDASIM_SHUFFLE(__shfl_sync, int)
CUDASIM_SHUFFLE(__shfl_up_sync, unsigned)
CUDASIM_SHUFFLE(__shfl_down_sync, unsigned)
CUDASIM_SHUFFLE(__shfl_xor_sync, int)
#undef CUDASIM_SHUFFLE
