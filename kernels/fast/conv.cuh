// The shape of a convolution as a type: numbers that the compiler knows.
//
// Divisions by them become multiplications, loops over taps unroll, and what cannot be outside an image is not asked.
// The number of images is not among them: the last batch of an epoch is smaller.
#pragma once

// a / b, rounded up.
__host__ __device__ constexpr int quotient_up(int a, int b) { return (a + b - 1) / b; }

// x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K); pixels outside the image are 0.
template <int H_, int W_, int C_, int K_, int R_, int S_, int P_, int Q_, int STRIDE_H_, int STRIDE_W_, int TOP_,
          int LEFT_>
struct Conv {
    static constexpr int H = H_, W = W_, C = C_, K = K_, R = R_, S = S_, P = P_, Q = Q_;
    static constexpr int STRIDE_H = STRIDE_H_, STRIDE_W = STRIDE_W_, TOP = TOP_, LEFT = LEFT_;
};

// The rows of a convolution, or its columns, as forward and backward data walk along them: output o under tap t sees
// the image's row STRIDE * o - pad + t. Where o and t stand in their arrays is place(o) and tap(t).
struct Axis {
    int outputs, taps, pad;
    int spacing, offset;      // of outputs in their array
    int tap_step, first_tap;  // of taps in the filter

    __host__ __device__ constexpr int place(int o) const { return spacing * o + offset; }
    __host__ __device__ constexpr int tap(int t) const { return tap_step * t + first_tap; }
    // Whether no tap of any output is outside of an image of so many rows.
    __host__ __device__ constexpr bool stays_inside(int rows, int stride) const {
        return pad <= 0 && (outputs - 1) * stride - pad + taps <= rows;
    }
};

// Forward: the image is x, the output y.
template <class CONV>
struct Forward {
    static constexpr bool TURNED = false;
    static constexpr int H = CONV::H, W = CONV::W, C = CONV::C, P = CONV::P, Q = CONV::Q, K = CONV::K;
    static constexpr int R = CONV::R, S = CONV::S, STRIDE_H = CONV::STRIDE_H, STRIDE_W = CONV::STRIDE_W;
    static constexpr int PHASES_H = 1, PHASES_W = 1, OUT_H = P, OUT_W = Q, FILTER_S = S;

    __host__ __device__ static constexpr Axis rows(int) { return {P, R, CONV::TOP, 1, 0, 1, 0}; }
    __host__ __device__ static constexpr Axis columns(int) { return {Q, S, CONV::LEFT, 1, 0, 1, 0}; }
};

// An axis of backward data. Pixel h of dx was seen by output p under tap r where h + pad = stride * p + r. So the
// pixels whose h + pad leaves the same rest `phase` meet the same taps of the filter, every stride-th of them, and
// nothing is multiplied by the zeros that a stride would put between the outputs. With u = (h + pad) / stride such a
// pixel meets dy's rows u, u - 1, ... under taps phase, phase + stride, ...: read backwards, a convolution of stride 1.
__host__ __device__ constexpr Axis phase_of_gradient(int pixels, int taps_there, int stride, int pad, int phase) {
    const int taps = taps_there > phase ? quotient_up(taps_there - phase, stride) : 0;
    const int first = pad > phase ? quotient_up(pad - phase, stride) : 0;  // u of the first pixel
    const int last = pixels - 1 + pad - phase;  // stride * u of the last one, or up to stride - 1 more
    const int outputs = last < 0 ? 0 : last / stride - first + 1;
    const int last_tap = phase + stride * (taps - 1);
    return {outputs, taps, taps - 1 - first, stride, stride * first + phase - pad, -stride, last_tap};
}

// Backward data: the image is dy, the output dx, and C and K change places. P, Q, R and S are those of the largest
// phase; w lies as (R,S,K,C), to be read turned by 180 degrees.
template <class CONV>
struct BackwardData {
    static constexpr bool TURNED = true;
    static constexpr int H = CONV::P, W = CONV::Q, C = CONV::K, K = CONV::C, STRIDE_H = 1, STRIDE_W = 1;
    static constexpr int PHASES_H = CONV::STRIDE_H, PHASES_W = CONV::STRIDE_W, OUT_H = CONV::H, OUT_W = CONV::W;
    static constexpr int P = quotient_up(OUT_H, PHASES_H), Q = quotient_up(OUT_W, PHASES_W), FILTER_S = CONV::S;
    static constexpr int R = quotient_up(CONV::R, PHASES_H), S = quotient_up(CONV::S, PHASES_W);

    __host__ __device__ static constexpr Axis rows(int phase) {
        return phase_of_gradient(OUT_H, CONV::R, PHASES_H, CONV::TOP, phase);
    }
    __host__ __device__ static constexpr Axis columns(int phase) {
        return phase_of_gradient(OUT_W, CONV::S, PHASES_W, CONV::LEFT, phase);
    }
};
