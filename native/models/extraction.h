// What a model gives of many images: features, raw features, logits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "core/poll.h"
#include "core/task.h"
#include "data/augmentation.h"
#include "models/inference_model.h"

namespace ood {

struct ExtractionOptions {
  int64_t batch_size = 1;
  Normalization normalization;
  WantedOutputs outputs;
};

// One pass over images [N, C, H, W], uint8 or float32/float64 in 0 … 1, a batch per step; `report` is told how many are
// done, after each. What is wanted comes in host memory, of the model's output dtype. ERR_NON_FINITE where images or what
// is made of them hold NaN or infinity.
Task<NetworkOutput> extract(std::shared_ptr<const InferenceModel> model, at::Tensor images, ExtractionOptions options,
                            Poll poll, std::function<void(int64_t done)> report);

}  // namespace ood
