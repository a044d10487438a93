// A network as the jobs on it share it: on a device, trained by one at a time, with the folded copy that others read.
#pragma once

#include <c10/core/Device.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/poll.h"
#include "core/task.h"
#include "models/folded_network.h"
#include "models/network.h"

namespace ood {

// A network, whether a training run has it now, and its folded copy; shared by the JavaScript handle and the jobs in
// flight.
struct SharedNetwork {
  SharedNetwork(std::shared_ptr<Network> owned, c10::Device where) : network(std::move(owned)), on(where) {}
  std::shared_ptr<Network> network;
  c10::Device on;
  std::atomic<bool> training{false};
  c10::Device device() const { return on; }
  int64_t nbytes() const;  // of parameters and buffers

  // The network folded for inference in `dtype`: the last one while the weights stay as they are. On the compute
  // thread.
  std::shared_ptr<const FoldedNetwork> folded(at::ScalarType dtype);
  void drop_folded() { folded_.reset(); }

 private:
  std::shared_ptr<const FoldedNetwork> folded_;
  uint64_t folded_revision_ = 0;
};

// A new network, its weights drawn from `seed`, an iteration of the spectral norm's warm-up per step.
Task<std::shared_ptr<SharedNetwork>> create_network(Architecture architecture, uint64_t seed, c10::Device device,
                                                    at::ScalarType dtype, Poll poll);

// A network of its own with the same weights, on the same device.
std::shared_ptr<SharedNetwork> copied_network(const SharedNetwork& from);

}  // namespace ood
