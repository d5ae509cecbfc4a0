// Sums of all lanes before, with or without one's own.
#pragma once
#include <cooperative_groups/reduce.h>

namespace cooperative_groups {

template <typename Group, typename T, typename Op>
CUDASIM_INLINE T inclusive_scan(const Group& group, T value, Op op, CUDASIM_HERE) {
    T sum = value;
    for (unsigned distance = 1; distance < group.size(); distance *= 2) {
        T before = group.shfl_up(sum, distance, site);
        if (group.thread_rank() >= distance) sum = op(before, sum);
    }
    return sum;
}
template <typename Group, typename T> CUDASIM_INLINE T inclusive_scan(const Group& group, T value, CUDASIM_HERE) {
    return inclusive_scan(group, value, plus<T>(), site);
}
template <typename Group, typename T, typename Op>
CUDASIM_INLINE T exclusive_scan(const Group& group, T value, Op op, CUDASIM_HERE) {
    T before = group.shfl_up(inclusive_scan(group, value, op, site), 1, site);
    return group.thread_rank() ? before : T();
}
template <typename Group, typename T> CUDASIM_INLINE T exclusive_scan(const Group& group, T value, CUDASIM_HERE) {
    return exclusive_scan(group, value, plus<T>(), site);
}

}  // namespace cooperative_groups
