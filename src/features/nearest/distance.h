// How far apart two vectors are, with what the processor has for it.
#pragma once

#include <cstddef>

namespace penstock::features {

struct Kernels {
  float (*dot)(const float* a, const float* b, std::size_t count);
  float (*squares)(const float* a, const float* b, std::size_t count);  // of a - b, summed
};
// Chosen once, by what this processor can do.
const Kernels& kernels();
// What any processor can do.
const Kernels& plain_kernels();

}  // namespace penstock::features
