// clamp(gain * lrelu(x + b)) and its derivative: two element-wise kernels. alpha is the slope below
// zero; 1 makes it linear.
//
// Memory is walked in its own order; with that order's stride `step` along the bias's axis, element
// i has the bias (i / step) % channels, so that any dense layout is served.
#include "numbers.cuh"

// Walks along the bias as a thread walks along its pack: one division for the whole pack.
template <typename I> struct Channel {
    I index, inside, step, channels;
    __device__ Channel(I i, I step, I channels)
        : index(i / step % channels), inside(i % step), step(step), channels(channels) {}
    __device__ void advance() {
        if (++inside < step) return;
        inside = 0;
        if (++index == channels) index = 0;
    }
};

// `b` may be null; a negative `clamp` means none. I counts elements: int, or long long beyond 2^31.
template <typename T, int VEC, typename I>
__global__ void bias_act(
    const T* __restrict__ x, T* __restrict__ y, const T* __restrict__ b, long long n,
    long long step, long long channels, double alpha, double gain, double clamp) {
    using R = Real<T>;
    const I i = ((I)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
    if (i >= n) return;
    Pack<T, VEC> pack = load<VEC>(x + i);
    Channel<I> channel(i, step, channels);
#pragma unroll
    for (int k = 0; k < VEC; k++, channel.advance()) {
        R u = widen(pack.item[k]);
        if (b) u += widen(b[channel.index]);
        R v = (u < 0 ? u * R(alpha) : u) * R(gain);
        if (clamp >= 0) v = v > R(clamp) ? R(clamp) : v < R(-clamp) ? R(-clamp) : v;
        pack.item[k] = narrow<T>(v);
    }
    store<VEC>(y + i, pack);
}

// out = d * gain * slope, zero where clamped; y is the output of bias_act.
template <typename T, int VEC, typename I>
__global__ void bias_act_slope(
    const T* __restrict__ d, const T* __restrict__ y, T* __restrict__ out, long long n,
    double alpha, double gain, double clamp) {
    using R = Real<T>;
    const I i = ((I)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
    if (i >= n) return;
    const R limit = widen(narrow<T>(R(clamp)));  // what a clamped output was stored as
    Pack<T, VEC> pack = load<VEC>(d + i), known = load<VEC>(y + i);
#pragma unroll
    for (int k = 0; k < VEC; k++) {
        const R value = widen(known.item[k]);
        R factor = R(gain) * ((gain < 0 ? -value : value) > 0 ? R(1) : R(alpha));
        if (clamp >= 0 && !(fabs(value) < limit)) factor = R(0);
        pack.item[k] = narrow<T>(widen(pack.item[k]) * factor);
    }
    store<VEC>(out + i, pack);
}
