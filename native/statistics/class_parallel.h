// Work on classes that share nothing, several at a time: each on one thread of its own, which beats all threads at one
// class wherever there are enough classes to go round, since a class's matrices are small and each product ends in a
// wait.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/Device.h>

#include <cstdint>

#include "core/parallel.h"
#include "runtime/host_memory.h"

namespace ood {

// Calls body(i) for i in [0, count), on a CPU in parallel where `count` goes round. The first exception is rethrown.
template <class Body>
void for_each_class(c10::Device device, int64_t count, const Body& body) {
  const int64_t threads = at::get_num_threads();
  if (!device.is_cpu() || threads == 1 || count < threads) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  in_parallel(count, [&](int64_t i) {
    const at::NoGradGuard no_grad;  // these are thread-local
    const KeepHostBlocks keep;
    body(i);
  });
}

}  // namespace ood
