// A band of an image in shared memory: ROWS x COLUMNS pixels, what lies outside of the image as zeros.
//
// A pixel takes PIXEL numbers, its C channels filled up to fours with zeros; fewer than four channels stay as they are.
// A row of pixels takes ROW numbers: an odd number of fours (or of numbers), so that the same column of neighbouring
// rows lies in different banks.
//
// UNROLL: how many of a thread's chunks the compiler may work at together. In a loop over bands that is one, for it
// would find out where all of them lie before the loop, and keep that in registers.
#pragma once

template <int H, int W, int C, int ROWS, int COLUMNS, int THREADS, int UNROLL>
struct Band {
    static constexpr bool FOURS = C >= 4;
    static constexpr int PIXEL = FOURS ? quotient_up(C, 4) * 4 : C;
    static constexpr int ROW = FOURS ? odd_quads(COLUMNS * PIXEL) : COLUMNS * PIXEL | 1;
    static constexpr int SIZE = quotient_up(ROWS * ROW, 4) * 4;
    static constexpr int WIDTH = FOURS ? width_of(C) : 1, IN_PIXEL = PIXEL / WIDTH;  // of a chunk; chunks

    // Start copying the band whose first pixel is (h0, v0) of `image` (H,W,C).
    template <typename T>
    __device__ __forceinline__ static void start(T* band, const T* image, int h0, int v0) {
#pragma unroll(UNROLL)
        for (int i = threadIdx.x; i < ROWS * COLUMNS * IN_PIXEL; i += THREADS) {
            const int c = i % IN_PIXEL * WIDTH, column = i / IN_PIXEL % COLUMNS, row = i / IN_PIXEL / COLUMNS;
            const int h = h0 + row, v = v0 + column;
            const bool inside = unsigned(h) < H && unsigned(v) < W && c < C;
            const T* const from = image + (h * W + v) * C + c;
            start_copy<WIDTH>(band + row * ROW + column * PIXEL + c, from, inside);
        }
    }

    // Set to 0 what a ReLU had cut off, as the band `y` of its output says: each thread in what it has copied itself.
    template <typename T>
    __device__ __forceinline__ static void mask(T* band, const T* y) {
#pragma unroll(UNROLL)
        for (int i = threadIdx.x; i < ROWS * COLUMNS * IN_PIXEL; i += THREADS) {
            const int c = i % IN_PIXEL * WIDTH, column = i / IN_PIXEL % COLUMNS, row = i / IN_PIXEL / COLUMNS;
            const int at = row * ROW + column * PIXEL + c;
            mask_chunk<WIDTH>(band + at, y + at);
        }
    }
};
