// A network as the jobs on it share it.
#include "models/shared_network.h"

#include <ATen/ATen.h>

namespace ood {

int64_t SharedNetwork::nbytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : network->state()) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

std::shared_ptr<const FoldedNetwork> SharedNetwork::folded(at::ScalarType dtype) {
  if (!folded_ || folded_->dtype() != dtype || folded_revision_ != network->revision()) {
    folded_.reset();
    folded_ = std::make_shared<const FoldedNetwork>(*network, dtype);
    folded_revision_ = network->revision();
  }
  return folded_;
}

Task<std::shared_ptr<SharedNetwork>> create_network(Architecture architecture, uint64_t seed, c10::Device device,
                                                    at::ScalarType dtype, Poll poll) {
  auto network = std::make_shared<Network>(architecture, seed);
  const int64_t iterations = architecture.spectral_norm_coefficient > 0 ? architecture.warmup_iterations : 0;
  for (int64_t i = 0; i < iterations; ++i) {
    network->warm_up(poll);
    co_await next_turn;
  }
  network->move_to(device, dtype);
  network->eval();
  co_return std::make_shared<SharedNetwork>(std::move(network), device);
}

std::shared_ptr<SharedNetwork> copied_network(const SharedNetwork& from) {
  auto network = std::make_shared<Network>(from.network->architecture(), /*seed=*/0);
  network->move_to(from.on, from.network->dtype());
  const NamedTensors to = network->state(), values = from.network->state();
  for (size_t i = 0; i < to.size(); ++i) to[i].second.detach().copy_(values[i].second.detach());
  network->eval();
  return std::make_shared<SharedNetwork>(std::move(network), from.on);
}

}  // namespace ood
