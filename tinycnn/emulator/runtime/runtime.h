// What the parts of the runtime share. One block runs at a time, on one thread of the machine; everything here is its
// state. (In a cooperative launch, together.cpp changes from one block to another.)
#pragma once
#include "cudasim.h"

#define CUDASIM_EXPORT extern "C" __attribute__((visibility("default")))

#pragma GCC visibility push(hidden)
namespace cudasim {

constexpr int MAX_THREADS = 1024;
constexpr int MAX_WARPS = MAX_THREADS / 32;

template <typename T> struct List {  // of plain values; the C++ library's would have to be linked
    T* items;
    int size, room;

    T& operator[](int i) const { return items[i]; }
    T* begin() const { return items; }
    T* end() const { return items + size; }
    T& add(const T& item) {
        if (size == room) items = (T*)realloc((void*)items, (room = room ? 2 * room : 4) * sizeof(T));
        return items[size++] = item;
    }
    void clear() {
        free(items);
        *this = {};
    }
};

// ---------------------------------------------------------------- threads and the block (scheduler.cpp)

enum class State : uint8_t { Unstarted, Ready, Running, Yielded, AtBarrier, AtWarp, AtActiveMask, AtAccess, Done };

struct Access {  // a load or store that a thread is about to make (hooks.cpp)
    uintptr_t pc, address;
    int size;
    uint8_t write, atomic, is_volatile;
    uint8_t reads;   // what was there before
};

struct Thread {
    uint3 index;
    State state;
    bool abandoned;   // ended by us, at a fault
    bool returned;    // before the kernel's end, in hooked builds
    int fiber;        // whose stack it is on, from its first wait on
    Site site;        // where it waits
    uintptr_t pc;     // the instruction after its last barrier or intrinsic call
    uintptr_t last_barrier;  // the same of its last __syncthreads in this block; 0: none yet
    uintptr_t last_access;  // the instruction of its last access, in hooked builds
    uint64_t value;   // what it brings to a warp intrinsic, and takes from one
    int lane_argument, width;
    Access access;    // what it is parked at, when accesses are issued in lockstep
};

struct Block {
    int size, next, live;      // threads in all, started, and not yet at their end
    uint3 index;
    uint64_t ready[MAX_THREADS / 64];
    unsigned live_lanes[MAX_WARPS];  // of each warp, the lanes that have not ended
    int yielded;               // threads that let others run before they look again
    int waiting;               // threads at the barrier
    int counted;               // of those, with a predicate that holds
    Vote vote;
    int vote_result;
    unsigned barriers;         // completed so far: the epoch of block-wide order
    bool failed;
};

// What each of the blocks that run at once has of its own: `items` is that of the running one.
template <typename T> struct OfEachBlock {
    T* items;
    T* all;
    int each, room;

    T& operator[](int i) const { return items[i]; }
    void make(int blocks, int of_each) {  // what it held is gone
        if (blocks * of_each > room) {
            free(all);
            all = (T*)calloc(room = blocks * of_each, sizeof(T));
        }
        each = of_each;
        items = all;
    }
    void enter(int slot) { items = all + slot * each; }
};

extern OfEachBlock<Thread> threads;
extern Block block;
extern int current;            // the running thread

void make_ready(int thread);
void wait_as(State state);     // suspend the current thread; returns when it is ready again
void check_barrier();          // release it if everyone who is left has come
[[noreturn]] void abandon();   // the current thread ends here, without its remaining instructions
[[noreturn]] void stop_block();
[[noreturn]] void stop_launch();

constexpr int INTERRUPTED = -1, NO_MEMORY = -2, REFUSED = -3;  // what cudasim_launch returns, if not how many blocks failed

inline int warp_of(int thread) { return thread >> 5; }
inline int lane_of(int thread) { return thread & 31; }
inline int lanes_in(int warp) { return block.size - warp * 32 < 32 ? block.size - warp * 32 : 32; }

// ---------------------------------------------------------------- warps (warp.cpp)

void make_warps(int blocks);
void enter_warps(int slot);
void reset_warps();
void check_warp(int warp);     // release the intrinsics of this warp that were waiting for a thread that has ended
const char* describe_warp_wait(int thread, char* text, size_t size);
bool release_active_mask();    // true if some threads at __activemask could go on
bool warp_waits_disagree();

// ---------------------------------------------------------------- problems (problems.cpp)

enum class Kind : int {
    None, Race, OutOfBounds, Misaligned, Uninitialised, Barrier, WarpIntrinsic, Trap, Endless, Crash, ReadOnly, Refused
};

struct Problem {               // as Python reads it
    int kind;
    int line;                  // of `file`; 0 where the place is given by pc instead
    char file[256];
    uint64_t pc, other_pc;     // instructions of hooked code; 0 where there is none
    uint64_t count;
    unsigned block[3], thread[3], other_block[3], other_thread[3];
    int region, size, write, other_write, space;
    int64_t offset;
    char message[640];
};

void report(Kind kind, Site site, int thread, const char* message);
void tell_who(Problem& problem, int thread);
Problem* find_problem(Kind kind, uint64_t pc, uint64_t other_pc, Site site);

// ---------------------------------------------------------------- what a kernel says of its launches (limits.cpp)

extern bool refused;
extern bool begun;  // the kernel has called begins()
void limit_launch(size_t dynamic_bytes);

// ---------------------------------------------------------------- signals (crash.cpp)

uintptr_t interrupted_at(void* context);  // the instruction, in a signal handler
bool in_this_file(uintptr_t address);     // in the code or the variables of the built file
uintptr_t place_of(void* context, uintptr_t address);  // of the kernel's that is at it; 0 if none is found
uintptr_t file_begin();                   // where that is loaded

// ---------------------------------------------------------------- launches that do not end (deadline.cpp)

extern volatile bool overdue;       // the launch is to end
extern volatile uint64_t progress;  // grows when a block begins, and when all of one are at a barrier
void begin_time_limit(double seconds);
CUDASIM_EXPORT void cudasim_ended();
[[noreturn]] void stop_overdue(uintptr_t pc);

#ifdef CUDASIM_HOOKED
// ---------------------------------------------------------------- the tools (hooks.cpp, shadow.cpp, trace.cpp)

void tools_begin_launch(int blocks);  // that run at once
void tools_enter_block(int slot);
void tools_begin_block();
void tools_after_barrier(uintptr_t pc, Site site);
void tools_after_warp(int warp, unsigned lanes);  // a __syncwarp
bool issue_one_request();
#endif

}  // namespace cudasim
#pragma GCC visibility pop
