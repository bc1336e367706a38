#include "features/nearest/distance.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock::features {
namespace {

// Sums in lanes, so that the compiler may use whatever vectors it knows.
constexpr std::size_t lanes = 16;

template <class Term>
float summed(std::size_t count, Term term) {
  std::array<float, lanes> sums{};
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += term(i + lane);
  float sum = 0;
  for (; i < count; ++i) sum += term(i);
  for (const float one : sums) sum += one;
  return sum;
}

float plain_dot(const float* a, const float* b, std::size_t count) {
  return summed(count, [&](std::size_t i) { return a[i] * b[i]; });
}
float plain_squares(const float* a, const float* b, std::size_t count) {
  return summed(count, [&](std::size_t i) { return (a[i] - b[i]) * (a[i] - b[i]); });
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] float sum_of(__m256 a, __m256 b) {
  const __m256 both = _mm256_add_ps(a, b);
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}

[[gnu::target("avx2,fma")]] float wide_dot(const float* a, const float* b, std::size_t count) {
  __m256 first = _mm256_setzero_ps(), second = first, third = first, fourth = first;
  std::size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    first = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), first);
    second = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), second);
    third = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), third);
    fourth = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), fourth);
  }
  for (; i + 8 <= count; i += 8)
    first = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), first);
  float sum = sum_of(_mm256_add_ps(first, second), _mm256_add_ps(third, fourth));
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

[[gnu::target("avx2,fma")]] float wide_squares(const float* a, const float* b, std::size_t count) {
  __m256 first = _mm256_setzero_ps(), second = first;
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256 one = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
    const __m256 two = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
    first = _mm256_fmadd_ps(one, one, first);
    second = _mm256_fmadd_ps(two, two, second);
  }
  float sum = sum_of(first, second);
  for (; i < count; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}
#endif

Kernels chosen() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {wide_dot, wide_squares};
#endif
  return plain_kernels();
}

}  // namespace

const Kernels& plain_kernels() {
  static constexpr Kernels plain{plain_dot, plain_squares};
  return plain;
}

const Kernels& kernels() {
  static const Kernels best = chosen();
  return best;
}

}  // namespace penstock::features
