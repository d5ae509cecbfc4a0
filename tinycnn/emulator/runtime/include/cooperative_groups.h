// Cooperative groups, on the barriers and warp intrinsics of cudasim.h: a group is who takes part, and how they meet.
//
// A tile or a coalesced group is a mask of lanes. Groups larger than a warp are the block and the grid; a tile of several
// warps, a cluster and several GPUs are not supported by the emulator.
#pragma once
#include <cuda_runtime.h>

#define _CG_HAS_CLUSTER_GROUP 0

namespace cudasim {
CUDASIM_INLINE unsigned rank_in_block() {
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}
CUDASIM_INLINE unsigned lane() { return rank_in_block() & 31; }
CUDASIM_INLINE unsigned lanes_below() { return (1u << lane()) - 1; }
CUDASIM_INLINE unsigned threads_of_block() { return blockDim.x * blockDim.y * blockDim.z; }
// The lane that has the n-th bit of a mask.
CUDASIM_INLINE int nth_lane(unsigned mask, unsigned n) {
    for (; n && mask; --n) mask &= mask - 1;
    return mask ? __builtin_ctz(mask) : 0;
}
}  // namespace cudasim

namespace cooperative_groups {

// Every block of the grid arrives, and the last one opens the gate for all. (Not in a namespace of the emulator's: the
// check is to see these two as it sees a kernel's own variables, for they order what the blocks do.)
inline unsigned grid_arrived, grid_gate;
CUDASIM_INLINE void grid_barrier(cudasim::Site site) {
    if (!cudasim::together) cudasim::fail_grid_barrier(site);
    __syncthreads(site);
    if (cudasim::rank_in_block() == 0) {
        unsigned gate = atomicAdd(&grid_gate, 0u);
        __threadfence();
        if (atomicAdd(&grid_arrived, 1u) == gridDim.x * gridDim.y * gridDim.z - 1) {
            atomicExch(&grid_arrived, 0u);
            __threadfence();
            atomicAdd(&grid_gate, 1u);
        } else {
            while (atomicAdd(&grid_gate, 0u) == gate) {}
        }
        __threadfence();
    }
    __syncthreads(site);
}

enum class Kind : unsigned { Block, Lanes, Grid };

// ---------------------------------------------------------------- any group

class thread_group {
  protected:
    Kind kind;
    unsigned mask;  // of its lanes, where it is of lanes
    friend thread_group tiled_partition(const thread_group& parent, unsigned size);

  public:
    CUDASIM_INLINE thread_group(Kind kind, unsigned mask) : kind(kind), mask(mask) {}
    CUDASIM_INLINE unsigned long long size() const {
        return kind == Kind::Block ? cudasim::threads_of_block() : __builtin_popcount(mask);
    }
    CUDASIM_INLINE unsigned long long num_threads() const { return size(); }
    CUDASIM_INLINE unsigned long long thread_rank() const {
        return kind == Kind::Block ? cudasim::rank_in_block() : __builtin_popcount(mask & cudasim::lanes_below());
    }
    CUDASIM_INLINE void sync(CUDASIM_HERE) const {
        if (kind == Kind::Block) __syncthreads(site);
        else __syncwarp(mask, site);
    }
    CUDASIM_INLINE bool is_valid() const { return true; }
    CUDASIM_INLINE unsigned mask_of_lanes() const { return mask; }  // not CUDA's
};

// ---------------------------------------------------------------- the block

class thread_block : public thread_group {
  public:
    CUDASIM_INLINE thread_block() : thread_group(Kind::Block, 0) {}
    static CUDASIM_INLINE void sync(CUDASIM_HERE) { __syncthreads(site); }
    static CUDASIM_INLINE unsigned size() { return cudasim::threads_of_block(); }
    static CUDASIM_INLINE unsigned num_threads() { return size(); }
    static CUDASIM_INLINE unsigned thread_rank() { return cudasim::rank_in_block(); }
    static CUDASIM_INLINE dim3 group_index() { return dim3(blockIdx.x, blockIdx.y, blockIdx.z); }
    static CUDASIM_INLINE dim3 thread_index() { return dim3(threadIdx.x, threadIdx.y, threadIdx.z); }
    static CUDASIM_INLINE dim3 group_dim() { return blockDim; }
    static CUDASIM_INLINE dim3 dim_threads() { return blockDim; }
};
CUDASIM_INLINE thread_block this_thread_block() { return thread_block(); }

// ---------------------------------------------------------------- the grid

class grid_group {
  public:
    CUDASIM_INLINE bool is_valid() const { return cudasim::together; }
    CUDASIM_INLINE void sync(CUDASIM_HERE) const { grid_barrier(site); }
    static CUDASIM_INLINE unsigned long long num_blocks() { return (unsigned long long)gridDim.x * gridDim.y * gridDim.z; }
    static CUDASIM_INLINE unsigned long long block_rank() {
        return ((unsigned long long)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    }
    static CUDASIM_INLINE unsigned long long size() { return num_blocks() * cudasim::threads_of_block(); }
    static CUDASIM_INLINE unsigned long long num_threads() { return size(); }
    static CUDASIM_INLINE unsigned long long thread_rank() {
        return block_rank() * cudasim::threads_of_block() + cudasim::rank_in_block();
    }
    static CUDASIM_INLINE dim3 group_dim() { return gridDim; }
    static CUDASIM_INLINE dim3 dim_blocks() { return gridDim; }
    static CUDASIM_INLINE dim3 block_index() { return dim3(blockIdx.x, blockIdx.y, blockIdx.z); }
};
CUDASIM_INLINE grid_group this_grid() { return grid_group(); }

// ---------------------------------------------------------------- lanes of a warp

class coalesced_group : public thread_group {
  public:
    CUDASIM_INLINE explicit coalesced_group(unsigned mask) : thread_group(Kind::Lanes, mask) {}
    CUDASIM_INLINE unsigned size() const { return __builtin_popcount(mask); }
    CUDASIM_INLINE unsigned num_threads() const { return size(); }
    CUDASIM_INLINE unsigned thread_rank() const { return __builtin_popcount(mask & cudasim::lanes_below()); }
    CUDASIM_INLINE unsigned meta_group_size() const { return 1; }
    CUDASIM_INLINE unsigned meta_group_rank() const { return 0; }
    CUDASIM_INLINE void sync(CUDASIM_HERE) const { __syncwarp(mask, site); }
    template <typename T> CUDASIM_INLINE T shfl(T value, unsigned rank, CUDASIM_HERE) const {
        return __shfl_sync(mask, value, cudasim::nth_lane(mask, rank % size()), 32, site);
    }
    template <typename T> CUDASIM_INLINE T shfl_up(T value, unsigned delta, CUDASIM_HERE) const {
        unsigned rank = thread_rank();
        return __shfl_sync(mask, value, cudasim::nth_lane(mask, rank < delta ? rank : rank - delta), 32, site);
    }
    template <typename T> CUDASIM_INLINE T shfl_down(T value, unsigned delta, CUDASIM_HERE) const {
        unsigned rank = thread_rank();
        return __shfl_sync(mask, value, cudasim::nth_lane(mask, rank + delta < size() ? rank + delta : rank), 32, site);
    }
    CUDASIM_INLINE int any(int predicate, CUDASIM_HERE) const { return __any_sync(mask, predicate, site); }
    CUDASIM_INLINE int all(int predicate, CUDASIM_HERE) const { return __all_sync(mask, predicate, site); }
    CUDASIM_INLINE unsigned ballot(int predicate, CUDASIM_HERE) const {
        unsigned found = __ballot_sync(mask, predicate, site), packed = 0, rank = 0;
        for (unsigned rest = mask; rest; rest &= rest - 1, ++rank)
            if (found & rest & -rest) packed |= 1u << rank;
        return packed;
    }
};
CUDASIM_INLINE coalesced_group coalesced_threads(CUDASIM_HERE) { return coalesced_group(__activemask(site)); }

template <unsigned Size, typename Parent = void> class thread_block_tile : public thread_group {
    static_assert(Size <= 32, "a tile of more than one warp is not supported by the emulator");
    static_assert(Size && !(Size & (Size - 1)), "the size of a tile is a power of two");
    static CUDASIM_INLINE unsigned lanes() {
        return Size == 32 ? 0xffffffffu : ((1u << (Size & 31)) - 1) << (cudasim::lane() & ~(Size - 1));
    }

  public:
    CUDASIM_INLINE thread_block_tile() : thread_group(Kind::Lanes, lanes()) {}
    template <typename Other> CUDASIM_INLINE thread_block_tile(const thread_block_tile<Size, Other>&) : thread_block_tile() {}
    static CUDASIM_INLINE unsigned size() { return Size; }
    static CUDASIM_INLINE unsigned num_threads() { return Size; }
    static CUDASIM_INLINE unsigned thread_rank() { return cudasim::rank_in_block() & (Size - 1); }
    static CUDASIM_INLINE unsigned meta_group_rank() { return cudasim::rank_in_block() / Size; }
    static CUDASIM_INLINE unsigned meta_group_size() { return (cudasim::threads_of_block() + Size - 1) / Size; }
    CUDASIM_INLINE void sync(CUDASIM_HERE) const { __syncwarp(mask, site); }
    template <typename T> CUDASIM_INLINE T shfl(T value, int rank, CUDASIM_HERE) const {
        return __shfl_sync(mask, value, rank, Size, site);
    }
    template <typename T> CUDASIM_INLINE T shfl_up(T value, unsigned delta, CUDASIM_HERE) const {
        return __shfl_up_sync(mask, value, delta, Size, site);
    }
    template <typename T> CUDASIM_INLINE T shfl_down(T value, unsigned delta, CUDASIM_HERE) const {
        return __shfl_down_sync(mask, value, delta, Size, site);
    }
    template <typename T> CUDASIM_INLINE T shfl_xor(T value, unsigned bits, CUDASIM_HERE) const {
        return __shfl_xor_sync(mask, value, (int)bits, Size, site);
    }
    CUDASIM_INLINE int any(int predicate, CUDASIM_HERE) const { return __any_sync(mask, predicate, site); }
    CUDASIM_INLINE int all(int predicate, CUDASIM_HERE) const { return __all_sync(mask, predicate, site); }
    CUDASIM_INLINE unsigned ballot(int predicate, CUDASIM_HERE) const {
        unsigned found = __ballot_sync(mask, predicate, site) & mask;
        return Size == 32 ? found : found >> (cudasim::lane() & ~(Size - 1));
    }
};

template <unsigned Size, typename Group> CUDASIM_INLINE thread_block_tile<Size, Group> tiled_partition(const Group&) {
    return thread_block_tile<Size, Group>();
}
CUDASIM_INLINE thread_group tiled_partition(const thread_group& parent, unsigned size) {
    unsigned first = cudasim::lane() & ~(size - 1);
    unsigned mask = size >= 32 ? 0xffffffffu : ((1u << size) - 1) << first;
    if (parent.kind == Kind::Lanes) mask &= parent.mask;
    return thread_group(Kind::Lanes, mask);
}
// Of a coalesced group: by rank, not by lane.
CUDASIM_INLINE coalesced_group tiled_partition(const coalesced_group& parent, unsigned size) {
    unsigned first = parent.thread_rank() / size * size, rank = 0, mask = 0;
    for (unsigned rest = parent.mask_of_lanes(); rest; rest &= rest - 1, ++rank)
        if (rank - first < size) mask |= rest & -rest;
    return coalesced_group(mask);
}
template <typename Group> CUDASIM_INLINE coalesced_group binary_partition(const Group& group, bool which, CUDASIM_HERE) {
    unsigned yes = __ballot_sync(group.mask_of_lanes(), which, site);
    return coalesced_group(which ? yes : group.mask_of_lanes() & ~yes);
}
template <typename Group, typename Label>
CUDASIM_INLINE coalesced_group labeled_partition(const Group& group, Label label, CUDASIM_HERE) {
    unsigned same = 0;
    for (unsigned rest = group.mask_of_lanes(); rest; rest &= rest - 1) {
        int lane = __builtin_ctz(rest);
        bool equal = __shfl_sync(group.mask_of_lanes(), (long long)label, lane, 32, site) == (long long)label;
        if (equal) same |= 1u << lane;
    }
    return coalesced_group(same);
}

template <typename Group> CUDASIM_INLINE void sync(const Group& group, CUDASIM_HERE) { group.sync(site); }
template <typename Group> CUDASIM_INLINE void synchronize(const Group& group, CUDASIM_HERE) { group.sync(site); }
template <typename Group> CUDASIM_INLINE unsigned long long thread_rank(const Group& group) { return group.thread_rank(); }
template <typename Group> CUDASIM_INLINE unsigned long long group_size(const Group& group) { return group.size(); }

}  // namespace cooperative_groups
