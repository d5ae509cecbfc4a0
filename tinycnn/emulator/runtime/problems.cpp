// What went wrong, kept for Python. The same fault at the same place is one problem with a count.
#include "runtime.h"

namespace cudasim {

constexpr int MOST = 256;
static Problem problems[MOST];
static int problem_count;

CUDASIM_EXPORT const Problem* cudasim_problems(int* count) {
    *count = problem_count;
    return problems;
}

CUDASIM_EXPORT void cudasim_forget_problems() { problem_count = 0; }

// The one of this kind at this place, new (count 0) or known; null if there are too many already.
Problem* find_problem(Kind kind, uint64_t pc, uint64_t other_pc, Site site) {
    for (int i = 0; i < problem_count; ++i) {
        Problem& p = problems[i];
        if (p.kind == (int)kind && p.pc == pc && p.other_pc == other_pc && p.line == site.line &&
            (!site.file || !strcmp(p.file, site.file)))
            return &p;
    }
    if (problem_count == MOST) return nullptr;
    Problem& p = problems[problem_count++];
    memset(&p, 0, sizeof p);
    p.kind = (int)kind;
    p.pc = pc;
    p.other_pc = other_pc;
    p.line = site.line;
    if (site.file) snprintf(p.file, sizeof p.file, "%s", site.file);
    return &p;
}

// A thread of the running block.
void tell_who(Problem& p, int thread) {
    uint3 t = threads[thread].index;
    p.block[0] = block.index.x, p.block[1] = block.index.y, p.block[2] = block.index.z;
    p.thread[0] = t.x, p.thread[1] = t.y, p.thread[2] = t.z;
}

void report(Kind kind, Site site, int thread, const char* message) {
    Problem* p = find_problem(kind, 0, 0, site);
    if (!p || p->count++) return;
    tell_who(*p, thread);
    snprintf(p->message, sizeof p->message, "%s", message);
}

}  // namespace cudasim
