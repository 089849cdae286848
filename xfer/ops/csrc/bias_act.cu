// clamp(gain * act(x + b)), and what its derivatives multiply with: two element-wise kernels.
//
// Memory is walked in its own order; with that order's stride `step` along the bias's axis, element
// i has the bias (i / step) % channels, so that any dense layout is served.
#include "numbers.cuh"

// Numbered as the table in activations.py.
enum Act { LINEAR, RELU, LRELU, SIGMOID, TANH, SOFTPLUS, ELU, SELU, SWISH };

constexpr double SELU_SCALE = 1.0507009873554804934193349852946;
constexpr double SELU_ALPHA = 1.6732632423543772848170429916717;

template <typename R> __device__ R logistic(R u) { return R(1) / (R(1) + exp(-u)); }

template <int ACT, typename R> __device__ R activate(R u, R alpha) {
    switch (ACT) {
        case RELU: return u < 0 ? R(0) : u;
        case LRELU: return u < 0 ? u * alpha : u;
        case SIGMOID: return logistic(u);
        case TANH: return tanh(u);
        case SOFTPLUS: return u > R(20) ? u : log1p(exp(u));
        case ELU: return u < 0 ? expm1(u) : u;
        case SELU: return R(SELU_SCALE) * (u < 0 ? R(SELU_ALPHA) * expm1(u) : u);
        case SWISH: return u * logistic(u);
        default: return u;
    }
}

// The slope of the activation as a function of its value t; for swish, of its argument.
template <int ACT, typename R> __device__ R slope(R t, R alpha) {
    const R s = ACT == SWISH ? logistic(t) : R(0);
    switch (ACT) {
        case RELU: return t > 0 ? R(1) : R(0);
        case LRELU: return t > 0 ? R(1) : alpha;
        case SIGMOID: return t * (R(1) - t);
        case TANH: return R(1) - t * t;
        case SOFTPLUS: return -expm1(-t);
        case ELU: return t > 0 ? R(1) : t + R(1);
        case SELU: return t > 0 ? R(SELU_SCALE) : t + R(SELU_SCALE * SELU_ALPHA);
        case SWISH: return s * (R(1) + t * (R(1) - s));
        default: return R(1);
    }
}

// The derivative of `slope` with regard to t.
template <int ACT, typename R> __device__ R bend(R t) {
    const R s = ACT == SWISH ? logistic(t) : R(0);
    switch (ACT) {
        case SIGMOID: return R(1) - R(2) * t;
        case TANH: return R(-2) * t;
        case SOFTPLUS: return exp(-t);
        case ELU: case SELU: return t > 0 ? R(0) : R(1);
        case SWISH: return s * (R(1) - s) * (R(2) + t * (R(1) - R(2) * s));
        default: return R(0);
    }
}

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
template <typename T, int ACT, int VEC, typename I>
__global__ void bias_act(
    const T* __restrict__ x, const T* __restrict__ b, T* __restrict__ y, long long n,
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
        R v = activate<ACT>(u, R(alpha)) * R(gain);
        if (clamp >= 0) v = v > R(clamp) ? R(clamp) : v < R(-clamp) ? R(-clamp) : v;
        pack.item[k] = narrow<T>(v);
    }
    store<VEC>(y + i, pack);
}

// ORDER 1: out = d * gain * slope, zero where clamped. ORDER 2: the derivative of that with regard
// to `saved`, which is the output of bias_act, or its input x (then with b) for swish.
template <typename T, int ACT, int ORDER, int VEC, typename I>
__global__ void bias_act_slope(
    const T* __restrict__ d, const T* __restrict__ saved, const T* __restrict__ b,
    T* __restrict__ out, long long n, long long step, long long channels, double alpha, double gain,
    double clamp) {
    using R = Real<T>;
    const I i = ((I)blockIdx.x * blockDim.x + threadIdx.x) * VEC;
    if (i >= n) return;
    const R inverse_gain = gain != 0 ? R(1) / R(gain) : R(0);
    const R limit = widen(narrow<T>(R(clamp)));  // what a clamped output was stored as
    Pack<T, VEC> pack = load<VEC>(d + i), known = load<VEC>(saved + i);
    Channel<I> channel(i, step, channels);
#pragma unroll
    for (int k = 0; k < VEC; k++, channel.advance()) {
        R t = widen(known.item[k]), value = t, scale = R(gain);
        if (ACT == SWISH) {
            if (b) t += widen(b[channel.index]);
            value = activate<SWISH>(t, R(alpha)) * R(gain);
        } else {
            t *= inverse_gain;
            if (ORDER == 2) scale = R(1);
        }
        R factor = scale * (ORDER == 1 ? slope<ACT>(t, R(alpha)) : bend<ACT>(t));
        if (clamp >= 0 && !(fabs(value) < limit)) factor = R(0);
        pack.item[k] = narrow<T>(widen(pack.item[k]) * factor);
    }
    store<VEC>(out + i, pack);
}
