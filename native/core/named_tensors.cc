// Arrays by name, as they are saved.
#include "core/named_tensors.h"

#include <ATen/ATen.h>

#include "core/dtype.h"
#include "core/errors.h"

namespace ood {

at::Tensor saved_tensor(const NamedTensors& state, const std::string& name, at::ScalarType dtype,
                        at::IntArrayRef shape) {
  for (const auto& [key, tensor] : state) {
    if (key != name) continue;
    if (tensor.scalar_type() != dtype || tensor.sizes() != shape) {
      fail("ERR_CORRUPT_FILE", name, ": expected ", dtype_name(dtype), " of shape ", shape, ", found ",
           dtype_name(tensor.scalar_type()), " of shape ", tensor.sizes());
    }
    if (tensor.is_floating_point() && !at::isfinite(tensor).all().item<bool>()) {
      fail("ERR_CORRUPT_FILE", name, ": expected finite numbers, found NaN or infinity");
    }
    return tensor;
  }
  fail("ERR_CORRUPT_FILE", name, ": not in the file");
}

std::vector<int64_t> saved_counts(const NamedTensors& state, int64_t classes) {
  const at::Tensor count = saved_tensor(state, "count", at::kLong, {classes}).contiguous();
  std::vector<int64_t> counts(count.const_data_ptr<int64_t>(), count.const_data_ptr<int64_t>() + classes);
  for (const int64_t n : counts) {
    if (n < 0 || n > (int64_t{1} << 53)) fail("ERR_CORRUPT_FILE", "count: expected 0 or more, found ", n);
  }
  return counts;
}

}  // namespace ood
