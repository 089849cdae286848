// Number formats and packs of them. No header is included anywhere: NVRTC alone compiles this.
#pragma once

// In memory a number is T; every kernel computes with Real<T>, which is float or double.
struct Half { unsigned short bits; };
struct BFloat { unsigned short bits; };

template <typename T> struct RealOf { using type = float; };
template <> struct RealOf<double> { using type = double; };
template <typename T> using Real = typename RealOf<T>::type;

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }

__device__ inline float widen(Half x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

__device__ inline float widen(BFloat x) { return __uint_as_float((unsigned)x.bits << 16); }

template <typename T> __device__ inline T narrow(Real<T> x) { return x; }

template <> __device__ inline Half narrow<Half>(float x) {
    Half y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

template <> __device__ inline BFloat narrow<BFloat>(float x) {
    BFloat y;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else  // round half to even by hand; a NaN must not be rounded up to infinity
    unsigned bits = __float_as_uint(x);
    y.bits = x == x ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fff;
#endif
    return y;
}

// N numbers that lie side by side and move in one access of up to 16 bytes.
template <typename T, int N> struct alignas(sizeof(T) * N) Pack { T item[N]; };

template <int BYTES> struct Word { using type = uint4; };
template <> struct Word<8> { using type = unsigned long long; };
template <> struct Word<4> { using type = unsigned; };
template <> struct Word<2> { using type = unsigned short; };

template <int N, typename T> __device__ inline Pack<T, N> load(const T* from) {
    auto word = *reinterpret_cast<const typename Word<sizeof(T) * N>::type*>(from);
    Pack<T, N> pack;
    memcpy(&pack, &word, sizeof(pack));
    return pack;
}

template <int N, typename T> __device__ inline void store(T* to, const Pack<T, N>& pack) {
    typename Word<sizeof(T) * N>::type word;
    memcpy(&word, &pack, sizeof(pack));
    *reinterpret_cast<decltype(word)*>(to) = word;
}
