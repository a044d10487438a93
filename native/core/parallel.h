// Loops over libtorch's own threads.
#pragma once

#include <cstdint>
#include <functional>

namespace ood {

// Calls body(i) for every i in [0, count), several at a time, each thread taking the next one when it is free; inside
// of another such loop, one after the other. The first exception is rethrown. libtorch's own operations run on one
// thread within.
void in_parallel(int64_t count, const std::function<void(int64_t)>& body);

// Likewise, body(first, last) for consecutive ranges of at least `grain`.
void in_parallel_ranges(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace ood
