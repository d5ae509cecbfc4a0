// The calls that the compiler puts before every load and store of a kernel (-fsanitize=thread), and what becomes of
// them.
//
// An access is looked up in the arrays that the launch was given. On a fiber's stack it is the thread's local memory,
// of no interest; in no array it is out of bounds, and the thread ends there, before it does harm. Otherwise the race
// check sees it, or the tracer, which parks the thread until the whole warp can issue the access together.
#include "tools.h"

extern "C" {
// The linker's: where this file is in memory, and in it the variables that begin as zeros.
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char __bss_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));
}

namespace cudasim {

bool on_a_stack(uintptr_t address);                            // fibers.cpp
char* shared_address(int i);                                   // scheduler.cpp
int64_t shared_size(int i, unsigned dynamic_bytes);
int shared_arrays_count();
void poison_shared(unsigned dynamic_bytes);

struct GlobalArray { uint64_t address, size; int granule, unset, constant; };   // as Python gives it

static Region* regions;
static int region_count, last_region;
static unsigned dynamic_shared;
static bool watching;
static const int64_t* traced_blocks;  // their numbers, rising; null: all
static int64_t traced_count;
static bool tracing_some;
bool checking, tracing;
uintptr_t image_begin;

Region& region_at(int id) { return regions[id]; }

static void add_region(uintptr_t begin, int64_t size, int space, int granule, bool unset, bool constant) {
    Region& region = regions[region_count++];
    region = {begin, begin + (uintptr_t)size, space, granule, unset, constant, false, nullptr, nullptr, nullptr};
    if (checking) shadow_begin(region, 1);
    if (tracing) trace_begin(region);
}

// Python calls these two around a launch. Regions are numbered as given, then follow the shared arrays.
CUDASIM_EXPORT void cudasim_watch(const GlobalArray* arrays, int count, unsigned dynamic_bytes, int check, int trace,
                                  double seconds) {
    begin_time_limit(seconds);
    checking = check;
    tracing = trace;
    dynamic_shared = dynamic_bytes;
    image_begin = (uintptr_t)__ehdr_start;
    region_count = last_region = 0;
    regions = (Region*)calloc(count + shared_arrays_count() + 1, sizeof(Region));  // + 1: never none
    for (int i = 0; i < count; ++i) {
        const GlobalArray& a = arrays[i];
        add_region(a.address, a.size, Global, a.granule, a.unset, a.constant);
    }
    for (int i = 0; i < shared_arrays_count(); ++i)
        add_region((uintptr_t)shared_address(i), shared_size(i, dynamic_bytes), Shared, 4, true, false);
    watching = true;
}

// The whole grid is to run, as the program needs its results, but only these of its blocks are to be traced.
CUDASIM_EXPORT void cudasim_trace_only(const int64_t* blocks, int64_t count) {
    tracing_some = true;
    traced_blocks = blocks;
    traced_count = count;
}

// Whether the launch that was checked wrote anything there.
CUDASIM_EXPORT int cudasim_written(int id) { return regions[id].written; }

CUDASIM_EXPORT void cudasim_unwatch() {
    watching = tracing_some = false;
    shadow_forget();
    for (int i = 0; i < region_count; ++i) {
        free(regions[i].all_cells);
        free(regions[i].touched);
    }
    free(regions);
    regions = nullptr;
    region_count = 0;
}

int region_of(uintptr_t address) {
    auto holds = [address](const Region& r) { return address - r.begin < r.end - r.begin; };
    if (holds(regions[last_region])) return last_region;
    for (int i = 0; i < region_count; ++i)
        if (holds(regions[i])) return last_region = i;
    return -1;
}

// The array that an address in none is most likely meant for: the nearest. Or none, for a null or a wild pointer.
static int nearest_region(uintptr_t address) {
    int best = -1;
    uintptr_t distance = 1 << 26;
    for (int i = 0; i < region_count; ++i) {
        uintptr_t d = address >= regions[i].end ? address - regions[i].end : regions[i].begin - address;
        if (d < distance) distance = d, best = i;
    }
    return best;
}

// Whether an address is where the file's variables are, and ours, and in none of them that a kernel may touch.
static bool between_variables(uintptr_t at) {
    auto holds = [at](const void* begin, size_t size) { return at - (uintptr_t)begin < size; };
    return holds(__bss_start, _end - __bss_start) && !holds(&threadIdx, sizeof threadIdx) &&
           !holds(&blockIdx, sizeof blockIdx) && !holds(&blockDim, sizeof blockDim) &&
           !holds(&gridDim, sizeof gridDim) && !holds(&together, sizeof together) &&
           !holds(&patience, sizeof patience);
}

// ---------------------------------------------------------------- an access

static void report_access(Kind kind, int region, const Access& access) {
    Problem* p = find_problem(kind, access.pc, 0, {nullptr, 0});
    if (!p || p->count++) return;
    tell_who(*p, current);
    p->region = region;
    p->offset = region < 0 ? 0 : (int64_t)(access.address - regions[region].begin);
    p->size = access.size;
    p->write = access.write;
    p->space = region < 0 ? Global : regions[region].space;
    if (kind != Kind::OutOfBounds) return;
    char text[300];
    if (whose(access.address, text, sizeof text))
        snprintf(p->message, sizeof p->message, "%s %d bytes %s", access.write ? "writes" : "reads", access.size, text);
}

static void access(const void* address, int size, bool write, bool atomic, void* return_address,
                   bool is_volatile = false, bool reads = false) {
    uintptr_t at = (uintptr_t)address;
    if (!watching) return host_access(at, size, write, (uintptr_t)return_address - file_begin());
    if (on_a_stack(at) || may_read(at)) return;
    Access a = {(uintptr_t)return_address - image_begin, at, size, write, atomic, is_volatile, reads || !write};
    int id = is_the_hosts(at) ? -1 : region_of(at);
    if (id < 0) {
        // Tables of constants, threadIdx and the like are in this file's own image.
        if (in_this_file(at) && !between_variables(at) && !is_the_hosts(at)) return;
        report_access(Kind::OutOfBounds, nearest_region(at), a);
        abandon();
    }
    if (at + size > regions[id].end) {
        report_access(Kind::OutOfBounds, id, a);
        abandon();
    }
    if (write && regions[id].constant) {
        report_access(Kind::ReadOnly, id, a);
        abandon();  // the compiler for a GPU warns, and puts a trap there
    }
    if (at & (size - 1)) {
        report_access(Kind::Misaligned, id, a);
        abandon();  // so does a GPU: "misaligned address" ends the launch
    }
    threads[current].last_access = a.pc;
    if (tracing) {
        threads[current].access = a;
        wait_as(State::AtAccess);
    }
    if (checking) shadow_access(regions[id], id, a);
}

// Called where code branches or joins. The tracer stops lanes here too: in a loop whose body some lanes skip, the
// rounds would otherwise go unnoticed, and lanes of different rounds be taken to be together.
static void branch(void* return_address) {
    if (!watching) return;
    uintptr_t pc = (uintptr_t)return_address - image_begin;
    if (overdue) stop_overdue(pc);
    if (!tracing) return;
    threads[current].access = {pc};
    wait_as(State::AtAccess);
}

void on_atomic(const void* address, int size, bool reads, const void* pc) {
    access(address, size, true, true, const_cast<void*>(pc), false, reads);
}

static void range(const void* address, size_t size, bool write, void* pc) {
    const char* at = (const char*)address;
    if (!watching) return host_access((uintptr_t)at, size, write, (uintptr_t)pc - file_begin());
    size_t step = ((uintptr_t)at | size) % 4 ? 1 : 4;
    for (size_t i = 0; i < size; i += step) access(at + i, (int)step, write, false, pc);
}

// An index outside an array whose size the compiler knows: also one of local memory, or a row of a larger array.
static void index_out_of_bounds(int64_t index, const char* type, void* return_address) {
    if (!watching || !checking) return;
    Problem* p = find_problem(Kind::OutOfBounds, (uintptr_t)return_address - image_begin, 0, {nullptr, 0});
    if (p && !p->count++) {
        tell_who(*p, current);
        p->region = -1;
        snprintf(p->message, sizeof p->message, "the index %lld is outside of an array of type %s", (long long)index,
                 type);
    }
    abandon();
}

// ---------------------------------------------------------------- when the scheduler tells of something

void tools_begin_launch(int blocks) {
    shadow_begin_launch(blocks);
    for (int i = 0; checking && blocks > 1 && i < region_count; ++i)
        if (regions[i].space == Shared) shadow_begin(regions[i], blocks);
}

void tools_enter_block(int slot) {
    shadow_enter_block(slot);
    for (int i = 0; checking && i < region_count; ++i)
        if (regions[i].space == Shared) shadow_enter(regions[i], slot);
}

void tools_begin_block() {
    poison_shared(dynamic_shared);
    if (tracing_some) {
        uint3 b = block.index;
        int64_t number = ((int64_t)b.z * gridDim.y + b.y) * gridDim.x + b.x;
        tracing = traced_count && *traced_blocks == number;
        if (tracing) ++traced_blocks, --traced_count;
    }
    for (int i = 0; i < block.size; ++i) {
        threads[i].last_access = threads[i].last_barrier = 0;
        threads[i].returned = false;
    }
    shadow_begin_block();
}

void returns() {
    if (watching) threads[current].returned = true;
}

// A thread that ended is not waited for at a barrier. If it made an access that stands after the barrier, it went around
// it: the barrier was in a branch it did not take. (But in a loop it may have come to this barrier, or a later one, and so
// behind it, in an earlier round.) And so it did if it came to the kernel's end, and not to a return. (Of a kernel that
// syntax.py did not find that is not known.)
void tools_after_barrier(uintptr_t pc, Site site) {
    if (!checking) return;
    shadow_after_barrier();
    int first = -1, around = 0;
    char text[200];
    for (int i = 0; i < block.size; ++i) {
        const Thread& t = threads[i];
        if (t.state != State::Done || t.abandoned) continue;
        uint3 who = t.index;
        if (t.last_access > pc - image_begin && t.last_barrier < pc) {
            snprintf(text, sizeof text, "divergent barrier: thread (%u,%u,%u) did not come to it, but went on behind it",
                     who.x, who.y, who.z);
            report(Kind::Barrier, site, i, text);
            return;
        }
        if (begun && !t.returned && !around++) first = i;
    }
    if (!around) return;
    uint3 who = threads[first].index;
    snprintf(text, sizeof text,
             "divergent barrier: %d thread%s, the first (%u,%u,%u), ended without coming to it; all threads of a block "
             "come to a barrier, or none", around, around == 1 ? "" : "s", who.x, who.y, who.z);
    report(Kind::Barrier, site, first, text);
}

// All threads stand still: the first warp that has an access to make issues the one that comes first in the code, for
// all its lanes that are at it. The others of the warp wait for them, as they do on a GPU to come together again.
bool issue_one_request() {
    if (!tracing) return false;
    for (int warp = 0; warp * 32 < block.size; ++warp) {
        uintptr_t lowest = ~(uintptr_t)0;
        for (int i = warp * 32; i < warp * 32 + lanes_in(warp); ++i)
            if (threads[i].state == State::AtAccess && threads[i].access.pc < lowest) lowest = threads[i].access.pc;
        if (lowest == ~(uintptr_t)0) continue;
        unsigned lanes = 0;
        for (int i = 0; i < lanes_in(warp); ++i) {
            Thread& t = threads[warp * 32 + i];
            if (t.state == State::AtAccess && t.access.pc == lowest) lanes |= 1u << i;
        }
        if (threads[warp * 32 + __builtin_ctz(lanes)].access.size) trace_request(warp, lanes);
        for (unsigned rest = lanes; rest; rest &= rest - 1) make_ready(warp * 32 + __builtin_ctz(rest));
        return true;
    }
    return false;
}

}  // namespace cudasim

// ---------------------------------------------------------------- the names that the compiler calls

#define CUDASIM_HOOK(name, size, write)            \
    CUDASIM_EXPORT void __tsan_##name(void* p) {   \
        cudasim::access(p, size, write, false, __builtin_return_address(0)); \
    }
#define CUDASIM_VOLATILE_HOOK(name, size, write)   \
    CUDASIM_EXPORT void __tsan_##name(void* p) {   \
        if (!write) cudasim::may_wait();           \
        cudasim::access(p, size, write, false, __builtin_return_address(0), true); \
    }
#define CUDASIM_HOOKS(size)                        \
    CUDASIM_HOOK(read##size, size, false)          \
    CUDASIM_HOOK(write##size, size, true)          \
    CUDASIM_HOOK(unaligned_read##size, size, false)  \
    CUDASIM_HOOK(unaligned_write##size, size, true)  \
    CUDASIM_VOLATILE_HOOK(volatile_read##size, size, false) \
    CUDASIM_VOLATILE_HOOK(volatile_write##size, size, true) \
    CUDASIM_VOLATILE_HOOK(unaligned_volatile_read##size, size, false) \
    CUDASIM_VOLATILE_HOOK(unaligned_volatile_write##size, size, true)
CUDASIM_HOOKS(1)
CUDASIM_HOOKS(2)
CUDASIM_HOOKS(4)
CUDASIM_HOOKS(8)
CUDASIM_HOOKS(16)

CUDASIM_EXPORT void __tsan_read_range(void* p, size_t n) { cudasim::range(p, n, false, __builtin_return_address(0)); }
CUDASIM_EXPORT void __tsan_write_range(void* p, size_t n) { cudasim::range(p, n, true, __builtin_return_address(0)); }
CUDASIM_EXPORT void* __tsan_memcpy(void* to, const void* from, size_t n) {
    cudasim::range(from, n, false, __builtin_return_address(0));
    cudasim::range(to, n, true, __builtin_return_address(0));
    return memcpy(to, from, n);
}
CUDASIM_EXPORT void* __tsan_memmove(void* to, const void* from, size_t n) {
    cudasim::range(from, n, false, __builtin_return_address(0));
    cudasim::range(to, n, true, __builtin_return_address(0));
    return memmove(to, from, n);
}
CUDASIM_EXPORT void* __tsan_memset(void* p, int value, size_t n) {
    cudasim::range(p, n, true, __builtin_return_address(0));
    return memset(p, value, n);
}
CUDASIM_EXPORT void __sanitizer_cov_trace_pc() { cudasim::branch(__builtin_return_address(0)); }

struct TypeDescriptor { uint16_t kind, info; char name[1]; };
struct IndexedArray { const char* file; uint32_t line, column; const TypeDescriptor *array, *index; };
CUDASIM_EXPORT void __ubsan_handle_out_of_bounds(const IndexedArray* of, uintptr_t index) {
    cudasim::index_out_of_bounds((int64_t)index, of->array->name, __builtin_return_address(0));
}
CUDASIM_EXPORT void __tsan_init() {}
CUDASIM_EXPORT void __tsan_func_entry(void*) {}
CUDASIM_EXPORT void __tsan_func_exit() {}
