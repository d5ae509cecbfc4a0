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
constexpr int FIBERS = MAX_THREADS + 1;

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
static Fiber fibers[FIBERS];
static Fiber main_fiber;
static int free_fibers[FIBERS], free_count;
static int current_fiber = -1;  // -1: the caller's own stack

[[noreturn]] void fiber_main();  // scheduler.cpp

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
    fiber.context.uc_stack.ss_sp = top - (STACK - 4096);
    fiber.context.uc_stack.ss_size = STACK - 4096;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, (void (*)())fiber_main, 0);
}

static void change(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
#endif

static char* stack_of(int fiber) { return stacks + fiber * (STACK + GUARD) + GUARD; }

bool on_a_stack(uintptr_t address) {
    return address - (uintptr_t)stacks < FIBERS * (STACK + GUARD);
}

bool on_a_fiber() { return current_fiber >= 0; }

static void free_all() {
    free_count = 0;
    for (int i = FIBERS - 1; i >= 0; --i) free_fibers[free_count++] = i;
}

void abandon_fibers() {
    for (Fiber& fiber : fibers) fiber.usable = false;
    free_all();
}

// A set of stacks, or null where there is no address space for it.
CUDASIM_EXPORT char* cudasim_make_stacks() {
    void* memory = mmap(nullptr, FIBERS * (STACK + GUARD), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    for (int i = 0; i < FIBERS; ++i)
        if (mprotect((char*)memory + i * (STACK + GUARD), GUARD, PROT_NONE)) {
            munmap(memory, FIBERS * (STACK + GUARD));
            return nullptr;
        }
    return (char*)memory;
}

// Begin a launch on these. Whatever fibers of this file stood on them is gone: another file may have used them since.
void use_stacks(char* given) {
    stacks = given;
    abandon_fibers();
}

int take_fiber() {
    int i = free_fibers[--free_count];
    if (!fibers[i].usable) {
        // Staggered: with tops a multiple of 4096 bytes apart, all stacks would share the same few lines of the L1
        // cache.
        prepare(fibers[i], stack_of(i) + STACK - (i % 21) * 192);
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
