// Copies by all threads of a group. They are made at once, and seen after the wait, as on a GPU.
#pragma once
#include <cooperative_groups.h>

namespace cooperative_groups {

template <typename Group, typename T>
CUDASIM_INLINE void memcpy_async(const Group& group, T* to, const T* from, size_t bytes) {
    for (size_t i = group.thread_rank(); i < bytes / sizeof(T); i += group.size()) to[i] = from[i];
}
template <typename Group, typename T>
CUDASIM_INLINE void memcpy_async(const Group& group, T* to, size_t room, const T* from, size_t count) {
    for (size_t i = group.thread_rank(); i < count && i < room; i += group.size()) to[i] = from[i];
}
template <typename Group> CUDASIM_INLINE void wait(const Group& group, CUDASIM_HERE) { group.sync(site); }
template <unsigned Left, typename Group> CUDASIM_INLINE void wait_prior(const Group& group, CUDASIM_HERE) { group.sync(site); }

}  // namespace cooperative_groups
