// Stands in for libtorch's header in executor_threads.cc: the compute threads there have no OpenMP team.
#pragma once

namespace at {

inline void init_num_threads() {}

}  // namespace at
