// The time limit of a launch. Python calls from a thread of its own when the time is up: of a watched launch that is all
// that it may take; of a program that only runs, a time in which the launch has made no progress.
//
// Nearly every watched kernel that does not end comes by a hook again and again, and is stopped there. `for (;;) {}` and
// its like call nothing, and without the tools there are no hooks: a signal finds them, and the instruction they are at.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "runtime.h"

namespace cudasim {

bool on_a_fiber();  // fibers.cpp

static pthread_t limited_thread;
static double most_seconds;
static volatile bool unfinished;
volatile bool overdue;
volatile uint64_t progress;

void begin_time_limit(double seconds) {
    limited_thread = pthread_self();
    most_seconds = seconds;
    unfinished = true;
    overdue = false;
}

[[noreturn]] void stop_overdue(uintptr_t pc) {
    overdue = false;
    Problem* p = find_problem(Kind::Endless, pc, 0, {nullptr, 0});
    if (p && !p->count++) {
        tell_who(*p, current);
#ifdef CUDASIM_HOOKED
        snprintf(p->message, sizeof p->message, "the launch has not ended after %g seconds, and this thread is here. %s",
                 most_seconds,
                 together ? "All blocks run at once: what it waits for, if it waits, no thread of the grid does any more"
                          : "Blocks run one after the other: a loop that waits for another block does not end, unless "
                            "the launch is cooperative");
#else
        snprintf(p->message, sizeof p->message,
                 "for %g seconds no block has come to its end or to a barrier, and this thread is here. If it waits for "
                 "another thread of its block: without an atomic in the loop that has its turn in `tinycnn check` only. "
                 "For another block: that has its turn in a cooperative launch only",
                 most_seconds);
#endif
    }
    stop_launch();
}

static void on_signal(int, siginfo_t*, void* context) {
    // Perhaps it is meant for another built file's launch, or the kernel is in a function of the C library.
    if (!unfinished || !overdue || !pthread_equal(pthread_self(), limited_thread) || !on_a_fiber()) return;
    if (!in_this_file(interrupted_at(context))) return;
    if (uintptr_t pc = place_of(context, 0)) stop_overdue(pc - file_begin());
}

CUDASIM_EXPORT void cudasim_time_is_up() {
    overdue = true;
    struct sigaction mine = {};
    mine.sa_sigaction = on_signal;
    mine.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;  // the handler may not return
    const timespec pause = {0, 10 * 1000 * 1000};
    for (int i = 0; unfinished; ++i) {
        nanosleep(&pause, nullptr);
        if (i < 10 || !unfinished || !overdue) continue;  // a hook is given the time to come by
        sigaction(SIGRTMIN + 7, &mine, nullptr);          // and stays: one that comes late must find it
        pthread_kill(limited_thread, SIGRTMIN + 7);
    }
}

// 0 while no launch runs.
CUDASIM_EXPORT uint64_t cudasim_progress() { return unfinished ? progress : 0; }

CUDASIM_EXPORT void cudasim_no_progress(double seconds) {
    most_seconds = seconds;
    cudasim_time_is_up();
}

CUDASIM_EXPORT void cudasim_ended() { unfinished = false; }

}  // namespace cudasim
