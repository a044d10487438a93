// Numbers for tests without libtorch: the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ood::tests {

// `count` numbers in −½ … ½ from the low bits of a congruential generator.
template <class Real>
std::vector<Real> random_numbers(size_t count, uint64_t seed) {
  uint64_t state = seed * 2 + 1;
  std::vector<Real> numbers(count);
  for (Real& number : numbers) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    number = static_cast<Real>(static_cast<double>(state >> 11) * 0x1p-53 - 0.5);
  }
  return numbers;
}

// Memory aligned to 64 bytes, as the kernels want it, of numbers that are not zero before they are written.
template <class Real>
class Aligned {
 public:
  explicit Aligned(int64_t count) : memory_(static_cast<size_t>(count) + 64 / sizeof(Real), Real{1e30f}) {}
  Real* data() {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64 / sizeof(Real);
  }

 private:
  std::vector<Real> memory_;
};

}  // namespace ood::tests
