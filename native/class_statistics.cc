// The native class ClassStatistics.
#include "class_statistics.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "arguments.h"
#include "class_parallel.h"
#include "covariance.h"
#include "executor.h"
#include "magnitude.h"
#include "named_state.h"
#include "tensor.h"

namespace ood {

namespace {

constexpr napi_type_tag statistics_tag{0x6c6962746f726368, 0x6f6f642d73746174};

// Small batches are gathered until there are so many rows per class, as long as they take no more than so many bytes.
constexpr int64_t gathered_rows_per_class = 64;
constexpr int64_t gathered_bytes = int64_t{1} << 26;

// Covariance over all rows regardless of class, lower triangle: the pooled scatter plus that of the class means.
at::Tensor global_scatter(const ClassMoments& moments) {
  at::Tensor scatter = moments.pooled_scatter().clone();
  const auto counts = at::tensor(moments.counts(), at::kLong).to(moments.device(), at::kDouble);
  // About the mean of the first class with samples, so that no digit is lost far from zero.
  const int64_t first = moments.present().front();
  const at::Tensor means =
      (moments.mean() - moments.mean()[first]).add_(moments.mean_low() - moments.mean_low()[first]);
  means.mul_(counts.gt(0).unsqueeze(1));
  means.sub_(counts.matmul(means) / static_cast<double>(moments.total()));
  means.mul_(counts.sqrt().unsqueeze(1));
  if (!at::linalg_vector_norm(means).isfinite().item<bool>())
    fail("ERR_RANGE", "covariance: expected class means whose squared distances float64 holds, found an overflow");
  add_lower_gram(scatter, means);
  return scatter;
}

// new ClassStatistics(numClasses, featureDim, scatter, device)
std::shared_ptr<SharedStatistics> statistics_argument(const Napi::CallbackInfo& info) {
  const int64_t classes = integer_argument(info[0], "numClasses", 1, 1 << 24);
  const int64_t dim = integer_argument(info[1], "featureDim", 1, 1 << 20);
  const ScatterKind scatter = scatter_argument(info[2], "scatter");
  const c10::Device device = device_argument(info[3], "device");
  return std::make_shared<SharedStatistics>(ClassMoments(classes, dim, scatter, device), device);
}

}  // namespace

at::Tensor features_argument(const Napi::Value& value, const char* name) {
  return tensor_argument(value, name, {at::kFloat, at::kDouble}, 2);
}

at::Tensor labels_argument(const Napi::Value& value, const char* name) {
  return tensor_argument(value, name, {at::kLong, at::kInt, at::kByte, at::kChar}, 1).to(at::kLong).contiguous();
}

void require_pairs(const at::Tensor& features, const at::Tensor& labels) {
  if (features.numel() == 0) {
    fail("ERR_SHAPE", "features: expected at least one row and one column, found ", features.sizes());
  }
  if (labels.size(0) != features.size(0)) {
    fail("ERR_SHAPE", "labels: expected ", features.size(0), " as features has rows, found ", labels.size(0));
  }
}

ScatterKind scatter_argument(const Napi::Value& value, const char* name) {
  const std::string text = string_argument(value, name);
  if (text == "full") return ScatterKind::full;
  if (text == "pooled") return ScatterKind::pooled;
  if (text == "diagonal") return ScatterKind::diagonal;
  fail("ERR_OPTION", name, ": expected \"full\", \"pooled\" or \"diagonal\", found \"", text, "\"");
}

void SharedStatistics::accept(const at::Tensor& features, const at::Tensor& labels) {
  if (!parts_.empty()) up_to_date();  // throws: an update was cut short or refused
  require_finite(features, "features");
  require_labels(labels, classes_, "labels");
  const int64_t row_bytes = dim_ * static_cast<int64_t>(features.element_size());
  const int64_t enough = std::max<int64_t>(1, std::min(gathered_rows_per_class * classes_, gathered_bytes / row_bytes));
  if (pending_.empty() && features.size(0) >= enough) {
    features_ = features;
    parts_ = moments_.cut(labels);
    return;
  }
  pending_.emplace_back(features.clone(), labels.clone());  // the caller may write to its own meanwhile
  pending_rows_ += features.size(0);
  if (pending_rows_ >= enough) cut_pending();
}

void SharedStatistics::cut_pending() {
  std::vector<at::Tensor> features, labels;
  for (const auto& [batch, batch_labels] : pending_) {
    features.push_back(batch.to(at::kDouble));
    labels.push_back(batch_labels);
  }
  pending_.clear();
  pending_rows_ = 0;
  if (features.empty()) return;
  features_ = at::cat(features);
  parts_ = moments_.cut(at::cat(labels));
}

bool SharedStatistics::take() {
  // One part, or one of each of so many classes as there are threads.
  size_t end = std::min(next_part_ + 1, parts_.size());
  const auto most = static_cast<size_t>(moments_.kind() == ScatterKind::pooled ? 1 : at::get_num_threads());
  while (end < parts_.size() && end - next_part_ < most && parts_[end].label != parts_[end - 1].label) ++end;
  for_each_class(device_, static_cast<int64_t>(end - next_part_),
                 [&](int64_t i) { moments_.add(parts_[next_part_ + static_cast<size_t>(i)], features_); });
  next_part_ = end;
  if (next_part_ < parts_.size()) return false;
  parts_.clear();
  next_part_ = 0;
  features_.reset();
  return true;
}

ClassMoments& SharedStatistics::up_to_date() {
  if (!parts_.empty())
    fail("ERR_ABORTED",
         "statistics: an update was aborted or refused half-way, so they are incomplete; make them anew");
  cut_pending();
  while (!take()) {
  }
  return moments_;
}

int64_t SharedStatistics::nbytes() const {
  int64_t bytes = moments_.nbytes() + (features_.defined() ? static_cast<int64_t>(features_.nbytes()) : 0);
  for (const auto& [features, labels] : pending_) bytes += static_cast<int64_t>(features.nbytes() + labels.nbytes());
  return bytes;
}

void SharedStatistics::replace(ClassMoments moments) {
  moments_ = std::move(moments);
  pending_.clear();
  pending_rows_ = 0;
  parts_.clear();
  next_part_ = 0;
}

void ClassStatistics::define(Napi::Env env, Napi::Object exports) {
  exports.Set("ClassStatistics", DefineClass(env, "ClassStatistics",
                                             {
                                                 method<&ClassStatistics::update>("update"),
                                                 method<&ClassStatistics::merge>("merge"),
                                                 method<&ClassStatistics::counts>("counts"),
                                                 method<&ClassStatistics::means>("means"),
                                                 method<&ClassStatistics::covariance>("covariance"),
                                                 method<&ClassStatistics::state>("state"),
                                                 method<&ClassStatistics::load_state>("loadState"),
                                                 dispose_method(),
                                             }));
}

std::shared_ptr<SharedStatistics> ClassStatistics::unwrap(const Napi::Value& value, const char* name) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&statistics_tag)) {
    fail("ERR_OPTION", name, ": expected ClassStatistics");
  }
  return ClassStatistics::Unwrap(value.As<Napi::Object>())->live();
}

ClassStatistics::ClassStatistics(const Napi::CallbackInfo& info)
    : Holder(info, "statistics", [&info] { return statistics_argument(info); }) {
  guarded(info.Env(), [&] { info.This().As<Napi::Object>().TypeTag(&statistics_tag); });
}

// update(control, features, labels)
Napi::Value ClassStatistics::update(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  const at::Tensor labels = labels_argument(info[2], "labels");
  if (features.size(1) != shared->dim())
    fail("ERR_SHAPE", "features: expected ", shared->dim(), " columns, found ", features.size(1));
  require_pairs(features, labels);
  return submit_keeping(
      info,
      [shared, features, labels, accepted = false](JobContext&) mutable {
        const at::NoGradGuard no_grad;
        if (!accepted) {
          shared->accept(features, labels);
          accepted = true;
        }
        return shared->take();
      },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

// merge(control, other)
Napi::Value ClassStatistics::merge(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const auto other = unwrap(info[1], "other");
  if (other->device() != shared->device()) {
    fail("ERR_DEVICE", "other: expected statistics on ", shared->device().str(), ", found ", other->device().str());
  }
  return submit_keeping(
      info,
      [shared, other](JobContext&) {
        const at::NoGradGuard no_grad;
        ClassMoments& own = shared->up_to_date();
        if (shared == other) {
          const ClassMoments copy =
              ClassMoments::from_state(own.classes(), own.dim(), own.kind(), own.device(), own.state());
          own.merge(copy);
        } else {
          own.merge(other->up_to_date());
        }
        return true;
      },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

// counts(control): int64 [C]
Napi::Value ClassStatistics::counts(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit_keeping<at::Tensor>(
      info, [shared](JobContext&) { return at::tensor(shared->up_to_date().counts(), at::kLong); },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// means(control): float64 [C, d]
Napi::Value ClassStatistics::means(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit_keeping<at::Tensor>(
      info,
      [shared](JobContext&) {
        const at::NoGradGuard no_grad;
        return shared->up_to_date().mean().to(at::kCPU, at::kDouble, false, /*copy=*/true);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// covariance(control, of, ddof): of = class index, or "pooled" (divisor N − ddof·C), or "global" (N − ddof); float64
// [d, d]
Napi::Value ClassStatistics::covariance(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const bool pooled = info[1].IsString() && info[1].As<Napi::String>().Utf8Value() == "pooled";
  const bool global = info[1].IsString() && info[1].As<Napi::String>().Utf8Value() == "global";
  const int64_t label = pooled || global ? -1 : integer_argument(info[1], "class", 0, shared->classes() - 1);
  const int64_t ddof = integer_argument(info[2], "ddof", 0, 1 << 20);
  return submit_keeping<at::Tensor>(
      info,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        const ClassMoments& moments = shared->up_to_date();
        const int64_t count = label >= 0 ? moments.counts()[static_cast<size_t>(label)] : moments.total();
        const int64_t divisor = count - ddof * (pooled ? static_cast<int64_t>(moments.present().size()) : 1);
        if (divisor <= 0) fail("ERR_SHAPE", "covariance: ", count, " samples are too few for ddof ", ddof);
        if (moments.kind() == ScatterKind::diagonal) {
          if (label < 0) fail("ERR_OPTION", "covariance: expected statistics with scatter \"full\" or \"pooled\"");
          return at::diag(moments.scatter_diagonals()[label] / static_cast<double>(divisor)).to(at::kCPU);
        }
        if (label >= 0 && moments.kind() == ScatterKind::pooled) {
          fail("ERR_OPTION", "covariance: a class has one of its own only with scatter \"full\" or \"diagonal\"");
        }
        const at::Tensor scatter = global   ? global_scatter(moments)
                                   : pooled ? moments.pooled_scatter()
                                            : moments.scatter(label);
        return within_range(mirror_lower(scatter / static_cast<double>(divisor)), "covariance: an entry").to(at::kCPU);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// state(control): [{ name, tensor }]
Napi::Value ClassStatistics::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit_keeping<NamedState>(
      info,
      [shared](JobContext&) {
        const at::NoGradGuard no_grad;
        return shared->up_to_date().state();
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// loadState(control, scatter, state)
Napi::Value ClassStatistics::load_state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const ScatterKind scatter = scatter_argument(info[1], "scatter");
  const NamedState state = state_argument(info[2], "state");
  return submit_keeping(
      info,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        shared->replace(ClassMoments::from_state(shared->classes(), shared->dim(), scatter, shared->device(), state));
        return true;
      },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

}  // namespace ood
