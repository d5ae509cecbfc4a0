// Warp intrinsics: the lanes that a mask names meet, and the last to come computes everybody's result.
//
// On a GPU the lanes of a warp may run apart, and an intrinsic brings those in its mask together. Here a lane that
// comes to one waits, with its value, until all lanes of the mask that have not ended have come with the same
// operation and the same mask. If they never do, nobody can go on and scheduler.cpp tells who waits where.
#include "runtime.h"

namespace cudasim {

static const char* const NAMES[] = {
    "__syncwarp",        "__shfl_sync",       "__shfl_up_sync",    "__shfl_down_sync", "__shfl_xor_sync",   "__ballot_sync",
    "__any_sync",        "__all_sync",        "__match_any_sync",  "__match_all_sync", "__reduce_add_sync", "__reduce_min_sync",
    "__reduce_max_sync", "__reduce_and_sync", "__reduce_or_sync",  "__reduce_xor_sync"};

struct Meeting {  // one intrinsic that lanes of a warp wait at
    Warp operation;
    unsigned mask, arrived;
};
struct Meetings {
    Meeting open[32];
    int count;
};
static OfEachBlock<Meetings> meetings;

void make_warps(int blocks) { meetings.make(blocks, (block.size + 31) / 32); }
void enter_warps(int slot) { meetings.enter(slot); }

void reset_warps() {
    for (int warp = 0; warp * 32 < block.size; ++warp) meetings[warp].count = 0;
}

[[noreturn]] static void bad_lane(const Meeting& meeting, int thread, int lane, const char* why) {
    char text[400];
    if (lane < 0)
        snprintf(text, sizeof text, "%s: lane %d %s", NAMES[(int)meeting.operation], lane_of(thread), why);
    else if (lane < lanes_in(warp_of(thread)) && meeting.mask >> lane & 1)
        snprintf(text, sizeof text, "%s: lane %d reads lane %d, which %s: your mask 0x%08x names lanes that have returned",
                 NAMES[(int)meeting.operation], lane_of(thread), lane, why, meeting.mask);
    else
        snprintf(text, sizeof text,
                 "%s: lane %d reads lane %d, which %s; mend the width, or the mask and the block so that they have it",
                 NAMES[(int)meeting.operation], lane_of(thread), lane, why);
    report(Kind::WarpIntrinsic, threads[thread].site, thread, text);
    stop_block();
}

// The lane that a shuffle reads, by the rules of the PTX instruction shfl: outside its segment a lane reads itself.
static int source_lane(Warp operation, int lane, int argument, int width) {
    int first = lane & ~(width - 1), last = first + width - 1;
    switch (operation) {
        case Warp::Shuffle: return first | (argument & (width - 1));
        case Warp::ShuffleUp: return lane - argument < first ? lane : lane - argument;
        case Warp::ShuffleDown: return lane + argument > last ? lane : lane + argument;
        default: return (lane ^ argument) > last ? lane : lane ^ argument;
    }
}

static uint64_t reduced(Warp operation, uint64_t a, uint64_t b) {
    switch (operation) {
        case Warp::Add: return a + b;
        case Warp::Min: return (int64_t)a < (int64_t)b ? a : b;
        case Warp::Max: return (int64_t)a > (int64_t)b ? a : b;
        case Warp::And: return a & b;
        case Warp::Or: return a | b;
        default: return a ^ b;
    }
}

// Of the lanes that came, those with the same value.
static unsigned same_as(const Thread* lanes, unsigned came, uint64_t value) {
    unsigned same = 0;
    for (unsigned rest = came; rest; rest &= rest - 1)
        if (lanes[__builtin_ctz(rest)].value == value) same |= rest & -rest;
    return same;
}

static void complete(int warp, const Meeting& meeting) {
    Thread* lanes = threads.items + warp * 32;
    uint64_t results[32] = {};
    if (meeting.operation >= Warp::Shuffle && meeting.operation <= Warp::ShuffleXor) {
        for (unsigned rest = meeting.arrived; rest; rest &= rest - 1) {
            int lane = __builtin_ctz(rest), width = lanes[lane].width;
            if (width < 1 || width > 32 || (width & (width - 1)))
                bad_lane(meeting, warp * 32 + lane, -1, "has a width that is no power of two up to 32");
            // An up or down by more than the segment reads itself; clamped so that the sum cannot overflow.
            int argument = lanes[lane].lane_argument;
            if (meeting.operation == Warp::ShuffleUp || meeting.operation == Warp::ShuffleDown)
                argument = (unsigned)argument > 32u ? 32 : argument;
            else
                argument &= 31;
            int from = source_lane(meeting.operation, lane, argument, width);
            if (!(meeting.arrived >> from & 1))
                bad_lane(meeting, warp * 32 + lane, from,
                         from >= lanes_in(warp)         ? "does not exist"
                         : !(meeting.mask >> from & 1)  ? "the mask does not name"
                                                        : "has ended");
            results[lane] = lanes[from].value;
        }
    } else if (meeting.operation >= Warp::Add) {
        int first = __builtin_ctz(meeting.arrived);
        uint64_t result = lanes[first].value;
        for (unsigned rest = meeting.arrived & ~(1u << first); rest; rest &= rest - 1)
            result = reduced(meeting.operation, result, lanes[__builtin_ctz(rest)].value);
        for (uint64_t& r : results) r = result;
    } else if (meeting.operation >= Warp::MatchAny) {
        for (unsigned rest = meeting.arrived; rest; rest &= rest - 1) {
            int lane = __builtin_ctz(rest);
            unsigned same = same_as(lanes, meeting.arrived, lanes[lane].value);
            results[lane] = meeting.operation == Warp::MatchAny || same == meeting.arrived ? same : 0;
        }
    } else {
        unsigned ballot = 0;
        for (unsigned rest = meeting.arrived; rest; rest &= rest - 1)
            if (lanes[__builtin_ctz(rest)].value) ballot |= rest & -rest;
        uint64_t result = meeting.operation == Warp::Ballot ? ballot
                        : meeting.operation == Warp::Any    ? ballot != 0
                                                            : ballot == meeting.arrived;
        for (uint64_t& r : results) r = result;
    }
    for (unsigned rest = meeting.arrived; rest; rest &= rest - 1) {
        int lane = __builtin_ctz(rest);
        lanes[lane].value = results[lane];
        make_ready(warp * 32 + lane);
    }
#ifdef CUDASIM_HOOKED
    if (meeting.operation == Warp::Sync) tools_after_warp(warp, meeting.arrived);
#endif
}

// True if the meeting is complete, and over.
static bool try_complete(int warp, int i) {
    Meetings& all = meetings[warp];
    if (all.open[i].arrived != (all.open[i].mask & block.live_lanes[warp])) return false;
    Meeting meeting = all.open[i];
    all.open[i] = all.open[--all.count];
    complete(warp, meeting);
    return true;
}

uint64_t warp(Warp operation, unsigned mask, uint64_t value, int lane_argument, int width, Site site) {
    Thread& me = threads[current];
    int warp = warp_of(current), lane = lane_of(current);
    me.site = site;
    me.pc = (uintptr_t)__builtin_return_address(0);
    me.value = value;
    me.lane_argument = lane_argument;
    me.width = width;
    if (!(mask >> lane & 1)) bad_lane({operation, mask, 0}, current, -1, "is not in the mask that it passes itself");

    Meetings& all = meetings[warp];
    int i = 0;
    while (i < all.count && (all.open[i].operation != operation || all.open[i].mask != mask)) ++i;
    if (i == all.count) all.open[all.count++] = {operation, mask, 0};
    all.open[i].arrived |= 1u << lane;
    me.state = State::AtWarp;
    if (try_complete(warp, i)) {
        block.ready[current >> 6] &= ~(1ull << (current & 63));
        me.state = State::Running;
    } else {
        wait_as(State::AtWarp);
    }
    return me.value;
}

void check_warp(int warp) {
    for (int i = 0; i < meetings[warp].count;)
        if (!meetings[warp].open[i].arrived || !try_complete(warp, i)) ++i;
}

const char* describe_warp_wait(int thread, char* text, size_t size) {
    Meetings& all = meetings[warp_of(thread)];
    for (int i = 0; i < all.count; ++i)
        if (all.open[i].arrived >> lane_of(thread) & 1)
            snprintf(text, size, "%s with mask 0x%08x", NAMES[(int)all.open[i].operation], all.open[i].mask);
    return text;
}

// ---------------------------------------------------------------- __activemask
//
// Which lanes are active together is up to the hardware, and this can only approximate it: a lane waits until the
// others of its warp have all stopped somewhere, and those found at the same __activemask() are called active.

unsigned active_mask(Site site) {
    threads[current].site = site;
    wait_as(State::AtActiveMask);
    return (unsigned)threads[current].value;
}

bool release_active_mask() {
    for (int first = 0; first < block.size; ++first) {
        if (threads[first].state != State::AtActiveMask) continue;
        unsigned together = 0;
        int begin = first & ~31;
        for (int lane = 0; lane < lanes_in(warp_of(first)); ++lane) {
            Thread& other = threads[begin + lane];
            bool here = other.state == State::AtActiveMask && other.site.line == threads[first].site.line;
            if (here) together |= 1u << lane;
        }
        for (unsigned rest = together; rest; rest &= rest - 1) {
            threads[begin + __builtin_ctz(rest)].value = together;
            make_ready(begin + __builtin_ctz(rest));
        }
        return true;
    }
    return false;
}

}  // namespace cudasim
