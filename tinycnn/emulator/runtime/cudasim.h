// What a CUDA kernel sees when a host C++ compiler builds it.
//
// This header is put in front of every kernel file (g++ -include cudasim.h); the file itself is not touched. It gives
// the C++ compiler the words of CUDA that it does not know: the qualifiers, threadIdx and its like, the vector types,
// the barriers, the warp intrinsics, the atomics and the mathematics. What they do is in the runtime, beside it.
//
// CUDASIM is defined in every build; CUDASIM_HOOKED where each memory access calls the tools (check and trace).
#pragma once
#define CUDASIM 1

#include <assert.h>
#include <fenv.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cstring>
#include <type_traits>
#include <utility>

// What a compiler of CUDA's defines, for a GPU of compute capability 9.0.
#define __CUDACC__ 1
#define __CUDA_ARCH__ 900

#define CUDASIM_INLINE __attribute__((always_inline)) inline
#if defined(__clang__)
#define CUDASIM_UNHOOKED __attribute__((disable_sanitizer_instrumentation))
#else
#define CUDASIM_UNHOOKED __attribute__((no_sanitize_thread, no_sanitize_coverage))
#endif

// ---------------------------------------------------------------- copies
//
// A call of the C library's is no access that the compiler could see. In hooked builds they are the tools' own.
#ifdef CUDASIM_HOOKED
extern "C" {
void* __tsan_memcpy(void* to, const void* from, size_t size);
void* __tsan_memmove(void* to, const void* from, size_t size);
void* __tsan_memset(void* to, int value, size_t size);
}
namespace std {
using ::__tsan_memcpy;
using ::__tsan_memmove;
using ::__tsan_memset;
}
#ifndef CUDASIM_RUNTIME
#define memcpy __tsan_memcpy
#define memmove __tsan_memmove
#define memset __tsan_memset
#endif
#endif

// ---------------------------------------------------------------- qualifiers
//
// A __shared__ array belongs to a block. One block runs at a time, so any static storage would do; thread_local is the
// storage class that is legal both inside a function (where it implies static) and after extern, which covers
// static and dynamic shared memory with one word. That the arrays are thread-local symbols also tells them from
// everything else in the built file: the tools find them, and their names, by that.
#define __shared__ thread_local
#define __global__ __attribute__((noinline))
#if defined(CUDASIM_HOOKED) && !defined(CUDASIM_RECURSIVE)
#define __device__ __attribute__((always_inline))  // one copy per call, laid out in source order: trace.cpp says why
#else
#define __device__
#endif
#define __host__
#define __constant__ __attribute__((visibility("default"), used))
#define __forceinline__ CUDASIM_INLINE
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

// ---------------------------------------------------------------- vector types
//
// A float4 is read and written by one 16-byte access, as on the GPU: it copies itself as one vector value, because
// the compiler is free to copy a plain struct member by member. A misaligned one is an error on the GPU. The fast build
// forgives it (it would otherwise end the whole Python process); `tinycnn check` reports it. So it is no aggregate, and
// has a constructor for `float4 x = {1}`.
#ifdef CUDASIM_HOOKED
#define CUDASIM_WIDE(T, n) typedef T wide __attribute__((vector_size(n * sizeof(T)), may_alias))
#else
#define CUDASIM_WIDE(T, n) typedef T wide __attribute__((vector_size(n * sizeof(T)), may_alias, aligned(sizeof(T))))
#endif
#define CUDASIM_COPIES_WHOLE(name, T, n)                                        \
    CUDASIM_WIDE(T, n);                                                         \
    name() = default;                                                           \
    CUDASIM_INLINE name(const name& o) { *(wide*)this = *(const wide*)&o; }     \
    CUDASIM_INLINE name& operator=(const name& o) { *(wide*)this = *(const wide*)&o; return *this; }

#define CUDASIM_VECTORS(T, base)                                                                                    \
    struct base##1 { T x; };                                                                                        \
    struct __align__(2 * sizeof(T)) base##2 {                                                                       \
        T x, y;                                                                                                     \
        CUDASIM_COPIES_WHOLE(base##2, T, 2)                                                                         \
        CUDASIM_INLINE constexpr base##2(T x, T y = 0) : x(x), y(y) {}                                              \
    };                                                                                                              \
    struct base##3 { T x, y, z; };                                                                                  \
    struct __align__(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) base##4 {                                             \
        T x, y, z, w;                                                                                               \
        CUDASIM_COPIES_WHOLE(base##4, T, 4)                                                                         \
        CUDASIM_INLINE constexpr base##4(T x, T y = 0, T z = 0, T w = 0) : x(x), y(y), z(z), w(w) {}                \
    };                                                                                                              \
    CUDASIM_INLINE constexpr base##1 make_##base##1(T x) { return {x}; }                                            \
    CUDASIM_INLINE base##2 make_##base##2(T x, T y) { return base##2(x, y); }                                       \
    CUDASIM_INLINE constexpr base##3 make_##base##3(T x, T y, T z) { return {x, y, z}; }                            \
    CUDASIM_INLINE base##4 make_##base##4(T x, T y, T z, T w) { return base##4(x, y, z, w); }

CUDASIM_VECTORS(float, float)
CUDASIM_VECTORS(int, int)
CUDASIM_VECTORS(unsigned, uint)
CUDASIM_VECTORS(signed char, char)
CUDASIM_VECTORS(unsigned char, uchar)
CUDASIM_VECTORS(short, short)
CUDASIM_VECTORS(unsigned short, ushort)
// An access is never wider than 16 bytes: of numbers of 8, two are the most that stay whole.
#define CUDASIM_LONG_VECTORS(T, base)                                                                               \
    struct base##1 { T x; };                                                                                        \
    struct __align__(16) base##2 {                                                                                  \
        T x, y;                                                                                                     \
        CUDASIM_COPIES_WHOLE(base##2, T, 2)                                                                         \
        CUDASIM_INLINE constexpr base##2(T x, T y = 0) : x(x), y(y) {}                                              \
    };                                                                                                              \
    struct base##3 { T x, y, z; };                                                                                  \
    struct __align__(16) base##4 { T x, y, z, w; };                                                                 \
    CUDASIM_INLINE constexpr base##1 make_##base##1(T x) { return {x}; }                                            \
    CUDASIM_INLINE base##2 make_##base##2(T x, T y) { return base##2(x, y); }                                       \
    CUDASIM_INLINE constexpr base##3 make_##base##3(T x, T y, T z) { return {x, y, z}; }                            \
    CUDASIM_INLINE constexpr base##4 make_##base##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUDASIM_LONG_VECTORS(double, double)
CUDASIM_LONG_VECTORS(long, long)
CUDASIM_LONG_VECTORS(unsigned long, ulong)
CUDASIM_LONG_VECTORS(long long, longlong)
CUDASIM_LONG_VECTORS(unsigned long long, ulonglong)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// ---------------------------------------------------------------- who am I
//
// The runtime sets these before a thread runs on. To a kernel they are constants, which is also true: a thread never
// sees them change, so the compiler may keep them in registers across a barrier.
#ifdef CUDASIM_RUNTIME
#define CUDASIM_BUILTIN extern
#else
#define CUDASIM_BUILTIN extern const
#endif
#pragma GCC visibility push(hidden)
CUDASIM_BUILTIN uint3 threadIdx, blockIdx;
CUDASIM_BUILTIN dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace cudasim {

// Where in the source a barrier or an intrinsic stands: as a default argument it takes the caller's line.
struct Site {
    const char* file;
    int line;
    static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }
};

// ---------------------------------------------------------------- barriers (scheduler.cpp)

enum class Vote { None, Count, And, Or };
int barrier(Vote vote, int predicate, Site site);
[[noreturn]] void trap(Site site);

// Called where a thread may be waiting for another: in a cooperative launch of any block (together.cpp), otherwise, when
// it has come here again and again, of its own.
extern bool together;
extern int patience;
void yield();
CUDASIM_INLINE void may_wait() {
    if (together || --patience < 0) yield();
}

// syntax.py puts calls of these into kernels: at the beginning, with their __launch_bounds__ (limits.cpp), and at returns.
void begins(int most_threads = INT_MAX, int = 0, int = 0);
#ifdef CUDASIM_DEBUG
#define CUDASIM_BEGINS(...)  // a debugger is to stop at the kernel's own first line
#else
#define CUDASIM_BEGINS(...) ::cudasim::begins(__VA_ARGS__);
#endif
#ifdef CUDASIM_HOOKED
void returns();  // hooks.cpp
#else
CUDASIM_INLINE void returns() {}
#endif

// ---------------------------------------------------------------- warp intrinsics (warp.cpp)

enum class Warp {
    Sync, Shuffle, ShuffleUp, ShuffleDown, ShuffleXor, Ballot, Any, All, MatchAny, MatchAll, Add, Min, Max, And, Or, Xor
};
uint64_t warp(Warp operation, unsigned mask, uint64_t value, int lane, int width, Site site);
unsigned active_mask(Site site);

// As what a value goes from lane to lane: a bool, a char and a short become an int.
template <typename T> using word = std::conditional_t<std::is_integral_v<T> && (sizeof(T) < 4), int, T>;

template <typename T> CUDASIM_INLINE uint64_t as_bits(word<T> value) {
    static_assert(sizeof value == 4 || sizeof value == 8, "of a lane 4 or 8 bytes go to the others");
    uint64_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    return bits;
}

template <typename T>
CUDASIM_INLINE T shuffle(Warp operation, unsigned mask, T value, int lane, int width, Site site) {
    uint64_t bits = warp(operation, mask, as_bits<T>(value), lane, width, site);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace cudasim

#define CUDASIM_HERE cudasim::Site site = cudasim::Site::here()

CUDASIM_INLINE void __syncthreads(CUDASIM_HERE) { cudasim::barrier(cudasim::Vote::None, 0, site); }
CUDASIM_INLINE int __syncthreads_count(int p, CUDASIM_HERE) { return cudasim::barrier(cudasim::Vote::Count, p, site); }
CUDASIM_INLINE int __syncthreads_and(int p, CUDASIM_HERE) { return cudasim::barrier(cudasim::Vote::And, p, site); }
CUDASIM_INLINE int __syncthreads_or(int p, CUDASIM_HERE) { return cudasim::barrier(cudasim::Vote::Or, p, site); }
CUDASIM_INLINE void __syncwarp(unsigned mask = 0xffffffffu, CUDASIM_HERE) {
    cudasim::warp(cudasim::Warp::Sync, mask, 0, 0, 32, site);
}
CUDASIM_INLINE void __trap(CUDASIM_HERE) { cudasim::trap(site); }

template <typename T>
CUDASIM_INLINE cudasim::word<T> __shfl_sync(unsigned mask, T value, int lane, int width = 32, CUDASIM_HERE) {
    return cudasim::shuffle<cudasim::word<T>>(cudasim::Warp::Shuffle, mask, value, lane, width, site);
}
template <typename T>
CUDASIM_INLINE cudasim::word<T> __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDASIM_HERE) {
    return cudasim::shuffle<cudasim::word<T>>(cudasim::Warp::ShuffleUp, mask, value, (int)delta, width, site);
}
template <typename T>
CUDASIM_INLINE cudasim::word<T> __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, CUDASIM_HERE) {
    return cudasim::shuffle<cudasim::word<T>>(cudasim::Warp::ShuffleDown, mask, value, (int)delta, width, site);
}
template <typename T>
CUDASIM_INLINE cudasim::word<T> __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, CUDASIM_HERE) {
    return cudasim::shuffle<cudasim::word<T>>(cudasim::Warp::ShuffleXor, mask, value, lanes, width, site);
}
CUDASIM_INLINE unsigned __ballot_sync(unsigned mask, int predicate, CUDASIM_HERE) {
    return (unsigned)cudasim::warp(cudasim::Warp::Ballot, mask, predicate != 0, 0, 32, site);
}
CUDASIM_INLINE int __any_sync(unsigned mask, int predicate, CUDASIM_HERE) {
    return (int)cudasim::warp(cudasim::Warp::Any, mask, predicate != 0, 0, 32, site);
}
CUDASIM_INLINE int __all_sync(unsigned mask, int predicate, CUDASIM_HERE) {
    return (int)cudasim::warp(cudasim::Warp::All, mask, predicate != 0, 0, 32, site);
}
CUDASIM_INLINE unsigned __activemask(CUDASIM_HERE) { return cudasim::active_mask(site); }

// ---------------------------------------------------------------- fences (handover.cpp)
//
// One thread of the machine does everything, so memory has one order: a fence has nothing to do.
#ifdef CUDASIM_HOOKED
namespace cudasim {
void on_fence();
}
CUDASIM_INLINE void __threadfence() {
    cudasim::on_fence();
    cudasim::may_wait();
}
#else
CUDASIM_INLINE void __threadfence() { cudasim::may_wait(); }
#endif
CUDASIM_INLINE void __threadfence_system() { __threadfence(); }
CUDASIM_INLINE void __threadfence_block() {}
CUDASIM_INLINE void __nanosleep(unsigned) { cudasim::may_wait(); }

// ---------------------------------------------------------------- atomics
//
// One thread of the machine runs all threads of the kernel and changes from one to the next only at barriers and
// intrinsics, so a plain update is atomic already, in every scope. The tools must tell it from a plain one: they get a
// call.
#ifdef CUDASIM_HOOKED
namespace cudasim {
void on_atomic(const void* address, int size, bool reads, const void* pc);
}
#define CUDASIM_ATOMIC template <typename T> __attribute__((noinline)) CUDASIM_UNHOOKED
#define CUDASIM_ON_ATOMIC(p, reads) cudasim::on_atomic(p, sizeof(T), reads, __builtin_return_address(0))
#else
#define CUDASIM_ATOMIC template <typename T> CUDASIM_INLINE
#define CUDASIM_ON_ATOMIC(p, reads) (void)0
#endif
namespace cudasim {
template <typename T> struct Identity { typedef T type; };  // keeps the other arguments out of the deduction of T
template <typename T> using undeduced = typename Identity<T>::type;
}
// What each does, of any type: cuda::atomic has more of them.
#define CUDASIM_ATOMIC_UPDATE(name, expression, reads)                \
    CUDASIM_ATOMIC T name(T* p, undeduced<T> value) {                 \
        CUDASIM_ON_ATOMIC(p, reads);                                  \
        T old = *p;                                                   \
        *p = (expression);                                            \
        if (memcmp(&old, p, sizeof(T)) == 0) may_wait();              \
        return old;                                                   \
    }
namespace cudasim::of_any_type {
CUDASIM_ATOMIC_UPDATE(atomicAdd, old + value, true)
CUDASIM_ATOMIC_UPDATE(atomicSub, old - value, true)
CUDASIM_ATOMIC_UPDATE(atomicMax, old < value ? value : old, true)
CUDASIM_ATOMIC_UPDATE(atomicMin, value < old ? value : old, true)
CUDASIM_ATOMIC_UPDATE(atomicExch, value, false)
CUDASIM_ATOMIC_UPDATE(atomicAnd, old & value, true)
CUDASIM_ATOMIC_UPDATE(atomicOr, old | value, true)
CUDASIM_ATOMIC_UPDATE(atomicXor, old ^ value, true)
CUDASIM_ATOMIC_UPDATE(atomicInc, old >= value ? 0 : old + 1, true)
CUDASIM_ATOMIC_UPDATE(atomicDec, old == 0 || old > value ? value : old - 1, true)
CUDASIM_ATOMIC T atomicCAS(T* p, undeduced<T> compare, undeduced<T> value) {
    CUDASIM_ON_ATOMIC(p, true);
    T old = *p;
    if (memcmp(&old, &compare, sizeof(T)) == 0) *p = value;  // the hardware compares bits
    if (memcmp(&old, p, sizeof(T)) == 0) may_wait();
    return old;
}
}  // namespace cudasim::of_any_type

// Of which types CUDA has them. Another is an error there, too.
namespace cudasim {
typedef unsigned long long ull;
template <typename T, typename... Of> constexpr bool one_of = (std::is_same_v<T, Of> || ...);
template <typename T> constexpr bool is_small_float = false;  // small_floats.h
template <typename T> constexpr bool is_wide = std::is_class_v<T> && sizeof(T) == 16 && alignof(T) == 16;
}
#define CUDASIM_ATOMIC_OF(name, scope, allowed, types)                                                  \
    template <typename T> CUDASIM_INLINE T name##scope(T* p, cudasim::undeduced<T> value) {             \
        using namespace cudasim;                                                                        \
        static_assert(allowed, "CUDA has " #name " of " types " only; atomicCAS makes another");         \
        return of_any_type::name(p, value);                                                             \
    }
#define CUDASIM_ATOMIC_SCOPES(name, allowed, types)     \
    CUDASIM_ATOMIC_OF(name, , allowed, types)           \
    CUDASIM_ATOMIC_OF(name, _block, allowed, types)     \
    CUDASIM_ATOMIC_OF(name, _system, allowed, types)
#define CUDASIM_WHOLE_ATOMICS(name) \
    CUDASIM_ATOMIC_SCOPES(name, (one_of<T, int, unsigned, long long, ull>), "int, unsigned, long long and unsigned long long")
CUDASIM_ATOMIC_SCOPES(atomicAdd, (one_of<T, int, unsigned, ull, float, double> || is_small_float<T>),
                      "int, unsigned, unsigned long long, float, double, and of smaller floats and vectors of floats")
CUDASIM_ATOMIC_SCOPES(atomicSub, (one_of<T, int, unsigned>), "int and unsigned")
CUDASIM_ATOMIC_SCOPES(atomicExch, (one_of<T, int, unsigned, ull, float> || is_wide<T>),
                      "int, unsigned, unsigned long long, float, and what has 16 bytes")
CUDASIM_WHOLE_ATOMICS(atomicMax)
CUDASIM_WHOLE_ATOMICS(atomicMin)
CUDASIM_WHOLE_ATOMICS(atomicAnd)
CUDASIM_WHOLE_ATOMICS(atomicOr)
CUDASIM_WHOLE_ATOMICS(atomicXor)
CUDASIM_ATOMIC_SCOPES(atomicInc, (one_of<T, unsigned>), "unsigned")
CUDASIM_ATOMIC_SCOPES(atomicDec, (one_of<T, unsigned>), "unsigned")
#define CUDASIM_COMPARE_AND_SWAP(name)                                                                                  \
    template <typename T>                                                                                               \
    CUDASIM_INLINE T name(T* p, cudasim::undeduced<T> compare, cudasim::undeduced<T> value) {                           \
        using namespace cudasim;                                                                                        \
        static_assert(one_of<T, int, unsigned, ull, unsigned short> || is_wide<T>,                                      \
                      "CUDA has " #name " of int, unsigned, unsigned long long, unsigned short, and what has 16 bytes"  \
                      " only: take the bits of another for one of these");                                              \
        return of_any_type::atomicCAS(p, compare, value);                                                               \
    }
CUDASIM_COMPARE_AND_SWAP(atomicCAS)
CUDASIM_COMPARE_AND_SWAP(atomicCAS_block)
CUDASIM_COMPARE_AND_SWAP(atomicCAS_system)
#define CUDASIM_ADD_VECTORS(name)                                                              \
    CUDASIM_INLINE float2 name(float2* p, float2 value) {                                      \
        return float2(atomicAdd(&p->x, value.x), atomicAdd(&p->y, value.y));                   \
    }                                                                                          \
    CUDASIM_INLINE float4 name(float4* p, float4 value) {                                      \
        float x = atomicAdd(&p->x, value.x), y = atomicAdd(&p->y, value.y);                    \
        return float4(x, y, atomicAdd(&p->z, value.z), atomicAdd(&p->w, value.w));             \
    }
CUDASIM_ADD_VECTORS(atomicAdd)
CUDASIM_ADD_VECTORS(atomicAdd_block)
CUDASIM_ADD_VECTORS(atomicAdd_system)
// ---------------------------------------------------------------- mathematics
//
// Where the C library has, or in a later version may have, a function of that name, it is a word for one of ours.
namespace cudasim {

template <typename A, typename B> using common = decltype(true ? A() : B());

// As fmaxf: of a number and a NaN, the number.
template <typename A, typename B> CUDASIM_INLINE constexpr common<A, B> maximum(A a, B b) {
    common<A, B> x = a, y = b;
    return y != y || x > y ? x : y;
}
template <typename A, typename B> CUDASIM_INLINE constexpr common<A, B> minimum(A a, B b) {
    common<A, B> x = a, y = b;
    return y != y || x < y ? x : y;
}
template <typename To, typename From> CUDASIM_INLINE To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    __builtin_memcpy(&to, &from, sizeof(to));
    return to;
}

}  // namespace cudasim

template <typename A, typename B> CUDASIM_INLINE constexpr cudasim::common<A, B> max(A a, B b) {
    return cudasim::maximum(a, b);
}
template <typename A, typename B> CUDASIM_INLINE constexpr cudasim::common<A, B> min(A a, B b) {
    return cudasim::minimum(a, b);
}
// Words and no calls: programs have these for vectors, too.
CUDASIM_INLINE constexpr float cudasim_fmaxf(float a, float b) { return cudasim::maximum(a, b); }
CUDASIM_INLINE constexpr float cudasim_fminf(float a, float b) { return cudasim::minimum(a, b); }
namespace std {
using ::cudasim_fmaxf;
using ::cudasim_fminf;
}
#define fmaxf cudasim_fmaxf
#define fminf cudasim_fminf
// Where the C library has a second result it writes it through a pointer, unseen. Here it is assigned, by the kernel.
#define CUDASIM_TWO_RESULTS(T, f, name)                                                                    \
    CUDASIM_INLINE void cudasim_sincos##name(T x, T* sine, T* cosine) {                                    \
        T s = __builtin_sin##f(x), c = __builtin_cos##f(x);                                                \
        *sine = s, *cosine = c;                                                                            \
    }                                                                                                      \
    CUDASIM_INLINE T cudasim_frexp##name(T x, int* exponent) {                                             \
        int e;                                                                                             \
        T fraction = __builtin_frexp##f(x, &e);                                                            \
        return *exponent = e, fraction;                                                                    \
    }                                                                                                      \
    CUDASIM_INLINE T cudasim_modf##name(T x, T* whole) {                                                   \
        T w, fraction = __builtin_modf##f(x, &w);                                                          \
        return *whole = w, fraction;                                                                       \
    }                                                                                                      \
    CUDASIM_INLINE T cudasim_remquo##name(T x, T y, int* quotient) {                                       \
        int q;                                                                                             \
        T rest = __builtin_remquo##f(x, y, &q);                                                            \
        return *quotient = q, rest;                                                                        \
    }
CUDASIM_TWO_RESULTS(float, f, f)
CUDASIM_TWO_RESULTS(float, f, )
CUDASIM_TWO_RESULTS(double, , )
CUDASIM_TWO_RESULTS(long double, l, )
CUDASIM_INLINE double cudasim_frexp(int x, int* exponent) { return cudasim_frexp((double)x, exponent); }
namespace std {
using ::cudasim_frexp;
using ::cudasim_frexpf;
using ::cudasim_modf;
using ::cudasim_modff;
using ::cudasim_remquo;
using ::cudasim_remquof;
}
#define sincos cudasim_sincos
#define sincosf cudasim_sincosf
#define frexp cudasim_frexp
#define frexpf cudasim_frexpf
#define modf cudasim_modf
#define modff cudasim_modff
#define remquo cudasim_remquo
#define remquof cudasim_remquof
CUDASIM_INLINE float cudasim_rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
CUDASIM_INLINE float cudasim_rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
CUDASIM_INLINE double cudasim_rsqrt(double x) { return 1.0 / __builtin_sqrt(x); }
#define rsqrtf cudasim_rsqrtf
#define rsqrt cudasim_rsqrt
CUDASIM_INLINE float __frsqrt_rn(float x) { return cudasim_rsqrtf(x); }
#define __expf(...) __builtin_expf(__VA_ARGS__)
#define __logf(...) __builtin_logf(__VA_ARGS__)
#define __log2f(...) __builtin_log2f(__VA_ARGS__)
#define __powf(...) __builtin_powf(__VA_ARGS__)
#define __sinf(...) __builtin_sinf(__VA_ARGS__)
#define __cosf(...) __builtin_cosf(__VA_ARGS__)
CUDASIM_INLINE float __fdividef(float x, float y) { return x / y; }
CUDASIM_INLINE float __saturatef(float x) { return cudasim::minimum(cudasim::maximum(x, 0.0f), 1.0f); }
// What the compiler may not contract: each of these rounds once.
CUDASIM_INLINE float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
CUDASIM_INLINE double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
CUDASIM_INLINE float cudasim_keep(float x) { asm("" : "+m"(x)); return x; }
CUDASIM_INLINE double cudasim_keep(double x) { asm("" : "+m"(x)); return x; }
#define CUDASIM_TO_NEAREST(prefix, T, root)                                             \
    CUDASIM_INLINE T __##prefix##add_rn(T a, T b) { return cudasim_keep(a + b); }       \
    CUDASIM_INLINE T __##prefix##sub_rn(T a, T b) { return cudasim_keep(a - b); }       \
    CUDASIM_INLINE T __##prefix##mul_rn(T a, T b) { return cudasim_keep(a * b); }       \
    CUDASIM_INLINE T __##prefix##div_rn(T a, T b) { return cudasim_keep(a / b); }       \
    CUDASIM_INLINE T __##prefix##rcp_rn(T a) { return cudasim_keep((T)1 / a); }         \
    CUDASIM_INLINE T __##prefix##sqrt_rn(T a) { return cudasim_keep(root(a)); }
CUDASIM_TO_NEAREST(f, float, __builtin_sqrtf)
CUDASIM_TO_NEAREST(d, double, __builtin_sqrt)

CUDASIM_INLINE unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
CUDASIM_INLINE int __mulhi(int a, int b) { return (int)(((int64_t)a * b) >> 32); }
CUDASIM_INLINE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
CUDASIM_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
CUDASIM_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
CUDASIM_INLINE int __ffs(int x) { return __builtin_ffs(x); }
CUDASIM_INLINE int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
CUDASIM_INLINE unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int bit = 0; bit < 32; ++bit) y |= ((x >> bit) & 1u) << (31 - bit);
    return y;
}
CUDASIM_INLINE int __float_as_int(float x) { return cudasim::bits<int>(x); }
CUDASIM_INLINE unsigned __float_as_uint(float x) { return cudasim::bits<unsigned>(x); }
CUDASIM_INLINE float __int_as_float(int x) { return cudasim::bits<float>(x); }
CUDASIM_INLINE float __uint_as_float(unsigned x) { return cudasim::bits<float>(x); }
CUDASIM_INLINE long long __double_as_longlong(double x) { return cudasim::bits<long long>(x); }
CUDASIM_INLINE double __longlong_as_double(long long x) { return cudasim::bits<double>(x); }

// On a GPU these hint at a cache.
#define CUDASIM_LOAD(name) \
    template <typename T> CUDASIM_INLINE T name(const T* p) { return *p; }
#define CUDASIM_STORE(name) \
    template <typename T> CUDASIM_INLINE void name(T* p, cudasim::undeduced<T> value) { *p = value; }
CUDASIM_LOAD(__ldg)
CUDASIM_LOAD(__ldcg)
CUDASIM_LOAD(__ldcs)
CUDASIM_LOAD(__ldca)
CUDASIM_LOAD(__ldlu)
CUDASIM_LOAD(__ldcv)
CUDASIM_STORE(__stcs)
CUDASIM_STORE(__stcg)
CUDASIM_STORE(__stwb)
CUDASIM_STORE(__stwt)

#include "intrinsics.h"
#pragma GCC visibility pop
