// A program from its begin to its end: main, and exit.
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>

#include "host_parts.h"

namespace cudasim {

bool on_a_fiber();  // fibers.cpp

bool in_main;
static int end_status;
static jmp_buf end_place;
static pthread_t main_thread;

}  // namespace cudasim

using namespace cudasim;

extern "C" int cudasim_main(int argc, char** argv) __attribute__((weak));  // main of the program, where there is one

CUDASIM_EXPORT int cudasim_run(int argc, char** argv) {
    main_thread = pthread_self();
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // it prints to where its command does, and is not to outlive that
    setvbuf(stdout, nullptr, _IOLBF, 0);  // what it has printed is to be read when it is ended
    in_main = true;
    if (!setjmp(end_place)) end_status = cudasim_main(argc, argv);
    in_main = false;
    fflush(nullptr);
    return end_status;
}

// What the linker makes of the program's calls of exit(): the Python around it is to live on.
extern "C" [[noreturn]] __attribute__((visibility("hidden"))) void __wrap_exit(int status) {
    if (!in_main || on_a_fiber() || !pthread_equal(pthread_self(), main_thread)) {
        fflush(nullptr);
        _Exit(status);
    }
    end_status = status;
    longjmp(end_place, 1);
}
