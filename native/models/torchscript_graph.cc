// Finds features and logits in the graph of a TorchScript model.
#include "models/torchscript_graph.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/errors.h"

namespace ood {

namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;
namespace attr = torch::jit::attr;
namespace prim = torch::jit::prim;

// An attribute by which a node is known again after freezing.
const c10::Symbol& mark() {
  static const c10::Symbol symbol = c10::Symbol::attr("libtorch_ood_features");
  return symbol;
}

bool is_op(const Node* node, std::string_view name) { return name == node->kind().toQualString(); }

std::string name_of(const Value* value) { return "\"" + value->debugName() + "\""; }

bool is_tensor(const Value* value) { return value->type()->isSubtypeOf(*c10::TensorType::get()); }

std::optional<at::Tensor> constant_tensor(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  if (constant && constant->isTensor()) return constant->toTensor();
  // The transpose of a weight stays in the graph where freezing did not fold it.
  const Node* node = value->node();
  if (is_op(node, "aten::to")) return constant_tensor(node->input(0));  // a cast to the input's dtype
  if ((is_op(node, "aten::t") || is_op(node, "aten::numpy_T") || is_op(node, "aten::detach")) &&
      node->inputs().size() == 1) {
    const auto inner = constant_tensor(node->input(0));
    if (!inner || inner->dim() > 2) return {};
    return is_op(node, "aten::detach") ? *inner : inner->t();
  }
  return {};
}

bool is_none(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  return constant && constant->isNone();
}

bool is_constant_one(const Value* value) {
  const auto constant = torch::jit::toIValue(value);
  return constant && constant->isScalar() && constant->toScalar().to<double>() == 1;
}

// A layer that multiplies by a constant matrix.
struct Linear {
  Value* input = nullptr;
  Value* output = nullptr;
  at::Tensor weight;  // [C, d]
  at::Tensor bias;    // [C], or undefined
};

bool is_bias(const std::optional<at::Tensor>& bias, const at::Tensor& weight) {
  return bias && (bias->dim() == 1 || (bias->dim() == 2 && bias->size(0) == 1)) && bias->numel() == weight.size(0);
}

// A product with a constant matrix [d, C].
std::optional<Linear> as_product(Node* node) {
  if (!is_op(node, "aten::matmul") && !is_op(node, "aten::mm")) return {};
  const auto matrix = constant_tensor(node->input(1));
  if (!matrix || matrix->dim() != 2) return {};
  return Linear{node->input(0), node->output(), matrix->t(), {}};
}

std::optional<Linear> as_linear(Node* node) {
  if (is_op(node, "aten::linear")) {
    const auto weight = constant_tensor(node->input(1));
    const auto bias = constant_tensor(node->input(2));
    if (!weight || weight->dim() != 2 || !(is_none(node->input(2)) || is_bias(bias, *weight))) return {};
    return Linear{node->input(0), node->output(), *weight, bias.value_or(at::Tensor())};
  }
  if (is_op(node, "aten::addmm") && node->inputs().size() == 5) {
    const auto matrix = constant_tensor(node->input(2));
    const auto bias = constant_tensor(node->input(0));
    if (!matrix || !is_bias(bias, matrix->t())) return {};
    if (!is_constant_one(node->input(3)) || !is_constant_one(node->input(4))) return {};
    return Linear{node->input(1), node->output(), matrix->t(), *bias};
  }
  if ((is_op(node, "aten::add") || is_op(node, "aten::add_")) && node->inputs().size() == 3 &&
      is_constant_one(node->input(2))) {
    for (const size_t side : {0, 1}) {
      auto product = as_product(node->input(side)->node());
      const auto bias = constant_tensor(node->input(1 - side));
      if (!product || !is_bias(bias, product->weight)) continue;
      product->output = node->output();
      product->bias = *bias;
      return product;
    }
  }
  return as_product(node);
}

// What may stand between the last linear layer and the output without changing which layer gives the logits.
bool follows_logits(const Node* node) {
  static const std::unordered_set<std::string_view> names = {
      "aten::softmax",    "aten::log_softmax", "aten::sigmoid", "aten::div",
      "aten::mul",        "aten::add",         "aten::sub",     "aten::div_",
      "aten::mul_",       "aten::view",        "aten::reshape", "aten::flatten",
      "aten::squeeze",    "aten::contiguous",  "aten::to",      "aten::dropout",
      "aten::alias",      "aten::detach",      "aten::clone",   "aten::float",
      "aten::type_as",    "aten::clamp",       "prim::If",      "prim::TupleConstruct",
      "prim::TupleIndex", "prim::TupleUnpack", "aten::tanh"};
  return names.contains(node->kind().toQualString());
}

// The layers on the way from the output back to the pictures.
struct Search {
  std::vector<Linear> layers;    // the first met on each way
  const Node* other = nullptr;   // some other operation before them that a classifier does not end with
  bool computed_weight = false;  // whether a linear layer whose weight is no constant gives the output
  bool passes_by = false;        // whether a way leads to the pictures without meeting a linear layer
};

void search_back(Value* from, Search& found) {
  std::vector<Value*> open{from};
  std::unordered_set<Value*> seen{from};
  const auto visit = [&](Value* value) {
    const auto kind = value->type()->kind();
    // Sizes and flags do not carry the picture.
    const bool carries = kind == c10::TypeKind::TensorType || kind == c10::TypeKind::OptionalType ||
                         kind == c10::TypeKind::ListType || kind == c10::TypeKind::TupleType ||
                         kind == c10::TypeKind::DictType || kind == c10::TypeKind::ClassType;
    const bool integers = value->type()->isSubtypeOf(*c10::ListType::ofInts());
    if (carries && !integers && seen.insert(value).second) open.push_back(value);
  };
  while (!open.empty()) {
    Value* const value = open.back();
    open.pop_back();
    Node* const node = value->node();
    if (node->kind() == prim::Constant || node->kind() == prim::Uninitialized) continue;
    if (node->kind() == prim::Param) {
      // Of a loop: what comes in was visited with the loop. Of the graph: the pictures, but for the module itself.
      const Graph& graph = *node->owningGraph();
      if (node->owningBlock() == graph.block() && value != graph.inputs()[0]) found.passes_by = true;
      continue;
    }
    if (std::string_view(node->kind().toQualString()).starts_with("quantized::linear")) {
      fail("ERR_OPTION",
           "features: the weights of a quantized layer cannot be read; name the submodule or value whose ",
           "output is the features");
    }
    if (auto layer = as_linear(node)) {
      found.layers.push_back(std::move(*layer));
      continue;
    }
    const bool linear = is_op(node, "aten::linear") || is_op(node, "aten::addmm");
    if (linear && found.other == nullptr) found.computed_weight = true;
    if (!follows_logits(node) && found.other == nullptr) found.other = node;
    if (node->kind() == prim::If) {
      const auto outputs = node->outputs();
      const auto at = static_cast<size_t>(std::find(outputs.begin(), outputs.end(), value) - outputs.begin());
      for (Block* block : node->blocks()) visit(block->outputs()[at]);
      continue;
    }
    for (Value* input : node->inputs()) visit(input);
    for (Block* block : node->blocks()) {
      for (Value* output : block->outputs()) visit(output);
    }
  }
}

// The value before what leaves a row of numbers as it is once it is flattened.
Value* before_identities(Value* value) {
  for (;;) {
    Node* const node = value->node();
    if (is_op(node, "aten::flatten")) {
      const auto first = torch::jit::toIValue(node->input(1));
      if (!first || !first->isInt() || first->toInt() != 1) return value;
    } else if (is_op(node, "aten::dropout") || is_op(node, "aten::feature_dropout")) {
      const auto training = torch::jit::toIValue(node->input(2));
      if (!training || !training->isBool() || training->toBool()) return value;
    } else if (!is_op(node, "aten::contiguous") && !is_op(node, "aten::alias") && !is_op(node, "aten::detach") &&
               !is_op(node, "aten::clone")) {
      return value;
    }
    value = node->input(0);
  }
}

std::string parts_text(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "\"output." : ", \"output.") + part + "\"";
  return text;
}

// The output of a graph, or its parts where it is a tuple or a dictionary.
struct Output {
  Value* whole = nullptr;
  std::vector<std::pair<std::string, Value*>> parts;
  std::string what;  // "a tuple"

  std::string names() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : parts) names.push_back(name);
    return parts_text(names);
  }
};

Output output_of(Graph& graph) {
  if (graph.outputs().size() != 1) fail("ERR_OPTION", "the model's forward gives nothing");
  Output output{graph.outputs()[0], {}, {}};
  Node* const node = output.whole->node();
  if (node->kind() == prim::TupleConstruct) {
    output.what = "a tuple";
    const auto type = output.whole->type()->expect<c10::TupleType>();
    for (size_t i = 0; i < node->inputs().size(); ++i) {
      if (is_none(node->input(i))) continue;
      std::string name = std::to_string(i);
      if (type->schema()) name = type->schema()->arguments()[i].name();  // of a named tuple
      output.parts.emplace_back(name, node->input(i));
    }
    // As GoogLeNet and Inception give their logits, with nothing of the auxiliary heads.
    if (output.parts.size() == 1 && is_tensor(output.parts[0].second)) return {output.parts[0].second, {}, {}};
  } else if (node->kind() == prim::DictConstruct) {
    output.what = "a dictionary";
    for (size_t i = 0; i + 1 < node->inputs().size(); i += 2) {
      const auto key = torch::jit::toIValue(node->input(i));
      if (key && key->isString()) output.parts.emplace_back(key->toStringRef(), node->input(i + 1));
    }
  } else if (!is_tensor(output.whole)) {
    output.what = "a value of type " + output.whole->type()->repr_str();
  }
  return output;
}

// The value copied where it is made.
Value* copied(Graph& graph, Value* value) {
  Node* const node = value->node();
  Node* const none = graph.createNone();
  Node* const copy = graph.create(c10::Symbol::fromQualString("aten::clone"), {value, none->output()});
  if (node->kind() == prim::Param) {
    graph.prependNode(copy);
  } else {
    copy->insertAfter(node);
  }
  none->insertBefore(copy);
  copy->output()->setType(c10::TensorType::get());
  return copy->output();
}

void require_top_level(const Graph& graph, const Value* value, const std::string& name) {
  if (value->node()->owningBlock() != graph.block()) {
    fail("ERR_OPTION", "features: \"", name, "\" is computed in a branch or loop of the model, not in every pass");
  }
}

Node* marked_node(Block* block) {
  for (Node* node : block->nodes()) {
    if (node->hasAttribute(mark())) return node;
    for (Block* inner : node->blocks()) {
      if (Node* const found = marked_node(inner)) return found;
    }
  }
  return nullptr;
}

Value* named_value(Block* block, const std::string& name) {
  for (Node* node : block->nodes()) {
    for (Value* value : node->outputs()) {
      if (value->debugName() == name) return value;
    }
    for (Block* inner : node->blocks()) {
      if (Value* const found = named_value(inner, name)) return found;
    }
  }
  return nullptr;
}

// "output", "output.NAME": the value; null for another name.
Value* output_value(const Output& output, const std::string& name) {
  if (name == "output") {
    if (!output.what.empty()) {
      fail("ERR_OPTION", "features: the model's output is ", output.what,
           output.parts.empty() ? "" : "; name one of " + output.names());
    }
    return output.whole;
  }
  constexpr std::string_view prefix = "output.";
  if (!name.starts_with(prefix)) return nullptr;
  for (size_t i = 0; i < output.parts.size(); ++i) {
    const auto& [part, value] = output.parts[i];
    if (part != name.substr(prefix.size())) continue;
    if (!is_tensor(value)) fail("ERR_OPTION", "features: \"", name, "\" is no tensor but ", value->type()->repr_str());
    return value;
  }
  return nullptr;
}

// The one linear layer that makes the output.
std::optional<Linear> last_linear(const Output& output, bool required) {
  if (!output.what.empty()) {
    if (!required) return {};
    fail("ERR_OPTION", "features: the model gives ", output.what, ", so that its logits are unknown; name the value ",
         "or submodule whose output is the features", output.parts.empty() ? "" : ", such as one of " + output.names());
  }
  Search found;
  search_back(output.whole, found);
  if (found.computed_weight && required) {
    fail("ERR_OPTION", "features: the model computes the weight of its last linear layer; name the submodule or value ",
         "whose output is the features, or \"output\" for a model that gives embeddings");
  }
  if (found.layers.empty() || found.passes_by) return {};  // features alone
  if (found.layers.size() > 1) {
    if (!required) return {};
    std::string inputs;
    for (const Linear& layer : found.layers) inputs += (inputs.empty() ? "" : ", ") + name_of(layer.input);
    fail("ERR_OPTION", "features: ", found.layers.size(), " linear layers reach the output side by side, so that the ",
         "last one is unknown; name the submodule or value whose output is the features (their inputs are ", inputs,
         "), or \"output\" for a model that gives embeddings");
  }
  if (found.other != nullptr) {
    if (!required) return {};
    fail("ERR_OPTION", "features: the model's output is not that of its last linear layer but of ",
         found.other->kind().toQualString(), " after it; name \"output\" where the output is an embedding, or the ",
         "submodule or value whose output is the features");
  }
  return found.layers[0];
}

using Paths = std::unordered_map<const Value*, std::string>;

// Inlines the calls of the modules that hold the wanted one, and marks what that gives.
class Marker {
 public:
  Marker(Graph& graph, const std::string& wanted) : graph_(graph), wanted_(wanted) { paths_[graph.inputs()[0]] = ""; }

  int mark_all() {
    visit(graph_.block());
    return marked_;
  }

 private:
  void visit(Block* block) {
    for (auto it = block->nodes().begin(); it != block->nodes().end();) {
      Node* const node = *it;
      ++it;
      if (node->kind() == prim::GetAttr) {
        const auto object = paths_.find(node->input(0));
        if (object == paths_.end()) continue;
        const std::string& path = object->second;
        paths_[node->output()] = (path.empty() ? "" : path + ".") + node->s(attr::name);
      } else if (node->kind() == prim::CallMethod) {
        const auto object = paths_.find(node->input(0));
        if (object == paths_.end()) continue;
        const std::string path = object->second;
        if (path == wanted_ && node->s(attr::name).starts_with("forward")) {
          mark_output(node);
        } else if (path.empty() || wanted_.starts_with(path + ".")) {
          Node* const before = node->prev();
          inline_call(node);
          it = torch::jit::generic_graph_node_list_iterator<Node>(before->next(), torch::jit::kNextDirection);
        }
      } else {
        for (Block* inner : node->blocks()) visit(inner);
      }
    }
  }

  static void inline_call(Node* node) {
    torch::jit::GraphFunction* const function = torch::jit::tryToGraphFunction(node);
    if (function == nullptr) return;
    torch::jit::inlineCallTo(node, function, function->graph().get());
  }

  void mark_output(Node* node) {
    if (!is_tensor(node->output())) {
      fail("ERR_OPTION", "features: the submodule \"", wanted_, "\" gives no tensor but ",
           node->output()->type()->repr_str());
    }
    ++marked_;
    Node* const marker = graph_.create(c10::Symbol::fromQualString("aten::alias"), {node->output()});
    marker->s_(mark(), wanted_);
    marker->insertAfter(node);
    marker->output()->setType(node->output()->type());
    node->output()->replaceAllUsesWith(marker->output());
    marker->replaceInput(0, node->output());
  }

  Graph& graph_;
  const std::string wanted_;
  Paths paths_;
  int marked_ = 0;
};

}  // namespace

bool mark_submodule(torch::jit::Module& module, const std::string& name) {
  torch::jit::Module inner = module;
  for (size_t start = 0; start <= name.size();) {
    const size_t end = std::min(name.find('.', start), name.size());
    const std::string part = name.substr(start, end - start);
    if (!inner.hasattr(part)) return false;
    const c10::IValue value = inner.attr(part);
    if (!value.isModule()) return false;
    inner = torch::jit::Module(value.toModule());
    start = end + 1;
  }
  const int calls = Marker(*module.get_method("forward").graph(), name).mark_all();
  if (calls != 1) {
    fail("ERR_OPTION", "features: expected a submodule that the model calls once, found \"", name,
         "\", which it calls ", calls == 0 ? "never" : std::to_string(calls) + " times");
  }
  return true;
}

GraphOutputs find_outputs(Graph& graph, const std::optional<std::string>& features) {
  const Output output = output_of(graph);
  const std::optional<Linear> last = last_linear(output, !features.has_value());
  if (!features) {
    if (last) return {last->input, last->output, last->weight, last->bias};
    return {output.whole, nullptr, {}, {}};
  }
  if (Value* const named = output_value(output, *features)) return {copied(graph, named), nullptr, {}, {}};
  Node* const marker = marked_node(graph.block());
  Value* const found = marker != nullptr ? marker->input(0) : named_value(graph.block(), *features);
  if (found == nullptr) return {nullptr, nullptr, {}, {}};
  require_top_level(graph, found, *features);
  if (marker != nullptr) require_top_level(graph, marker->output(), *features);
  if (!is_tensor(found)) {
    fail("ERR_OPTION", "features: \"", *features, "\" is no tensor but ", found->type()->repr_str());
  }
  GraphOutputs outputs{nullptr, nullptr, {}, {}};
  if (last && last->output->node()->owningBlock() == graph.block()) {
    outputs.logits = last->output;
    if (before_identities(last->input) == before_identities(found)) {
      outputs.weight = last->weight;
      outputs.bias = last->bias;
    }
  }
  outputs.features = copied(graph, found);
  if (marker != nullptr) {
    marker->output()->replaceAllUsesWith(marker->input(0));
    marker->destroy();
  }
  return outputs;
}

std::string submodule_names(const torch::jit::Module& module) {
  std::string names;
  for (const auto& child : module.named_children()) names += (names.empty() ? "" : ", ") + child.name;
  return names;
}

}  // namespace ood
