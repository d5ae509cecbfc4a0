// A kernel that crashes: the signal finds the instruction, and the launch ends instead of the whole process.
//
// What a kernel has written over by then nobody knows. So foreign kernels run in a process of their own (limited.py);
// here it is only told which thread crashed, and where.
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include "runtime.h"

namespace cudasim {

bool on_a_fiber();                   // fibers.cpp
bool on_a_stack(uintptr_t address);

// The kernels are linked before the runtime, and of the runtime this comes first.
CUDASIM_EXPORT const Problem* cudasim_problems(int* count);

// Where this built file is in memory. (The linker has a name for that, but gdb loses its way in files that use it.)
static uintptr_t first_byte, last_byte;
static int look_at_file(dl_phdr_info* file, size_t, void*) {
    bool ours = false;
    uintptr_t end = 0;
    for (int i = 0; i < file->dlpi_phnum; ++i) {
        uintptr_t begin = file->dlpi_addr + file->dlpi_phdr[i].p_vaddr, size = file->dlpi_phdr[i].p_memsz;
        if (file->dlpi_phdr[i].p_type != PT_LOAD) continue;
        ours |= (uintptr_t)cudasim_problems - begin < size;
        end = begin + size > end ? begin + size : end;
    }
    if (ours) first_byte = file->dlpi_addr, last_byte = end - 1;
    return ours;
}
static void find_this_file() {
    if (!last_byte) dl_iterate_phdr(look_at_file, nullptr);
}
uintptr_t file_begin() {
    find_this_file();
    return first_byte;
}
bool in_this_file(uintptr_t address) {
    find_this_file();
    return address >= first_byte && address <= last_byte;
}
static bool is_kernel_code(uintptr_t address) {
    return address > first_byte && address < (uintptr_t)cudasim_problems;
}

uintptr_t interrupted_at(void* context) {
#if defined(__x86_64__)
    return (uintptr_t)((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)((ucontext_t*)context)->uc_mcontext.pc;
#else
    return 0;
#endif
}

static uintptr_t stack_pointer(void* context) {
#if defined(__x86_64__)
    return (uintptr_t)((ucontext_t*)context)->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    return (uintptr_t)((ucontext_t*)context)->uc_mcontext.sp;
#else
    return 0;
#endif
}

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr int COUNT = sizeof SIGNALS / sizeof SIGNALS[0];
static struct sigaction former[COUNT];
static stack_t stack_before;
static sigset_t mask_before;
static pthread_t crashing_thread;
alignas(16) static char signal_stack[64 * 1024];  // the thread's own may be full

// The instruction in the kernel, or, where that is in a function of the C library, what called this: an address of the
// kernel's code among what lies on the stack.
uintptr_t place_of(void* context, uintptr_t address) {
    uintptr_t pc = interrupted_at(context);
    if (is_kernel_code(pc)) return pc + 1;  // as a hook knows it: the instruction after
    uintptr_t sp = stack_pointer(context);
    for (int i = 0; i < 4096 && on_a_stack(sp + 8 * i) && on_a_stack(sp + 8 * i + 7); ++i) {
        uintptr_t word = ((uintptr_t*)sp)[i];
        if (word != address && is_kernel_code(word)) return word;
    }
    return 0;
}

static const char* text_of(int number, uintptr_t address) {
    switch (number) {
        case SIGFPE: return "an integer division by 0";
        case SIGILL: return "an illegal instruction: a __builtin_trap(), or a function that ends without its return";
        case SIGABRT: return "an abort(): a failed assert, or memory it did not get";
        case SIGBUS: return "a bus error: memory that is not its own";
    }
    return on_a_stack(address) ? "a segmentation fault: a recursion without end, or local arrays too large for its stack"
                               : "a segmentation fault: memory that is not its own";
}

static void on_crash(int number, siginfo_t* info, void* context) {
    if (!on_a_fiber() || !pthread_equal(pthread_self(), crashing_thread)) {
        for (int i = 0; i < COUNT; ++i)
            if (SIGNALS[i] == number) sigaction(number, &former[i], nullptr);
        raise(number);
        return;
    }
    uintptr_t address = number == SIGSEGV ? (uintptr_t)info->si_addr : 0, pc = place_of(context, address);
    Problem* p = find_problem(Kind::Crash, pc ? pc - first_byte : 0, 0, {nullptr, 0});
    if (p && !p->count++) {
        tell_who(*p, current);
        snprintf(p->message, sizeof p->message, "%s", text_of(number, address));
    }
    pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
    stop_launch();
}

void watch_crashes() {
    find_this_file();
    crashing_thread = pthread_self();
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_before);
    stack_t stack = {};
    stack.ss_sp = signal_stack;
    stack.ss_size = sizeof signal_stack;
    sigaltstack(&stack, &stack_before);
    struct sigaction mine = {};
    mine.sa_sigaction = on_crash;
    mine.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // the handler does not return
    for (int i = 0; i < COUNT; ++i) sigaction(SIGNALS[i], &mine, &former[i]);
}

void unwatch_crashes() {
    for (int i = 0; i < COUNT; ++i) sigaction(SIGNALS[i], &former[i], nullptr);
    sigaltstack(&stack_before, nullptr);
}

}  // namespace cudasim

// What the assert of the C library calls, in a kernel or in the host code of a program.
extern "C" void __assert_fail(const char* condition, const char* file, unsigned line, const char*) noexcept {
    if (!cudasim::on_a_fiber()) {
        fprintf(stderr, "%s:%u: the assertion `%s` does not hold\n", file, line, condition);
        abort();
    }
    char text[400];
    snprintf(text, sizeof text, "the assertion `%s` does not hold", condition);
    cudasim::report(cudasim::Kind::Trap, {file, (int)line}, cudasim::current, text);
    cudasim::stop_block();
}
