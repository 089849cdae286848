"""Lowered functions as C++."""

from xfer.faceworld.lowering import Lowered, text

PRELUDE = """
#include <cmath>
namespace {
inline float bits_to_float(int i) { return __builtin_bit_cast(float, i); }
inline int float_to_bits(float f) { return __builtin_bit_cast(int, f); }
inline float lower(float a, float b) { return b < a ? b : a; }
inline float upper(float a, float b) { return a < b ? b : a; }
inline float sign(float a) { return float(a > 0.0f) - float(a < 0.0f); }
inline float fast_exp2(float x) {
  x = upper(lower(x, 126.0f), -126.0f);
  const float whole = std::floor(x), t = x - whole;
  const float p = 1.0f + t * (0.69314696f + t * (0.24022651f + t * (0.05550411f +
      t * (0.00961813f + t * (0.00133336f + t * 0.00015469f)))));
  return p * bits_to_float((int(whole) + 127) << 23);
}
inline float fast_log2(float x) {
  const int i = float_to_bits(x);
  const float m = bits_to_float((i & 0x007fffff) | 0x3f800000), t = (m - 1.0f) / (m + 1.0f);
  const float s = t * t;
  const float p = t * (2.8853901f + s * (0.96179669f + s * (0.57707802f +
      s * (0.41219859f + s * 0.3205989f))));
  return float((i >> 23) - 127) + p;
}
inline float fast_atan(float z) {  // |z| <= 1
  const float s = z * z;
  return z * (0.99999934f + s * (-0.33329856f + s * (0.19946536f + s * (-0.13908534f +
      s * (0.09642004f + s * (-0.05590986f + s * (0.02186123f - s * 0.00405407f)))))));
}
inline float fast_atan2(float y, float x) {
  const float ax = std::fabs(x), ay = std::fabs(y);
  const float a = fast_atan(lower(ax, ay) / upper(upper(ax, ay), 1e-30f));
  const float b = ay > ax ? 1.57079633f - a : a, c = x < 0.0f ? 3.14159265f - b : b;
  return y < 0.0f ? -c : c;
}
inline float fast_acos(float x) {
  return fast_atan2(std::sqrt(upper(1.0f - x * x, 0.0f)), x);
}
}
"""


def source(lowered: Lowered) -> str:
    """A C function that runs over the points of one person."""
    program, outputs = lowered.program, lowered.outputs
    return "\n".join([
        PRELUDE,
        'extern "C" void kernel(const float* const* person, long stride,',
        "    const float* const* points, float* const* out, long count) {",
        *(_constant(name, f"person[{i}][{k} * stride]") for name, i, k in lowered.measures),
        *(_constant(line.name.text, line.text) for line in program.before),
        "#pragma GCC ivdep",
        "for (long i = 0; i < count; ++i) {",
        *(_constant(name, f"points[{i}][i]") for i, name in enumerate(lowered.points)),
        *(_constant(line.name.text, line.text) for line in program.inside),
        *(f"out[{k}][i] = {text(item)};" for k, item in enumerate(outputs)),
        "}",
        "}",
        "",
    ])  # fmt: skip


def _constant(name: str, value: str) -> str:
    return f"const float {name} = {value};"
