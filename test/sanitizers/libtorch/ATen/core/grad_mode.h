// Stands in for libtorch's header in executor_threads.cc: nothing there computes gradients.
#pragma once

namespace at {

class AutoGradMode {
 public:
  explicit AutoGradMode(bool /*enabled*/) {}
};

}  // namespace at
