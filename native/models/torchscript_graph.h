// Finds features and logits in the graph of a TorchScript model: those of the last linear layer, or a value that the
// caller names.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <optional>
#include <string>

namespace ood {

// Marks the output of a submodule ("layer4", "encoder.ln") in the method forward, which is changed, so that
// find_outputs finds it after freezing, when submodules have no names any more. False where the module has no submodule
// of that name. ERR_OPTION where forward does not call it, calls it several times, or it gives something else than a
// tensor.
bool mark_submodule(torch::jit::Module& module, const std::string& name);

// Features and logits in a graph.
struct GraphOutputs {
  torch::jit::Value* features;
  torch::jit::Value* logits;  // null where the model gives features alone
  // logits = features · weightᵀ + bias; undefined where that is not so. The bias may be undefined: zero.
  at::Tensor weight, bias;
};

// `features` is the name of a marked submodule, "output", "output.0" (of a tuple), "output.key" (of a dictionary), or
// the name of a value; without it, the input of the last linear layer, or the output where no layer is linear.
// ERR_OPTION where that does not say which value it is. A value that is named is copied at its place: what later layers
// write into it does not show.
GraphOutputs find_outputs(torch::jit::Graph& graph, const std::optional<std::string>& features);

// The names of the module's own submodules, for messages.
std::string submodule_names(const torch::jit::Module& module);

}  // namespace ood
