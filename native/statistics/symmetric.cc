// Batches of matrices, and their symmetry.
#include "statistics/symmetric.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

#include "core/checks.h"
#include "core/errors.h"
#include "core/parallel.h"

namespace ood {

namespace {

// Largest magnitude below and on the diagonal, and largest difference between an entry and its mirror image; `zero` is
// NaN where an entry is not finite.
template <class Real>
struct MirrorCheck {
  Real largest = 0, difference = 0, zero = 0;
};

// In one pass, since each costs as much as a part of what a factorisation does. By tiles, the mirrored one copied
// first: reading it by column would fetch each cache line anew for every entry where rows are a power of two apart.
template <class Real>
MirrorCheck<Real> check_mirror(const Real* entries, int64_t size) {
  constexpr int64_t tile = 32;
  using Lanes = std::array<Real, tile>;
  const int64_t tiles = (size + tile - 1) / tile;
  std::mutex mutex;
  MirrorCheck<Real> result;
  // A short and a long row of tiles together, so that threads have the same work.
  in_parallel_ranges((tiles + 1) / 2, 4, [&](int64_t first, int64_t last) {
    Lanes largest{}, difference{}, zero{};
    const auto check_row_of_tiles = [&](int64_t row) {
      const int64_t top = row * tile, bottom = std::min(size, top + tile);
      std::array<Lanes, tile> mirrored;
      for (int64_t left = 0; left < bottom; left += tile) {
        const int64_t width = std::min(size - left, tile);
        for (int64_t j = 0; j < width; ++j) {
          for (int64_t i = top; i < bottom; ++i)
            mirrored[static_cast<size_t>(i - top)][static_cast<size_t>(j)] = entries[(left + j) * size + i];
        }
        for (int64_t i = top; i < bottom; ++i) {
          const Lanes& mirror = mirrored[static_cast<size_t>(i - top)];
          const Real* const own = entries + i * size + left;
          const auto compare = [&](size_t count) {
            for (size_t j = 0; j < count; ++j) {
              const Real apart = own[j] - mirror[j];
              const Real magnitude = std::abs(own[j]), distance = std::abs(apart);
              largest[j] = magnitude > largest[j] ? magnitude : largest[j];
              difference[j] = distance > difference[j] ? distance : difference[j];
              zero[j] += apart * 0;
            }
          };
          width == tile ? compare(tile) : compare(static_cast<size_t>(width));  // a constant count is vectorised
        }
      }
    };
    for (int64_t row = first; row < last; ++row) {
      check_row_of_tiles(row);
      if (tiles - 1 - row != row) check_row_of_tiles(tiles - 1 - row);
    }
    const std::lock_guard lock(mutex);
    result.largest = std::max(result.largest, *std::max_element(largest.begin(), largest.end()));
    result.difference = std::max(result.difference, *std::max_element(difference.begin(), difference.end()));
    for (const Real lane : zero) result.zero += lane;
  });
  return result;
}

}  // namespace

std::vector<at::Tensor> each_matrix(const at::Tensor& batch) {
  return batch.reshape({-1, batch.size(-2), batch.size(-1)}).unbind(0);
}

at::Tensor symmetric(const at::Tensor& batch, const char* name) {
  bool equal = true;
  const auto check = [&](const auto& found, double tolerance) {
    if (std::isnan(found.zero)) require_finite(batch, name);
    if (!(static_cast<double>(found.difference) <= tolerance * static_cast<double>(found.largest)))
      fail("ERR_RANGE", name, ": expected a symmetric matrix, found one that differs from its transpose");
    equal = equal && found.difference == 0;
  };
  for (const at::Tensor& one : each_matrix(batch.contiguous())) {
    if (one.scalar_type() == at::kFloat) {
      check(check_mirror(one.const_data_ptr<float>(), one.size(0)), 1e-4);
    } else {
      check(check_mirror(one.const_data_ptr<double>(), one.size(0)), 1e-10);
    }
  }
  if (equal) return batch;
  const at::Tensor lower = (batch + (batch.mT() - batch).div_(2)).tril_();
  return lower + lower.tril(-1).mT();
}

}  // namespace ood
