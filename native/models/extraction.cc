// Features and logits of many images.
#include "models/extraction.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/checks.h"

namespace ood {

Task<Extraction> extract(std::shared_ptr<const FoldedNetwork> network, at::Tensor images, ExtractionOptions options,
                         Poll poll, std::function<void(int64_t done)> report) {
  const int64_t count = images.size(0);
  const auto dtype = at::TensorOptions(network->output_dtype());
  Extraction result{at::empty({count, network->feature_dim()}, dtype),
                    at::empty({count, network->num_classes()}, dtype)};
  if (images.is_floating_point()) require_finite(images, "images");
  for (int64_t start = 0; start < count; start += options.batch_size) {
    if (start > 0) co_await next_turn;
    const int64_t end = std::min(start + options.batch_size, count);
    const at::Tensor batch = images.slice(0, start, end).to(network->device());
    const NetworkOutput output =
        network->forward(normalise(batch, options.normalization, network->output_dtype()), poll);
    result.features.slice(0, start, end).copy_(options.raw_features ? output.raw_features : output.features);
    result.logits.slice(0, start, end).copy_(output.logits);
    report(end);
  }
  require_finite(result.features, "features");  // a network with NaN or infinite weights must not give scores
  co_return result;
}

}  // namespace ood
