// What a model gives of many images.
#include "models/extraction.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/checks.h"

namespace ood {

namespace {

struct NamedOutput {
  at::Tensor NetworkOutput::*tensor;
  bool wanted;
  int64_t columns;
  const char* name;
};

}  // namespace

Task<NetworkOutput> extract(std::shared_ptr<const InferenceModel> model, at::Tensor images, ExtractionOptions options,
                            Poll poll, std::function<void(int64_t done)> report) {
  const int64_t count = images.size(0);
  const WantedOutputs& wanted = options.outputs;
  const NamedOutput outputs[] = {
      {&NetworkOutput::features, wanted.features, model->feature_dim(), "features"},
      {&NetworkOutput::raw_features, wanted.raw_features, model->feature_dim(), "rawFeatures"},
      {&NetworkOutput::logits, wanted.logits, model->num_classes(), "logits"},
  };
  NetworkOutput result;
  for (const NamedOutput& output : outputs) {
    if (output.wanted) result.*output.tensor = at::empty({count, output.columns}, model->output_dtype());
  }
  if (images.is_floating_point()) require_finite(images, "images");
  for (int64_t start = 0; start < count; start += options.batch_size) {
    if (start > 0) co_await next_turn;
    const int64_t end = std::min(start + options.batch_size, count);
    const at::Tensor batch = images.slice(0, start, end).to(model->device());
    const NetworkOutput found =
        model->forward(normalise(batch, options.normalization, model->output_dtype()), wanted, poll);
    for (const NamedOutput& output : outputs) {
      if (output.wanted) (result.*output.tensor).slice(0, start, end).copy_(found.*output.tensor);
    }
    report(end);
  }
  // A model with NaN or infinite weights must not give scores.
  for (const NamedOutput& output : outputs) {
    if (output.wanted) require_finite(result.*output.tensor, output.name);
  }
  co_return result;
}

}  // namespace ood
