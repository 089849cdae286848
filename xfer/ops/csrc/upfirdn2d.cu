// Insert zeros, pad, correlate with a filter, keep every D-th sample: two kernels.
//
// Tensors are [outer][row][column][inner]: a contiguous one has outer = samples * channels and
// inner = 1, a channels-last one has outer = samples and inner = channels. Along each axis
//
//     output[o] = sum over k of taps[k] * upsampled[o * D + k - pad],   upsampled[i * U] = input[i]
//
// where upsampled is zero elsewhere. taps is the filter turned around, unless `flip` is set.
#include "numbers.cuh"

// Which tap meets input r (counted from the first one that a strip reads) in the strip's output j,
// if pad is P more than a multiple of U. It may lie outside the filter.
__host__ __device__ constexpr int tap(int r, int j, int U, int D, int P) { return r * U - j * D + P; }

// How many inputs a strip of `outputs` reads.
__host__ __device__ constexpr int reach(int outputs, int taps, int U, int D, int P) {
    return ((outputs - 1) * D + taps - 1 - P) / U + 1;
}

// Everything about the taps is known at compile time: a thread keeps the filter in registers and
// computes ROWS x UX outputs of VEC neighbouring inner elements, reading each input once.
// Padding is UX * quot_x + PX on the left and UY * quot_y + PY at the top, with 0 <= P < U.
template <typename T, int UX, int UY, int DX, int DY, int FX, int FY, int PX, int PY, int VEC>
__global__ void upfirdn2d_strip(
    const T* __restrict__ x, const float* __restrict__ f, T* __restrict__ y, long long outers,
    long long h, long long w, long long out_h, long long out_w, long long inner, long long quot_x,
    long long quot_y, long long flip, double gain) {
    constexpr int ROWS = 4;
    using R = Real<T>;
    const unsigned packs = inner / VEC, columns = (out_w + UX - 1) / UX;
    const unsigned strips = (out_h + ROWS - 1) / ROWS;
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned pack = i % packs;
    const unsigned column = (i /= packs) % columns;
    const unsigned strip = (i /= columns) % strips;
    const long long outer = i / strips;
    if (outer >= outers) return;

    R taps[FY * FX];
#pragma unroll
    for (int k = 0; k < FY * FX; k++) taps[k] = R(f[flip ? k : FY * FX - 1 - k]) * R(gain);

    x += outer * h * w * inner + pack * VEC;
    y += outer * out_h * out_w * inner + pack * VEC;
    const int first_row = int(strip) * (ROWS / UY) * DY - int(quot_y);
    const int first_column = int(column) * DX - int(quot_x);
    R sum[ROWS][UX][VEC] = {};
#pragma unroll
    for (int r = 0; r < reach(ROWS, FY, UY, DY, PY); r++) {
        constexpr int READ = reach(UX, FX, UX, DX, PX);
        const int row = first_row + r;
        // The whole row is asked for before any of it is used, so that the waits overlap.
        Pack<T, VEC> values[READ] = {};
#pragma unroll
        for (int c = 0; c < READ; c++) {
            const int col = first_column + c;
            if (row >= 0 && row < h && col >= 0 && col < w)
                values[c] = load<VEC>(x + (row * int(w) + col) * inner);
        }
#pragma unroll
        for (int c = 0; c < READ; c++) {
#pragma unroll
            for (int j = 0; j < ROWS; j++) {
#pragma unroll
                for (int i = 0; i < UX; i++) {
                    const int ky = tap(r, j, UY, DY, PY), kx = tap(c, i, UX, DX, PX);
                    if (ky < 0 || ky >= FY || kx < 0 || kx >= FX) continue;
#pragma unroll
                    for (int v = 0; v < VEC; v++)
                        sum[j][i][v] += taps[ky * FX + kx] * widen(values[c].item[v]);
                }
            }
        }
    }
#pragma unroll
    for (int j = 0; j < ROWS; j++) {
#pragma unroll
        for (int i = 0; i < UX; i++) {
            const int row = strip * ROWS + j, col = column * UX + i;
            if (row >= out_h || col >= out_w) continue;
            Pack<T, VEC> value;
#pragma unroll
            for (int v = 0; v < VEC; v++) value.item[v] = narrow<T>(sum[j][i][v]);
            store<VEC>(y + (row * int(out_w) + col) * inner, value);
        }
    }
}

// Along one axis: the first tap that meets an input rather than an inserted zero, and that input.
struct Start {
    long long tap, input;
    __device__ Start(long long o, long long up, long long down, long long pad) {
        const long long at = o * down - pad;
        tap = ((-at) % up + up) % up;
        input = (at + tap) / up;
    }
};

// Any factors, padding, filter and size: one thread for each output.
template <typename T>
__global__ void upfirdn2d_any(
    const T* __restrict__ x, const float* __restrict__ f, T* __restrict__ y, long long outers,
    long long h, long long w, long long out_h, long long out_w, long long inner, long long up_x,
    long long up_y, long long down_x, long long down_y, long long taps_x, long long taps_y,
    long long left, long long top, long long flip, double gain) {
    using R = Real<T>;
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= outers * out_h * out_w * inner) return;
    long long i = index;
    const long long lane = i % inner;
    const long long col = (i /= inner) % out_w;
    const long long row = (i /= out_w) % out_h;
    x += (i / out_h) * h * w * inner + lane;

    const Start start_y(row, up_y, down_y, top), start_x(col, up_x, down_x, left);
    R sum = 0;
    for (long long ky = start_y.tap, iy = start_y.input; ky < taps_y; ky += up_y, iy++) {
        if (iy < 0 || iy >= h) continue;
        for (long long kx = start_x.tap, ix = start_x.input; kx < taps_x; kx += up_x, ix++) {
            if (ix < 0 || ix >= w) continue;
            const long long k = ky * taps_x + kx;
            sum += R(f[flip ? k : taps_y * taps_x - 1 - k]) * widen(x[(iy * w + ix) * inner]);
        }
    }
    y[index] = narrow<T>(sum * R(gain));
}
