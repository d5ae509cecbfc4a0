// Sums and their like over the lanes of a group.
#pragma once
#include <cooperative_groups.h>

namespace cooperative_groups {

template <typename T = void> struct plus { CUDASIM_INLINE T operator()(T a, T b) const { return a + b; } };
template <typename T = void> struct less { CUDASIM_INLINE T operator()(T a, T b) const { return b < a ? b : a; } };
template <typename T = void> struct greater { CUDASIM_INLINE T operator()(T a, T b) const { return a < b ? b : a; } };
template <typename T = void> struct bit_and { CUDASIM_INLINE T operator()(T a, T b) const { return a & b; } };
template <typename T = void> struct bit_or { CUDASIM_INLINE T operator()(T a, T b) const { return a | b; } };
template <typename T = void> struct bit_xor { CUDASIM_INLINE T operator()(T a, T b) const { return a ^ b; } };
#define CUDASIM_OF_ANY(name, expression) \
    template <> struct name<void> { template <typename T> CUDASIM_INLINE T operator()(T a, T b) const { return expression; } };
CUDASIM_OF_ANY(plus, a + b)
CUDASIM_OF_ANY(less, b < a ? b : a)
CUDASIM_OF_ANY(greater, a < b ? b : a)
CUDASIM_OF_ANY(bit_and, a & b)
CUDASIM_OF_ANY(bit_or, a | b)
CUDASIM_OF_ANY(bit_xor, a ^ b)
#undef CUDASIM_OF_ANY

// In pairs where the lanes are a tile, as the hardware does it; in the order of the lanes otherwise.
template <unsigned Size, typename Parent, typename T, typename Op>
CUDASIM_INLINE T reduce(const thread_block_tile<Size, Parent>& tile, T value, Op op, CUDASIM_HERE) {
    for (unsigned distance = Size / 2; distance; distance /= 2) value = op(value, tile.shfl_xor(value, distance, site));
    return value;
}
template <typename T, typename Op>
CUDASIM_INLINE T reduce(const coalesced_group& group, T value, Op op, CUDASIM_HERE) {
    T sum = group.shfl(value, 0, site);
    for (unsigned rank = 1; rank < group.size(); ++rank) sum = op(sum, group.shfl(value, rank, site));
    return sum;
}

}  // namespace cooperative_groups
