// What is set in libtorch, once per process.
#include "runtime/prepare_libtorch.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "runtime/host_memory.h"

namespace ood {

void prepare_libtorch() {
  static const bool prepared = [] {
    at::set_num_interop_threads(1);
    // Where the processor is not one that NNPACK knows, libtorch tries it anew, with a warning on stderr, at each
    // convolution.
    at::globalContext().setUserEnabledNNPACK(false);
    install_host_allocator();
    return true;
  }();
  (void)prepared;
}

}  // namespace ood
