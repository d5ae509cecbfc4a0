// Tensor cores, by the words of nvcuda::wmma: a warp multiplies 16x16 tiles, whose elements are spread over its lanes.
//
// Which lane has which element is the hardware's secret, and here it is simply in order. For a product the lanes lay
// their elements out in memory of lane 0, which all of them read. Products are summed in float, in order.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace nvcuda {
namespace wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
namespace precision { struct tf32 {}; }
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K> struct Shape;  // rows and columns of the tile
template <int M, int N, int K> struct Shape<matrix_a, M, N, K> { static constexpr int rows = M, columns = K; };
template <int M, int N, int K> struct Shape<matrix_b, M, N, K> { static constexpr int rows = K, columns = N; };
template <int M, int N, int K> struct Shape<accumulator, M, N, K> { static constexpr int rows = M, columns = N; };
template <typename T> struct Stored { typedef T type; };
template <> struct Stored<precision::tf32> { typedef float type; };

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment {
    typedef typename Stored<T>::type element_type;
    static constexpr int rows = Shape<Use, M, N, K>::rows, columns = Shape<Use, M, N, K>::columns;
    static constexpr int num_elements = rows * columns / 32;
    element_type x[num_elements];
};

template <typename F, typename T> CUDASIM_INLINE void fill_fragment(F& f, T value) {
    for (auto& element : f.x) element = value;
}

CUDASIM_INLINE unsigned lane() { return ((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x) & 31; }

template <typename F, typename P, typename Do> CUDASIM_INLINE void each(F& f, P* p, unsigned stride, bool by_row, Do what) {
    for (int i = 0; i < F::num_elements; ++i) {
        int place = (int)lane() * F::num_elements + i, row = place / F::columns, column = place % F::columns;
        what(f.x[i], p[by_row ? row * stride + column : column * stride + row]);
    }
}
template <typename Use, int M, int N, int K, typename T, typename Layout, typename P>
CUDASIM_INLINE void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& f, const P* p, unsigned stride, CUDASIM_HERE) {
    __syncwarp(0xffffffffu, site);
    each(f, p, stride, std::is_same_v<Layout, row_major>, [](auto& element, const P& memory) { element = memory; });
}
template <int M, int N, int K, typename T, typename P>
CUDASIM_INLINE void load_matrix_sync(fragment<accumulator, M, N, K, T>& f, const P* p, unsigned stride, layout_t layout,
                                     CUDASIM_HERE) {
    __syncwarp(0xffffffffu, site);
    each(f, p, stride, layout == mem_row_major, [](auto& element, const P& memory) { element = memory; });
}
template <int M, int N, int K, typename T, typename P>
CUDASIM_INLINE void store_matrix_sync(P* p, const fragment<accumulator, M, N, K, T>& f, unsigned stride, layout_t layout,
                                      CUDASIM_HERE) {
    each(f, p, stride, layout == mem_row_major, [](const auto& element, P& memory) { memory = element; });
    __syncwarp(0xffffffffu, site);
}
template <int M, int N, int K, typename T, typename LA, typename LB, typename C, typename D>
CUDASIM_INLINE void mma_sync(fragment<accumulator, M, N, K, D>& d, const fragment<matrix_a, M, N, K, T, LA>& a,
                             const fragment<matrix_b, M, N, K, T, LB>& b, const fragment<accumulator, M, N, K, C>& c,
                             CUDASIM_HERE) {
    constexpr unsigned all = 0xffffffffu;
    float tiles[M * K + K * N];
    float* shared = (float*)__shfl_sync(all, (unsigned long long)tiles, 0, 32, site);
    for (int i = 0; i < a.num_elements; ++i) shared[lane() * a.num_elements + i] = a.x[i];
    for (int i = 0; i < b.num_elements; ++i) shared[M * K + lane() * b.num_elements + i] = b.x[i];
    __syncwarp(all, site);
    for (int i = 0; i < d.num_elements; ++i) {
        int place = (int)lane() * d.num_elements + i, row = place / N, column = place % N;
        float sum = c.x[i];
        for (int k = 0; k < K; ++k) sum += shared[row * K + k] * shared[M * K + k * N + column];
        d.x[i] = sum;
    }
    __syncwarp(all, site);
}
CUDASIM_INLINE float __float_to_tf32(float a) {
    uint32_t raw = cudasim::bits<uint32_t>(a);
    return a - a == 0 ? cudasim::bits<float>((raw + 0x1000u) & ~0x1fffu) : a;
}

}  // namespace wmma
}  // namespace nvcuda
