// Runs the threads of a block.
//
// A kernel without barriers needs no fibers: its threads are a plain loop. Only a thread that has to wait needs a stack
// of its own, so the loop runs on a fiber and, at the first barrier or warp intrinsic, that fiber becomes the waiting
// thread's; another fiber carries the loop on from the next thread. (The idea, a loop that is promoted to fibers at the
// first barrier, is that of cuda4cpu by Javier Cabezas; the code is not.)
//
// The order is fixed: the lowest thread that can run, runs, until it waits or ends. So is the order of atomics, then,
// and a launch gives the same bits every time.
#include "runtime.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cudasim {

OfEachBlock<Thread> threads;
Block block;
int current;
static void (*kernel)(void**);
static void** arguments;
static int running_fiber;
static int retired_fiber = -1;
static bool interrupted, stopped;  // the launch is over before its last block

// fibers.cpp
void use_stacks(char* stacks);
bool use_many_stacks(int64_t count);
void drop_many_stacks();
int take_fiber();
void give_back_fiber(int fiber, bool usable);
void go_to_fiber(int fiber);
void abandon_fibers();

// together.cpp
extern bool together;
void begin_together(int blocks, const int64_t* order, unsigned dynamic_bytes);
bool go_to_another_block();
bool go_to_a_stuck_block();

// interrupts.cpp
void watch_interrupts();
void unwatch_interrupts();

// crash.cpp
void watch_crashes();
void unwatch_crashes();

constexpr int CALLER = -1;  // the stack that launch() was called on

void make_ready(int thread) {
    threads[thread].state = State::Ready;
    block.ready[thread >> 6] |= 1ull << (thread & 63);
}

// ---------------------------------------------------------------- who runs next

constexpr int PATIENCE = 1000;  // how often a thread may look for what another does before that has its turn
int patience;

static void run_as(int thread) {
    current = thread;
    patience = PATIENCE;
    threads[thread].state = State::Running;
    threadIdx = threads[thread].index;
}

static int take_ready() {
    for (int i = 0; i < (block.size + 63) / 64; ++i)
        if (block.ready[i]) {
            int bit = __builtin_ctzll(block.ready[i]);
            block.ready[i] &= block.ready[i] - 1;
            return i * 64 + bit;
        }
    return -1;
}

// The threads that let others run are ready again. False if there are none.
bool take_up_again() {
    if (!block.yielded) return false;
    for (int i = 0; i < block.size; ++i)
        if (threads[i].state == State::Yielded) make_ready(i);
    block.yielded = 0;
    return true;
}

static void deadlock();

// Leave the current fiber, whose thread waits or has ended, for the next one that has something to do.
static void leave() {
    for (;;) {
        if (int thread = take_ready(); thread >= 0) {
            run_as(thread);
            running_fiber = threads[thread].fiber;
            return go_to_fiber(running_fiber);
        }
        if (block.next < block.size) {
            running_fiber = take_fiber();
            return go_to_fiber(running_fiber);
        }
        if (block.live == 0 && !together) break;
#ifdef CUDASIM_HOOKED
        if (issue_one_request()) continue;
#endif
        if (release_active_mask()) continue;
        if (together ? go_to_another_block() : take_up_again()) continue;
        if (together && !go_to_a_stuck_block()) break;  // all have ended
        deadlock();
        break;
    }
    running_fiber = CALLER;
    go_to_fiber(CALLER);
}

static void finished() {
    threads[current].state = State::Done;
    block.live_lanes[warp_of(current)] &= ~(1u << lane_of(current));
    --block.live;
    if (block.waiting) check_barrier();
    check_warp(warp_of(current));
}

// For a debugger: a function to stop in, called just before the selected thread enters the kernel.
static int64_t selected_block = -1, selected_thread = -1;
CUDASIM_EXPORT void cudasim_select(int64_t block_number, int64_t thread) {
    selected_block = block_number;
    selected_thread = thread;
}
CUDASIM_EXPORT __attribute__((noinline)) void cudasim_selected_thread() { asm volatile(""); }

[[noreturn]] void fiber_main() {
    for (;;) {
        while (block.next < block.size) {
            int thread = block.next++;
            run_as(thread);
            threads[thread].fiber = running_fiber;
            if (thread == selected_thread) {
                uint3 b = block.index;
                if (((int64_t)b.z * gridDim.y + b.y) * gridDim.x + b.x == selected_block) cudasim_selected_thread();
            }
            kernel(arguments);
            finished();
        }
        give_back_fiber(running_fiber, true);
        leave();  // and come back here when a later block needs this fiber
    }
}

void wait_as(State state) {
    threads[current].state = state;
    leave();
}

void yield() {
    ++block.yielded;
    wait_as(State::Yielded);
}

[[noreturn]] void abandon() {
    threads[current].abandoned = true;
    finished();
    // The fiber must not be taken, and so overwritten, while this code runs on it: it is given back the next time.
    if (retired_fiber >= 0) give_back_fiber(retired_fiber, false);
    retired_fiber = running_fiber;
    leave();
    __builtin_unreachable();
}

[[noreturn]] void stop_block() {
    block.failed = true;
    if (threads[current].state == State::Done) give_back_fiber(running_fiber, false);
    running_fiber = CALLER;
    go_to_fiber(CALLER);
    __builtin_unreachable();
}

[[noreturn]] void stop_launch() {
    stopped = true;
    go_to_fiber(CALLER);
    __builtin_unreachable();
}

// From a signal handler, at any point of a kernel.
[[noreturn]] void abandon_launch() {
    interrupted = true;
    go_to_fiber(CALLER);
    __builtin_unreachable();
}

// ---------------------------------------------------------------- barriers

static const char* name_of(Vote vote) {
    switch (vote) {
        case Vote::Count: return "__syncthreads_count";
        case Vote::And: return "__syncthreads_and";
        case Vote::Or: return "__syncthreads_or";
        default: return "__syncthreads";
    }
}

static bool same(Site a, Site b) { return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file)); }

static void name_thread(int thread, char* text, size_t size) {
    uint3 t = threads[thread].index;
    snprintf(text, size, "(%u,%u,%u)", t.x, t.y, t.z);
}

int barrier(Vote vote, int predicate, Site site) {
    Thread& me = threads[current];
    me.site = site;
    me.pc = me.last_barrier = (uintptr_t)__builtin_return_address(0);
    if (block.waiting++ == 0) {
        block.vote = vote;
        block.counted = 0;
    }
    if (predicate) ++block.counted;
    me.value = (uint64_t)vote;
    me.state = State::AtBarrier;
    if (block.waiting == block.live) {
        check_barrier();
        // The last one to come goes on itself: it was made ready with the others.
        block.ready[current >> 6] &= ~(1ull << (current & 63));
        me.state = State::Running;
    } else {
        leave();
    }
    return block.vote_result;
}

// Called when a thread has come to the barrier or has ended: threads that have ended are not waited for, as on the GPU.
void check_barrier() {
    if (block.waiting != block.live || !block.live) return;
    int first = -1;
    for (int i = 0; i < block.size; ++i) {
        if (threads[i].state != State::AtBarrier) continue;
        if (first < 0) first = i;
        if (same(threads[i].site, threads[first].site) && threads[i].value == threads[first].value) continue;
        char a[40], b[40], text[512];
        name_thread(first, a, sizeof a);
        name_thread(i, b, sizeof b);
        snprintf(text, sizeof text, "divergent barrier: thread %s waits at %s, %s:%d, but thread %s at %s, %s:%d", a,
                 name_of((Vote)threads[first].value), threads[first].site.file, threads[first].site.line, b,
                 name_of((Vote)threads[i].value), threads[i].site.file, threads[i].site.line);
        report(Kind::Barrier, threads[i].site, i, text);
        stop_block();
    }
    block.vote_result = block.vote == Vote::Count ? block.counted
                      : block.vote == Vote::And   ? block.counted == block.waiting
                                                  : block.counted > 0;
    block.waiting = 0;
    ++block.barriers;
    progress = progress + 1;
#ifdef CUDASIM_HOOKED
    tools_after_barrier(threads[first].pc, threads[first].site);
#endif
    for (int i = 0; i < block.size; ++i)
        if (threads[i].state == State::AtBarrier) make_ready(i);
}

// Nobody can go on. Say who waits where: threads that wait at the same place are told together.
static void deadlock() {
    char text[640], who[40], what[128];
    int used = snprintf(text, sizeof text, "deadlock:"), first = -1;
    bool told[MAX_THREADS] = {}, at_warp = false;
    for (int i = 0; i < block.size; ++i) {
        if (told[i] || threads[i].state == State::Done) continue;
        if (first < 0) first = i;
        bool warp_wait = threads[i].state == State::AtWarp;
        at_warp |= warp_wait;
        if (warp_wait) describe_warp_wait(i, what, sizeof what);
        else snprintf(what, sizeof what, "%s", name_of((Vote)threads[i].value));
        int count = 0;
        for (int j = i; j < block.size; ++j) {
            char other[128] = "";
            if (threads[j].state != threads[i].state || !same(threads[i].site, threads[j].site)) continue;
            if (warp_wait && strcmp(describe_warp_wait(j, other, sizeof other), what)) continue;
            told[j] = true;
            ++count;
        }
        name_thread(i, who, sizeof who);
        if (used < (int)sizeof text)
            used += snprintf(text + used, sizeof text - used, "%s %d thread%s (first %s) wait%s at %s, %s:%d",
                             i == first ? "" : ";", count, count == 1 ? "" : "s", who, count == 1 ? "s" : "", what,
                             threads[i].site.file, threads[i].site.line);
    }
    // The intrinsic is at fault, if there is one: its mask names lanes that are elsewhere.
    for (int i = 0; at_warp && i < block.size; ++i)
        if (threads[i].state == State::AtWarp) {
            first = i;
            break;
        }
    report(at_warp ? Kind::WarpIntrinsic : Kind::Barrier, threads[first].site, first, text);
    block.failed = true;
}

[[noreturn]] void trap(Site site) {
    report(Kind::Trap, site, current, "__trap() was called");
    stop_block();
}

// ---------------------------------------------------------------- a launch

void begin_block(uint3 index) {
    progress = progress + 1;
    block.index = blockIdx = index;
    block.next = block.waiting = block.yielded = 0;
    block.live = block.size;
    block.barriers = 0;
    block.failed = false;
    for (uint64_t& word : block.ready) word = 0;
    for (int i = 0; i < block.size; ++i) {
        threads[i].state = State::Unstarted;
        threads[i].abandoned = false;
    }
    for (int warp = 0; warp * 32 < block.size; ++warp) block.live_lanes[warp] = ~0u >> (32 - lanes_in(warp));
    reset_warps();
#ifdef CUDASIM_HOOKED
    tools_begin_block();
#endif
}

// The block that has begun, or the blocks that run together, to the end. False if something went wrong.
static bool run() {
    running_fiber = take_fiber();
    go_to_fiber(running_fiber);
    if (interrupted || stopped || together) {
        abandon_fibers();
        retired_fiber = -1;
        return !interrupted && !stopped && !block.failed;
    }
    if (block.failed)  // threads that stay where they are: their fibers start anew when next needed
        for (int i = 0; i < block.size; ++i)
            if (threads[i].state != State::Unstarted && threads[i].state != State::Done)
                give_back_fiber(threads[i].fiber, false);
    return !block.failed;
}

// Shared memory keeps what the previous launch left there, on a CPU as on a GPU. Filled with NaN, an element that the
// kernel forgot to write shows. (The tools do the same before every block; here it would cost too much.)
struct SharedArray { int64_t offset, size; };  // from the start of this file's thread-local storage
static thread_local char cudasim_anchor[16];   // its own place in there is known to Python, and so all others are
static const SharedArray* shared_arrays;
static int shared_count, dynamic_count;
static int64_t anchor_offset;

CUDASIM_EXPORT void cudasim_shared(const SharedArray* arrays, int count, int dynamic, int64_t anchor) {
    shared_arrays = arrays;
    shared_count = count;
    dynamic_count = dynamic;  // how many of them, at the front, are dynamic
    anchor_offset = anchor;
}

char* shared_address(int i) {
    char* here = cudasim_anchor;
    // Opaque from here on: to the compiler it would point into the anchor alone, with 16 bytes to write at most.
    asm("" : "+r"(here));
    return here - anchor_offset + shared_arrays[i].offset;
}
int64_t shared_size(int i, unsigned dynamic_bytes) { return i < dynamic_count ? dynamic_bytes : shared_arrays[i].size; }
int shared_arrays_count() { return shared_count; }

bool is_shared(uintptr_t address) {
    for (int i = 0; i < shared_count; ++i)
        if (address - (uintptr_t)shared_address(i) < (uintptr_t)shared_arrays[i].size) return true;
    return false;
}

void poison_shared(unsigned dynamic_bytes) {
    for (int i = 0; i < shared_count; ++i) memset(shared_address(i), 0xff, shared_size(i, dynamic_bytes));
}

uint3 index_of(int64_t number) {
    return {(unsigned)(number % gridDim.x), (unsigned)(number / gridDim.x % gridDim.y),
            (unsigned)(number / gridDim.x / gridDim.y)};
}

CUDASIM_EXPORT int cudasim_launch(void (*call)(void**), void** given, const unsigned* grid, const unsigned* size,
                                  unsigned shared, const int64_t* wanted_blocks, int64_t wanted, char* stacks,
                                  int cooperative) {
    use_stacks(stacks);
    retired_fiber = -1;
    kernel = call;
    arguments = given;
    gridDim = dim3(grid[0], grid[1], grid[2]);
    blockDim = dim3(size[0], size[1], size[2]);
    block.size = (int)(size[0] * size[1] * size[2]);
    int64_t all = (int64_t)grid[0] * grid[1] * grid[2], blocks = wanted_blocks ? wanted : all;
    int at_once = cooperative ? (int)blocks : 1, failures = 0;
    if (cooperative && !use_many_stacks((int64_t)blocks * block.size)) return NO_MEMORY;
    threads.make(at_once, block.size);
    make_warps(at_once);
    for (int i = 0; i < at_once * block.size; ++i) {
        unsigned x = i % size[0], y = i / size[0] % size[1], z = i / size[0] / size[1] % size[2];
        threads[i].index = uint3{x, y, z};
    }
#ifdef CUDASIM_HOOKED
    tools_begin_launch(at_once);
#else
    begin_time_limit(0);
#endif
    poison_shared(shared);
    limit_launch(shared);
    interrupted = stopped = false;
    together = cooperative;
    watch_interrupts();
    watch_crashes();
    if (together) {
        begin_together(at_once, wanted_blocks, shared);
        failures = !run();
        drop_many_stacks();
    }
    for (int64_t i = 0; i < blocks && !together && !interrupted && !stopped; ++i) {
        begin_block(index_of(wanted_blocks ? wanted_blocks[i] : i));
        if (!run()) {
            ++failures;
#ifndef CUDASIM_HOOKED
            break;
#endif
        }
    }
    unwatch_crashes();
    unwatch_interrupts();
#ifndef CUDASIM_HOOKED
    cudasim_ended();
#endif
    return interrupted ? INTERRUPTED : refused ? REFUSED : failures;
}

}  // namespace cudasim
