// Tiles in shared memory: how they lie there, which thread copies what, and which numbers a lane owns.
#pragma once

// How many neighbouring numbers may be copied at a time where a row has n of them.
__host__ __device__ constexpr int width_of(int n) { return n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1; }

// At least n numbers, an odd number of fours. Of rows of that length, the same four of 8 neighbouring ones lie in 8
// different groups of 4 banks: they are read, 16 bytes each, in one pass.
__host__ __device__ constexpr int odd_quads(int n) { return (quotient_up(n, 4) | 1) * 4; }

// ---------------------------------------------------------------- who copies what
//
// A tile is ROWS rows of LENGTH numbers, and is copied V numbers at a time. Each thread has a column, always the same,
// and every AT_ONCE-th row, TIMES of them. A row of more chunks than there are threads takes several PASSES.
template <int ROWS, int LENGTH, int V, int THREADS>
struct Chunks {
    static_assert(LENGTH % V == 0, "a row of the tile is whole chunks");
    static constexpr int IN_ROW = LENGTH / V, PASSES = quotient_up(IN_ROW, THREADS);
    static constexpr int AT_ONCE = PASSES > 1 ? 1 : THREADS / IN_ROW, TIMES = quotient_up(ROWS, AT_ONCE);
    static constexpr int FIRST_COLUMNS = PASSES > 1 ? THREADS : IN_ROW;

    // Whether this thread copies at all, the row and the column where it begins.
    __device__ __forceinline__ static bool works() {
        return PASSES > 1 || IN_ROW * AT_ONCE == THREADS || int(threadIdx.x) < IN_ROW * AT_ONCE;
    }
    __device__ __forceinline__ static int row() { return threadIdx.x / FIRST_COLUMNS; }
    __device__ __forceinline__ static int column() { return threadIdx.x % FIRST_COLUMNS * V; }

    // Whether there is a chunk for it: its time-th row, its pass-th column.
    __device__ __forceinline__ static bool has(int time, int pass = 0) {
        if (PASSES > 1) return column() + pass * THREADS * V < LENGTH;
        return works() && ((time + 1) * AT_ONCE <= ROWS || row() + time * AT_ONCE < ROWS);
    }
};

// V neighbouring numbers; four with one load, at a multiple of 16 bytes.
template <int V, typename T>
__device__ __forceinline__ void load_chunk(T (&v)[V], const T* p) {
    if constexpr (V == 4) {
        load4(v, p);
    } else {
#pragma unroll
        for (int i = 0; i < V; i++) v[i] = p[i];
    }
}

// The gradient through a ReLU: dy[i] = 0 where y[i] > 0 does not hold, for V numbers in shared memory.
template <int V, typename T>
__device__ __forceinline__ void mask_chunk(T* dy, const T* y) {
    T d[V], v[V];
    load_chunk(d, dy);
    load_chunk(v, y);
#pragma unroll
    for (int i = 0; i < V; i++) d[i] = v[i] > 0 ? d[i] : T(0);
    if constexpr (V == 4) {
        store4(dy, d);
    } else {
#pragma unroll
        for (int i = 0; i < V; i++) dy[i] = d[i];
    }
}

// ---------------------------------------------------------------- which numbers a lane owns
//
// A warp is (32 / LN) x LN lanes. For 16-byte loads the hardware serves 8 lanes at a time, but 16 where lanes i and i^1
// (or i and i^2) want the same 16 bytes. These number the lanes so that both operands of a product get that.
template <int LN>
__device__ __forceinline__ int lane_column(int lane) {
    static_assert(LN == 1 || LN == 2 || LN == 4 || LN == 8, "lanes of a warp side by side");
    return LN == 1 ? 0 : LN == 2 ? lane & 1 : LN == 4 ? (lane & 1) | (lane >> 4) << 1 : (lane >> 1) & 7;
}

template <int LN>
__device__ __forceinline__ int lane_row(int lane) {
    return LN == 1 ? lane : LN == 2 ? lane >> 1 : LN == 4 ? (lane >> 1) & 7 : (lane & 1) | (lane >> 4) << 1;
}

// ---------------------------------------------------------------- to global memory

// The first `count` of four neighbours, WIDTH at a time where p is aligned to so many.
template <int WIDTH, typename T>
__device__ __forceinline__ void store_quad(T* p, const T (&v)[4], int count) {
    if constexpr (WIDTH == 2 && sizeof(T) == 4) {
        if (count >= 2) *reinterpret_cast<float2*>(p) = make_float2(v[0], v[1]);
        if (count >= 4) *reinterpret_cast<float2*>(p + 2) = make_float2(v[2], v[3]);
    } else {
        store_some(p, v, count, WIDTH == 4);
    }
}
