// Fibers: stacks that one thread of the machine changes between by itself.
//
// A CUDA thread that waits at a barrier must keep its local variables and its place in the code while the others
// catch up. A fiber is just that: a stack, and a saved stack pointer. Changing fibers costs some 8 ns in assembly;
// elsewhere ucontext, in the C library, does the same in 160 ns (it also saves the signal mask, by a system call).
#include <sys/mman.h>

#include "runtime.h"

#if !defined(__x86_64__) || defined(CUDASIM_UCONTEXT)
#define CUDASIM_UCONTEXT
#include <ucontext.h>
#endif

namespace cudasim {

constexpr size_t STACK = 64 * 1024;
constexpr size_t GUARD = 4096;  // unmapped, below each stack: an overflow stops there
constexpr int FIBERS = MAX_THREADS + 1;  // of the threads of a block, and one that goes on with the next thread

// Of a cooperative launch, whose threads all have a stack at once: smaller ones where they would not fit into this many
// bytes of address space, and no guards where there would be more memory maps than a process may have (65,530).
constexpr size_t MOST_ADDRESSES = (size_t)1 << 31;
constexpr size_t LEAST_STACK = 12 * 1024;
constexpr int MOST_GUARDED = 16 * 1024;

struct Fiber {
#ifndef CUDASIM_UCONTEXT
    void* stack_pointer;
#else
    ucontext_t context;
#endif
    bool usable;  // suspended in fiber_main, between two threads; false when new, or left in the middle of a kernel
};

// The stacks belong to one launch at a time, of whichever built file: a process may have some 32 times as many memory
// maps as one set of stacks with its guards takes. Python makes the sets, and hands one to each launch (module.py).
static char* stacks;
static Fiber fibers_of_a_block[FIBERS];
static int free_of_a_block[FIBERS];
static Fiber* fibers = fibers_of_a_block;
static int* free_fibers = free_of_a_block;
static int fiber_count = FIBERS, free_count;
static size_t stack_size = STACK;
static Fiber main_fiber;
static int current_fiber = -1;  // -1: the caller's own stack

[[noreturn]] void fiber_main();  // scheduler.cpp
void drop_many_stacks();

#ifndef CUDASIM_UCONTEXT
extern "C" void cudasim_switch(void** save, void* load);
// The System V ABI lets a call change every register but these six and the stack pointer, so nothing else needs saving.
asm(R"(
    .text
    .hidden cudasim_switch
    .globl cudasim_switch
    .type cudasim_switch, @function
cudasim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size cudasim_switch, .-cudasim_switch
)");

static void prepare(Fiber& fiber, char* top) {
    void** frame = (void**)top;
    *--frame = nullptr;             // where fiber_main would return to: debuggers end their backtrace here
    *--frame = (void*)fiber_main;
    for (int i = 0; i < 6; ++i) *--frame = nullptr;
    fiber.stack_pointer = frame;
}

static void change(Fiber& from, Fiber& to) { cudasim_switch(&from.stack_pointer, to.stack_pointer); }
#else
static void prepare(Fiber& fiber, char* top) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = top - (stack_size - 4096);
    fiber.context.uc_stack.ss_size = stack_size - 4096;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, (void (*)())fiber_main, 0);
}

static void change(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
#endif

static char* stack_of(int fiber) { return stacks + fiber * (stack_size + GUARD) + GUARD; }

bool on_a_stack(uintptr_t address) {
    return address - (uintptr_t)stacks < fiber_count * (stack_size + GUARD);
}

bool on_a_fiber() { return current_fiber >= 0; }

static void free_all() {
    free_count = 0;
    for (int i = fiber_count - 1; i >= 0; --i) free_fibers[free_count++] = i;
}

void abandon_fibers() {
    for (int i = 0; i < fiber_count; ++i) fibers[i].usable = false;
    free_all();
}

// Stacks for so many fibers, or null where there is no address space for them. What is not used takes no memory.
static char* make_stacks(size_t count, size_t size, bool guarded) {
    void* memory = mmap(nullptr, count * (size + GUARD), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    for (size_t i = 0; i < count && guarded; ++i)
        if (mprotect((char*)memory + i * (size + GUARD), GUARD, PROT_NONE)) {
            munmap(memory, count * (size + GUARD));
            return nullptr;
        }
    return (char*)memory;
}

CUDASIM_EXPORT char* cudasim_make_stacks() { return make_stacks(FIBERS, STACK, true); }

// Begin a launch on these. Whatever fibers of this file stood on them is gone: another file may have used them since.
void use_stacks(char* given) {
    stacks = given;
    abandon_fibers();
}

// The same for a cooperative launch, of so many threads in all. False where there is no memory for it.
bool use_many_stacks(int64_t threads) {
    int64_t count = threads + 1;
    size_t room = MOST_ADDRESSES / count / 4096 * 4096;
    size_t size = room > STACK + GUARD ? STACK : room > LEAST_STACK + GUARD ? room - GUARD : LEAST_STACK;
    char* made = make_stacks(count, size, count <= MOST_GUARDED);
    Fiber* new_fibers = (Fiber*)calloc(count, sizeof(Fiber));
    int* new_free = (int*)calloc(count, sizeof(int));
    fiber_count = (int)count;
    stack_size = size;
    fibers = new_fibers;
    free_fibers = new_free;
    if (made && new_fibers && new_free) return use_stacks(made), true;
    stacks = made;
    drop_many_stacks();
    return false;
}

void drop_many_stacks() {
    if (stacks) munmap(stacks, fiber_count * (stack_size + GUARD));
    free(fibers);
    free(free_fibers);
    fibers = fibers_of_a_block;
    free_fibers = free_of_a_block;
    fiber_count = FIBERS;
    stack_size = STACK;
}

int take_fiber() {
    int i = free_fibers[--free_count];
    if (!fibers[i].usable) {
        // Staggered: with tops a multiple of 4096 bytes apart, all stacks would share the same few lines of the L1
        // cache.
        prepare(fibers[i], stack_of(i) + stack_size - (i % 21) * 192);
        fibers[i].usable = true;
    }
    return i;
}

void give_back_fiber(int fiber, bool usable) {
    fibers[fiber].usable = usable;
    free_fibers[free_count++] = fiber;
}

void go_to_fiber(int fiber) {
    Fiber& from = current_fiber < 0 ? main_fiber : fibers[current_fiber];
    Fiber& to = fiber < 0 ? main_fiber : fibers[fiber];
    current_fiber = fiber;
    if (&from != &to) change(from, to);
}

}  // namespace cudasim
