// The time limit of a watched launch. Python's timer calls from a thread of its own when the time is up.
//
// Nearly every kernel that does not end comes by a hook again and again, and is stopped there. Only `for (;;) {}` and its
// like call nothing: a signal finds them, and the instruction that they are at.
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "tools.h"

namespace cudasim {

bool on_a_fiber();  // fibers.cpp

static pthread_t limited_thread;
static double most_seconds;
static volatile bool unfinished;
volatile bool overdue;

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
        snprintf(p->message, sizeof p->message, "the launch has not ended after %g seconds, and this thread is here. %s",
                 most_seconds,
                 together ? "All blocks run at once: what it waits for, if it waits, no thread of the grid does any more"
                          : "Blocks run one after the other: a loop that waits for another block does not end, unless "
                            "the launch is cooperative");
    }
    stop_launch();
}

static void on_signal(int, siginfo_t*, void* context) {
    // Perhaps it is meant for another built file's launch, or the kernel is in a function of the C library.
    if (!unfinished || !overdue || !pthread_equal(pthread_self(), limited_thread) || !on_a_fiber()) return;
    uintptr_t pc = interrupted_at(context);
    if (in_this_file(pc)) stop_overdue(pc - image_begin + 1);  // as a hook knows it: the instruction after
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

CUDASIM_EXPORT void cudasim_ended() { unfinished = false; }

}  // namespace cudasim
