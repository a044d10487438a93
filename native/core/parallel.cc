// Loops over libtorch's own threads.
#include "core/parallel.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>

#include <algorithm>
#include <atomic>

namespace ood {

// at::parallel_for is a template that only runs in parallel where its caller is compiled with OpenMP, and linking an
// OpenMP of our own beside libtorch's, whose name differs from build to build, would give two teams of threads. An
// iterator's for_each is compiled into libtorch: over one element per thread it is the loop that is wanted.
void in_parallel(int64_t count, const std::function<void(int64_t)>& body) {
  const auto threads = std::min<int64_t>(at::get_num_threads(), count);
  if (threads <= 1 || at::in_parallel_region()) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::atomic<int64_t> next{0};
  at::Tensor turns = at::empty({threads}, at::kByte);
  auto iterator =
      at::TensorIteratorConfig().check_all_same_dtype(false).resize_outputs(false).add_output(turns).build();
  iterator.for_each(
      [&](char**, const int64_t*, int64_t, int64_t) {
        for (int64_t i = next++; i < count; i = next++) body(i);
      },
      /*grain_size=*/1);
}

void in_parallel_ranges(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t pieces = std::max<int64_t>(1, std::min<int64_t>(4 * at::get_num_threads(), count / grain));
  in_parallel(pieces, [&](int64_t i) { body(count * i / pieces, count * (i + 1) / pieces); });
}

}  // namespace ood
