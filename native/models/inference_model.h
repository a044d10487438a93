// What extraction runs: a model that is ready for inference, whatever made it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/poll.h"

namespace ood {

struct NetworkOutput {
  at::Tensor raw_features;  // [N, d] after global average pooling
  at::Tensor features;      // [N, d] what fc sees, before the temperature: L2-normalised where the architecture says so
  at::Tensor logits;        // [N, C]
};

// Which of a NetworkOutput are computed; the others stay undefined.
struct WantedOutputs {
  bool raw_features = false;
  bool features = false;
  bool logits = false;
};

class InferenceModel {
 public:
  virtual ~InferenceModel() = default;

  // x [N, channels, H, W], normalised, channels-last, of the output dtype.
  virtual NetworkOutput forward(const at::Tensor& x, const WantedOutputs& wanted, const Poll& poll) const = 0;

  virtual at::Device device() const = 0;
  virtual at::ScalarType output_dtype() const = 0;
  virtual int64_t feature_dim() const = 0;
  virtual int64_t num_classes() const = 0;  // 0: there are no logits
  virtual int64_t in_channels() const = 0;
  virtual int64_t image_size() const = 0;  // height and width; 0: any that the model takes
  virtual int64_t nbytes() const = 0;      // of the weights

 protected:
  InferenceModel() = default;
  InferenceModel(const InferenceModel&) = default;
  InferenceModel& operator=(const InferenceModel&) = default;
};

}  // namespace ood
