// The weights of a network by name.
#include "models/weights.h"

#include <ATen/ATen.h>

#include <map>
#include <string>

#include "core/checks.h"
#include "core/dtype.h"
#include "core/errors.h"

namespace ood {

NamedTensors copied_weights(const Network& network) {
  NamedTensors copies;
  for (const auto& [name, tensor] : network.state()) {
    copies.emplace_back(name, tensor.detach().to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true,
                                                 at::MemoryFormat::Contiguous));
  }
  return copies;
}

void load_weights(Network& network, const NamedTensors& given) {
  std::map<std::string, at::Tensor> by_name(given.begin(), given.end());
  const NamedTensors own = network.state();
  for (const auto& [name, tensor] : own) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) fail("ERR_SHAPE", "state: no tensor \"", name, "\"");
    if (found->second.sizes() != tensor.sizes()) {
      fail("ERR_SHAPE", "state: ", name, ": expected shape ", tensor.sizes(), ", found ", found->second.sizes());
    }
    if (found->second.is_floating_point() != tensor.is_floating_point()) {
      fail("ERR_DTYPE", "state: ", name, ": expected ", dtype_name(tensor.scalar_type()), ", found ",
           dtype_name(found->second.scalar_type()));
    }
    require_finite(found->second, name.c_str());
  }
  if (by_name.size() != own.size()) {
    for (const auto& [name, tensor] : own) by_name.erase(name);
    fail("ERR_OPTION", "state: unknown tensor \"", by_name.begin()->first, "\"");
  }
  network.mark_changed();
  for (const auto& [name, tensor] : own) tensor.detach().copy_(by_name.at(name));
}

}  // namespace ood
