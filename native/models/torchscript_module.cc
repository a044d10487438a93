// A TorchScript model.
#include "models/torchscript_module.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_graph_optimizations.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <functional>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/dtype.h"
#include "core/errors.h"
#include "models/torchscript_archive.h"
#include "models/torchscript_graph.h"

namespace ood {

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;
namespace prim = torch::jit::prim;

void for_each_node(Block* block, const std::function<void(Node*)>& body) {
  for (auto it = block->nodes().begin(); it != block->nodes().end();) {
    Node* const node = *it;
    ++it;  // first: the body may destroy the node
    for (Block* inner : node->blocks()) for_each_node(inner, body);
    body(node);
  }
}

bool is_op(const Node* node, std::string_view name) { return name == node->kind().toQualString(); }

void replace_constant(Node* node, const c10::IValue& value) {
  const torch::jit::WithInsertPoint here(node);
  node->output()->replaceAllUsesWith(node->owningGraph()->insertConstant(value));
  node->destroy();
}

// Every tensor of the graph in `dtype`, and what it makes on the device. Numbers without dimensions stay as exact as
// they are: they do not decide the dtype of a result.
void convert_constants(Graph& graph, at::ScalarType dtype, at::Device device) {
  for_each_node(graph.block(), [&](Node* node) {
    if (node->kind() != prim::Constant) return;
    const auto value = torch::jit::toIValue(node->output());
    if (!value) return;
    if (value->isDevice()) {
      if (value->toDevice() != device) replace_constant(node, device);
      return;
    }
    if (!value->isTensor()) return;
    const at::Tensor tensor = value->toTensor();
    if (!tensor.defined()) return;
    const bool converts = at::isFloatingType(tensor.scalar_type()) && tensor.dim() > 0;
    const at::Tensor converted = tensor.to(device, converts ? dtype : tensor.scalar_type());
    if (!converted.is_same(tensor)) replace_constant(node, converted);
  });
}

// Channels-last activations have no view for every shape that rows have.
void replace_views(Graph& graph) {
  for_each_node(graph.block(), [&](Node* node) {
    if (!is_op(node, "aten::view") || node->input(1)->type()->kind() != c10::TypeKind::ListType) return;
    Node* const reshape = graph.create(c10::Symbol::fromQualString("aten::reshape"), node->inputs());
    reshape->insertBefore(node);
    reshape->output()->copyMetadata(node->output());
    node->output()->replaceAllUsesWith(reshape->output());
    node->destroy();
  });
}

bool is_true(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  return constant && constant->isBool() && constant->toBool();
}

bool is_none(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  return constant && constant->isNone();
}

void require_pure(Graph& graph, const std::string& path) {
  for_each_node(graph.block(), [&](Node* node) {
    const bool drops =
        (is_op(node, "aten::dropout") || is_op(node, "aten::feature_dropout")) && is_true(node->input(2));
    const bool batch = is_op(node, "aten::batch_norm") && is_true(node->input(5)) && !is_none(node->input(3));
    if (drops || batch) {
      fail("ERR_OPTION", path, ": the model was traced in training mode (", node->kind().toQualString(),
           "); call model.eval() before torch.jit.trace");
    }
    if (node->kind() == prim::SetAttr) {
      fail("ERR_OPTION", path, ": the model changes its own attributes as it runs");
    }
    if (node->kind() == prim::Constant) {
      const auto value = torch::jit::toIValue(node->output());
      if (value && value->isTensor()) require_inside_storage(value->toTensor(), path);
    }
  });
}

// What forward takes beside module and pictures: the defaults.
std::vector<c10::IValue> further_inputs(const torch::jit::Module& module, const std::string& path) {
  const auto method = module.find_method("forward");
  if (!method) fail("ERR_OPTION", path, ": the TorchScript module has no method \"forward\"");
  const auto& arguments = method->function().getSchema().arguments();
  if (arguments.size() < 2 || !arguments[1].type()->isSubtypeOf(*c10::TensorType::get())) {
    fail("ERR_OPTION", path, ": expected a model whose forward takes one tensor of pictures, found ",
         arguments.size() < 2 ? "no argument" : arguments[1].type()->repr_str());
  }
  std::vector<c10::IValue> defaults;
  for (size_t i = 2; i < arguments.size(); ++i) {
    if (!arguments[i].default_value()) {
      fail("ERR_OPTION", path, ": expected a model whose forward takes pictures alone, found another argument, \"",
           arguments[i].name(), "\"");
    }
    defaults.push_back(*arguments[i].default_value());
  }
  return defaults;
}

torch::jit::Module frozen(const torch::jit::Module& module, const std::string& path) {
  try {
    return torch::jit::freeze_module(module);
  } catch (...) {
    const auto [code, words] = describe_exception(std::current_exception());
    fail("ERR_OPTION", path, ": libtorch cannot freeze the model: ", interpreter_words(words));
  }
}

}  // namespace

// A graph with outputs features and logits (features alone without a head), as it runs in one dtype.
class TorchScriptProgram final : public InferenceModel {
 public:
  // `inputs`: the module, where the graph still asks for it, and what comes after the pictures.
  TorchScriptProgram(std::shared_ptr<Graph> graph, std::vector<c10::IValue> inputs, at::ScalarType dtype,
                     const TorchScriptOptions& options)
      : graph_(std::move(graph)), inputs_(std::move(inputs)), dtype_(dtype), options_(options) {
    for_each_node(graph_->block(), [&](Node* node) { contiguous_ = contiguous_ || is_op(node, "aten::as_strided"); });
    code_ = torch::jit::Code(graph_, "forward");
    if (graph_->outputs().size() > 1) {
      const auto features_alone = graph_->copy();
      features_alone->eraseOutput(1);
      torch::jit::EliminateDeadCode(features_alone);
      features_code_ = torch::jit::Code(features_alone, "forward");
    }
    std::unordered_set<const void*> storages;
    for_each_node(graph_->block(), [&](Node* node) {
      if (node->kind() != prim::Constant) return;
      const auto value = torch::jit::toIValue(node->output());
      if (!value || !value->isTensor() || !value->toTensor().has_storage()) return;
      const at::Storage& storage = value->toTensor().storage();
      if (storages.insert(storage.unsafeGetStorageImpl()).second) nbytes_ += static_cast<int64_t>(storage.nbytes());
    });
  }

  std::shared_ptr<const TorchScriptProgram> converted(at::ScalarType dtype) const {
    const auto graph = graph_->copy();
    convert_constants(*graph, dtype, options_.device);
    auto program = std::make_shared<TorchScriptProgram>(graph, inputs_, dtype, options_);
    program->feature_dim_ = feature_dim_;
    program->num_classes_ = num_classes_;
    return program;
  }

  // Runs two pictures of zeros; sets the widths of what comes.
  void probe() {
    const at::Tensor x = at::zeros({2, options_.channels, options_.size, options_.size},
                                   at::TensorOptions(options_.device).dtype(at::kFloat));
    NetworkOutput found;
    try {
      found = forward(x, {.features = true, .logits = has_logits()}, [] {});
    } catch (...) {
      const auto [code, words] = describe_exception(std::current_exception());
      if (std::string_view(code) != "ERR_INTERNAL") throw;
      fail("ERR_OPTION", "input: the model does not take pictures of shape ", x.sizes(), ": ", words);
    }
    feature_dim_ = found.features.size(1);
    if (has_logits()) num_classes_ = found.logits.size(1);
  }

  NetworkOutput forward(const at::Tensor& x, const WantedOutputs& wanted, const Poll& poll) const override {
    const c10::InferenceMode inference;
    poll();
    std::vector<c10::IValue> stack = inputs_;
    const auto layout = contiguous_ ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast;
    stack.insert(stack.begin() + 1, x.to(dtype_).contiguous(layout));
    const bool logits = wanted.logits && has_logits();
    try {
      torch::jit::InterpreterState(has_logits() && !logits ? features_code_ : code_).run(stack);
    } catch (...) {
      const auto [code, words] = describe_exception(std::current_exception());
      fail(code, options_.path, ": ", interpreter_words(words));
    }
    NetworkOutput output;
    if (wanted.features) output.features = rows_of(stack.at(0), x.size(0), feature_dim_, "features");
    if (wanted.raw_features) output.raw_features = rows_of(stack.at(0), x.size(0), feature_dim_, "features");
    if (logits) output.logits = rows_of(stack.at(1), x.size(0), num_classes_, "logits");
    return output;
  }

  at::Device device() const override { return options_.device; }
  at::ScalarType output_dtype() const override { return at::kFloat; }
  int64_t feature_dim() const override { return feature_dim_; }
  int64_t num_classes() const override { return num_classes_; }
  int64_t in_channels() const override { return options_.channels; }
  int64_t image_size() const override { return 0; }
  int64_t nbytes() const override { return nbytes_; }
  at::ScalarType dtype() const { return dtype_; }
  bool has_logits() const { return graph_->outputs().size() > 1; }

 private:
  // One row per picture, float32. `width` is 0 before it is known.
  at::Tensor rows_of(const c10::IValue& value, int64_t count, int64_t width, const char* name) const {
    if (!value.isTensor()) fail("ERR_OPTION", name, ": expected a tensor, found ", value.tagKind());
    const at::Tensor& tensor = value.toTensor();
    if (!at::isFloatingType(tensor.scalar_type())) {
      fail("ERR_DTYPE", name, ": expected floating numbers, found ", dtype_name(tensor.scalar_type()));
    }
    const bool logits = std::string_view(name) == "logits";
    if (!logits && !options_.features && tensor.dim() != 2) {
      fail("ERR_OPTION", "features: ",
           has_logits() ? "the input of the last linear layer" : "the model has no linear layer at its end; its output",
           " has shape ", tensor.sizes(), ", not [N, d]; name the submodule or value whose output is the features");
    }
    if (tensor.dim() < 2 || tensor.size(0) != count || (logits && tensor.dim() != 2)) {
      fail("ERR_SHAPE", name, ": expected one row for each of ", count, " pictures, found shape ", tensor.sizes(),
           tensor.dim() > 0 && tensor.size(0) != count ? "; trace the model so that it takes any number of pictures"
                                                       : "; name the submodule or value whose output is the features");
    }
    const at::Tensor rows = tensor.flatten(1).to(at::kFloat);
    if (width != 0 && rows.size(1) != width) {
      fail("ERR_SHAPE", name, ": expected rows of ", width, " numbers, found ", rows.size(1));
    }
    return rows;
  }

  std::shared_ptr<Graph> graph_;
  std::vector<c10::IValue> inputs_;
  at::ScalarType dtype_;
  TorchScriptOptions options_;
  // An own interpreter, without libtorch's profiling executor: its first two runs are slow, and its third may compute
  // otherwise than they did.
  torch::jit::Code code_, features_code_;
  bool contiguous_ = false;
  int64_t feature_dim_ = 0, num_classes_ = 0, nbytes_ = 0;
};

TorchScriptModule::TorchScriptModule(std::shared_ptr<const TorchScriptProgram> program, NamedTensors head)
    : program_(std::move(program)), head_(std::move(head)) {}

const InferenceModel& TorchScriptModule::model() const { return *program_; }

std::shared_ptr<const InferenceModel> TorchScriptModule::inference(at::ScalarType dtype) {
  if (dtype == program_->dtype()) return program_;
  if (!bfloat16_) bfloat16_ = program_->converted(dtype);
  return bfloat16_;
}

Task<std::shared_ptr<TorchScriptModule>> load_torchscript(at::Tensor bytes, TorchScriptOptions options) {
  torch::jit::Module module = read_torchscript(bytes, options.path, options.device);
  bytes.reset();
  co_await next_turn;
  std::vector<c10::IValue> inputs = further_inputs(module, options.path);
  module.eval();
  const bool marked = options.features && mark_submodule(module, *options.features);
  const std::string submodules = submodule_names(module);
  module = frozen(module, options.path);
  std::shared_ptr<Graph> graph = module.get_method("forward").graph()->copy();
  inputs.insert(inputs.begin(), module._ivalue());
  require_pure(*graph, options.path);
  co_await next_turn;
  const GraphOutputs outputs = find_outputs(*graph, options.features);
  if (outputs.features == nullptr) {
    fail("ERR_OPTION", "features: expected \"output\", a submodule or a value of the model, found \"",
         *options.features, "\"", marked ? ", which forward does not reach" : "",
         submodules.empty() ? "" : "; its submodules are " + submodules);
  }
  graph->eraseOutput(0);
  graph->registerOutput(outputs.features);
  if (outputs.logits != nullptr) graph->registerOutput(outputs.logits);
  convert_constants(*graph, at::kFloat, options.device);
  replace_views(*graph);
  torch::jit::OptimizeFrozenGraph(graph);
  torch::jit::EliminateDeadCode(graph);
  auto program = std::make_shared<TorchScriptProgram>(graph, std::move(inputs), at::kFloat, options);
  co_await next_turn;
  program->probe();
  NamedTensors head;
  if (outputs.weight.defined()) {
    const auto on_host = [](const at::Tensor& tensor) { return tensor.to(at::kCPU, at::kDouble).contiguous(); };
    head.emplace_back("weight", on_host(outputs.weight));
    head.emplace_back("bias", outputs.bias.defined() ? on_host(outputs.bias.reshape({-1}))
                                                     : at::zeros({outputs.weight.size(0)}, at::kDouble));
  }
  co_return std::make_shared<TorchScriptModule>(std::move(program), std::move(head));
}

}  // namespace ood
