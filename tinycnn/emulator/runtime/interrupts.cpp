// Ctrl-C. Python only notes it while a launch runs, and acts when that has returned. A kernel that never ends, say one
// that waits in a loop for another thread to give up a lock, does not return; so a second Ctrl-C abandons the launch, and
// the first does where the tools are watching.
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime.h"

namespace cudasim {

[[noreturn]] void abandon_launch();  // scheduler.cpp
bool on_a_fiber();                   // fibers.cpp

static struct sigaction before;
static volatile sig_atomic_t count;
static pthread_t launcher;
static bool installed;

static void on_interrupt(int signal) {
    before.sa_handler(signal);  // Python's
    count = count + 1;
#ifdef CUDASIM_HOOKED
    overdue = true;  // at the next hook, of which there is one in nearly every loop, the launch ends
#endif
    if (count < 2) return;
    // The system may have picked any thread of the process.
    if (!pthread_equal(pthread_self(), launcher)) pthread_kill(launcher, signal);
    else if (on_a_fiber()) abandon_launch();  // and so out of this handler, too: hence SA_NODEFER
}

void watch_interrupts() {
    struct sigaction mine = {};
    mine.sa_handler = on_interrupt;
    mine.sa_flags = SA_NODEFER;
    count = 0;
    launcher = pthread_self();
    // Python acts on signals in its main thread only. Where Ctrl-C is ignored, it stays so.
    bool main_thread = syscall(SYS_gettid) == getpid();
    installed = main_thread && sigaction(SIGINT, nullptr, &before) == 0 && !(before.sa_flags & SA_SIGINFO) &&
                before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN;
    if (installed) sigaction(SIGINT, &mine, nullptr);
}

void unwatch_interrupts() {
    if (installed) sigaction(SIGINT, &before, nullptr);
    installed = false;
}

}  // namespace cudasim
