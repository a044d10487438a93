// A TorchScript model: the frozen graph of its forward, with features and logits as outputs. Nothing changes it once it
// is loaded, so that several hold it.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

#include "core/named_tensors.h"
#include "core/task.h"
#include "models/inference_model.h"

namespace ood {

struct TorchScriptOptions {
  std::string path;                     // what messages call the file
  std::optional<std::string> features;  // submodule or value; without it, the input of the last linear layer
  int64_t channels = 3;
  int64_t size = 224;  // height and width
  at::Device device = at::kCPU;
};

class TorchScriptProgram;

class TorchScriptModule {
 public:
  TorchScriptModule(std::shared_ptr<const TorchScriptProgram> program, NamedTensors head);

  // The model computing in `dtype`, float32 or bfloat16; the last one of bfloat16 is kept. On the compute thread.
  std::shared_ptr<const InferenceModel> inference(at::ScalarType dtype);

  const InferenceModel& model() const;
  // "weight" [C, d] and "bias" [C], float64 in host memory; empty where no linear layer makes logits of the features.
  const NamedTensors& head() const { return head_; }

  at::Device device() const { return model().device(); }
  int64_t nbytes() const { return model().nbytes(); }

 private:
  std::shared_ptr<const TorchScriptProgram> program_;
  std::shared_ptr<const InferenceModel> bfloat16_;
  NamedTensors head_;
};

// The model in the bytes of a file (uint8 [n], host memory), tried on two pictures of zeros. ERR_CORRUPT_FILE and
// ERR_OPTION as read_torchscript; ERR_OPTION where the model does not take the pictures, where features and logits
// are not found, and for a model in training mode; ERR_DTYPE where features or logits are no floating numbers.
Task<std::shared_ptr<TorchScriptModule>> load_torchscript(at::Tensor bytes, TorchScriptOptions options);

}  // namespace ood
