// The native class VirtualLogit.
#include "virtual_logit.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "arguments.h"
#include "class_statistics.h"
#include "linalg.h"
#include "magnitude.h"
#include "named_state.h"
#include "symbol_versions.h"
#include "tensor.h"

namespace ood {

namespace {

// Rows taken at once: enough for the matrix kernels, few enough that a step stays short.
int64_t chunk_rows(int64_t dim) { return std::max<int64_t>(1024, dim); }

at::Tensor logits_argument(const Napi::Value& value, const at::Tensor& features) {
  at::Tensor logits = tensor_argument(value, "logits", {at::kFloat, at::kDouble}, 2);
  if (logits.size(0) != features.size(0)) {
    fail("ERR_SHAPE", "logits: expected ", features.size(0), " rows as features has, found ", logits.size(0));
  }
  return logits;
}

at::Tensor residual_lengths(const at::Tensor& rows, const ResidualSpace& space) {
  return row_lengths((rows.to(space.on, at::kDouble) - space.origin).mm(space.basis));
}

// The principal subspace by the singular value decomposition of the rows themselves, through the R of their QR
// decomposition, which is made chunk by chunk. Their Gram matrix would square the ratio of the singular values: under
// collapse its small eigenvectors are rounding noise.
struct Fit {
  std::shared_ptr<ResidualSpace> shared;
  at::Tensor features, logits, weight, bias;
  int64_t dimension;
  enum class Phase { accept, decompose, measure } phase = Phase::accept;
  ResidualSpace made{c10::Device(c10::kCPU)};
  at::Tensor stacked = {};  // columns of [R; chunk], the layout of LAPACK
  int64_t done = 0;
  double length = 0, residuals = 0, largest_logits = 0;  // of all rows together; the others are means

  bool step(JobContext& job) {
    const at::NoGradGuard no_grad;
    if (phase == Phase::accept) {
      accept();
    } else if (phase == Phase::decompose) {
      decompose(job);
    } else if (measure()) {
      *shared = made;
      return true;
    }
    return false;
  }

  void accept() {
    require_finite(features, "features");
    require_finite(logits, "logits");
    require_finite(weight, "weight");
    if (bias.defined()) require_finite(bias, "bias");
    const int64_t dim = features.size(1);
    made = ResidualSpace(shared->on);
    made.origin = at::zeros({dim}, at::TensorOptions().dtype(at::kDouble).device(shared->on));
    if (bias.defined()) {
      const at::Tensor inverse = pseudoinverse(weight.to(shared->on, at::kDouble), std::nullopt, std::nullopt, false);
      made.origin = inverse.mv(bias.to(shared->on, at::kDouble)).neg_();
      if (!made.origin.isfinite().all().item<bool>())
        fail("ERR_RANGE", "weight: the point whose logits are zero is beyond float64");
    }
    stacked = at::zeros({dim, dim + chunk_rows(dim)}, made.origin.options());
    phase = Phase::decompose;
  }

  void decompose(JobContext& job) {
    const int64_t dim = features.size(1);
    const int64_t end = std::min(done + chunk_rows(dim), features.size(0));
    const at::Tensor rows = features.slice(0, done, end).to(made.on, at::kDouble) - made.origin;
    length = std::hypot(length, total_length(rows));
    if (!std::isfinite(length)) {
      fail("ERR_RANGE", "features: expected them within float64 of the point whose logits are zero, found them beyond");
    }
    at::Tensor part = stacked.slice(1, 0, dim + end - done);
    part.slice(1, dim).copy_(rows.t());
    const at::Tensor upper = std::get<0>(at::geqrf(part.t())).slice(0, 0, dim).triu();
    stacked.slice(1, 0, dim).copy_(upper.t());
    done = end;
    if (done < features.size(0)) return;
    job.check();
    const auto [left, values, right] = at::linalg_svd(upper, /*full_matrices=*/true);
    made.basis = right.slice(0, dimension).t().contiguous();
    stacked.reset();
    done = 0;
    phase = Phase::measure;
  }

  bool measure() {
    const int64_t count = features.size(0);
    const int64_t end = std::min(done + 4 * chunk_rows(features.size(1)), count);
    const auto n = static_cast<double>(count);
    residuals += residual_lengths(features.slice(0, done, end), made).div_(n).sum().item<double>();
    largest_logits += std::get<0>(logits.slice(0, done, end).max(1)).to(at::kDouble).div_(n).sum().item<double>();
    done = end;
    if (done < count) return false;
    const double usual = length / std::sqrt(n);
    const double noise = static_cast<double>(features.size(1)) * std::numeric_limits<double>::epsilon() * usual;
    if (!(residuals > noise)) {
      fail("ERR_RANGE",
           "dimension: expected fewer than the dimensions of the training features, whose principal subspace of ",
           dimension, " dimensions leaves nothing of them (", residuals, " of ", usual, " on average)");
    }
    made.alpha = largest_logits / residuals;
    if (!std::isfinite(made.alpha)) {
      fail("ERR_RANGE", "logits: expected their largest over the residual length to be within float64, found ",
           largest_logits, " over ", residuals);
    }
    return true;
  }
};

// logsumexp(logits) − alpha·residual, a chunk per step.
struct Evaluation {
  std::shared_ptr<ResidualSpace> shared;
  at::Tensor features, logits, result;
  bool checked = false;
  int64_t done = 0;

  bool step(JobContext&) {
    const at::NoGradGuard no_grad;
    if (!checked) {
      if (!shared->basis.defined()) fail("ERR_OPTION", "score: expected one that has been fitted or loaded");
      if (features.size(1) != shared->origin.size(0)) {
        fail("ERR_SHAPE", "features: expected ", shared->origin.size(0), " columns, found ", features.size(1));
      }
      require_finite(features, "features");
      require_finite(logits, "logits");
      result = at::empty({features.size(0)}, at::kDouble);
      checked = true;
    }
    const int64_t end = std::min(done + chunk_rows(features.size(1)), features.size(0));
    const at::Tensor residual = residual_lengths(features.slice(0, done, end), *shared).to(at::kCPU);
    const at::Tensor energy = at::logsumexp(logits.slice(0, done, end).to(at::kDouble), 1);
    const at::Tensor scores = energy.sub_(residual, shared->alpha);
    const at::Tensor lost = scores.isfinite().logical_not_().nonzero();
    if (lost.size(0) > 0) {
      fail("ERR_RANGE", "features: expected rows and logits whose score is within float64, found row ",
           done + lost[0].item<int64_t>(), " beyond");
    }
    result.slice(0, done, end).copy_(scores);
    done = end;
    return done == features.size(0);
  }
};

}  // namespace

void VirtualLogit::define(Napi::Env env, Napi::Object exports) {
  exports.Set("VirtualLogit", DefineClass(env, "VirtualLogit",
                                          {
                                              method<&VirtualLogit::fit>("fit"),
                                              method<&VirtualLogit::evaluate>("evaluate"),
                                              method<&VirtualLogit::state>("state"),
                                              method<&VirtualLogit::load_state>("loadState"),
                                              dispose_method(),
                                          }));
}

// fit(control, features, logits, weight, bias | undefined, dimension): alpha
Napi::Value VirtualLogit::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor features = features_argument(info[1], "features");
  if (features.size(0) == 0) fail("ERR_SHAPE", "features: expected at least one row, found ", features.sizes());
  if (features.size(1) < 2) fail("ERR_SHAPE", "features: expected at least 2 columns, found ", features.size(1));
  const at::Tensor logits = logits_argument(info[2], features);
  const at::Tensor weight = tensor_argument(info[3], "weight", {at::kFloat, at::kDouble}, 2);
  const at::Tensor bias = optional_tensor_argument(info[4], "bias", {at::kFloat, at::kDouble}, 1);
  if (weight.size(0) != logits.size(1) || weight.size(1) != features.size(1)) {
    fail("ERR_SHAPE", "weight: expected [", logits.size(1), ", ", features.size(1), "], found ", weight.sizes());
  }
  if (bias.defined() && bias.size(0) != logits.size(1)) {
    fail("ERR_SHAPE", "bias: expected ", logits.size(1), " values, found ", bias.size(0));
  }
  const int64_t dimension = integer_argument(info[5], "dimension", 1, features.size(1) - 1);
  auto fit = std::make_shared<Fit>(Fit{shared, features, logits, weight, bias, dimension});
  return submit_keeping(
      info, [fit](JobContext& job) { return fit->step(job); },
      [fit](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, fit->made.alpha); });
}

// evaluate(control, features, logits): float64 [N]
Napi::Value VirtualLogit::evaluate(const Napi::CallbackInfo& info) {
  auto evaluation = std::make_shared<Evaluation>();
  evaluation->shared = live();
  evaluation->features = features_argument(info[1], "features");
  evaluation->logits = logits_argument(info[2], evaluation->features);
  return submit_steps(
      info.Env(), evaluation->shared->device(), info[0], info.Env().Undefined(),
      [evaluation](JobContext& job) { return evaluation->step(job); },
      [evaluation](Napi::Env env) { return Tensor::wrap(env, evaluation->result); });
}

// state(control): [{ name, tensor }]
Napi::Value VirtualLogit::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit<NamedState>(
      info, shared->device(),
      [shared](JobContext&) {
        if (!shared->basis.defined()) fail("ERR_OPTION", "score: expected one that has been fitted or loaded");
        return NamedState{{"origin", shared->origin.to(at::kCPU)},
                          {"basis", shared->basis.to(at::kCPU)},
                          {"alpha", at::tensor({shared->alpha}, at::kDouble)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// loadState(control, featureDim, dimension, state)
Napi::Value VirtualLogit::load_state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const int64_t dim = integer_argument(info[1], "featureDim", 2, 1 << 20);
  const int64_t dimension = integer_argument(info[2], "dimension", 1, dim - 1);
  const NamedState state = state_argument(info[3], "state");
  return submit_keeping(
      info,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        ResidualSpace space(shared->on);
        space.origin = state_tensor(state, "origin", at::kDouble, {dim}).to(shared->on);
        space.basis = state_tensor(state, "basis", at::kDouble, {dim, dim - dimension}).to(shared->on);
        space.alpha = state_tensor(state, "alpha", at::kDouble, {1}).item<double>();
        *shared = space;
        return true;
      },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

}  // namespace ood
