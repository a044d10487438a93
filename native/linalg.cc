// Matrix functions that JavaScript calls on whole matrices or batches of them.
#include "linalg.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "arguments.h"
#include "covariance.h"
#include "job.h"
#include "named_state.h"
#include "tensor.h"

namespace ood {

namespace {

constexpr int64_t chunk_rows = 4096;

at::Tensor matrices_argument(const Napi::Value& value, const char* name, bool square) {
  const at::Tensor tensor = tensor_argument(value, name, {at::kFloat, at::kDouble});
  if (tensor.dim() < 2 || tensor.numel() == 0)
    fail("ERR_SHAPE", name, ": expected [..., rows, columns], none 0, found ", tensor.sizes());
  if (square && tensor.size(-1) != tensor.size(-2))
    fail("ERR_SHAPE", name, ": expected square matrices, found ", tensor.sizes());
  return tensor;
}

void require_symmetric(const at::Tensor& matrix, const char* name) {
  const at::Tensor scale = matrix.abs().amax({-2, -1}, true);
  const double tolerance = matrix.scalar_type() == at::kFloat ? 1e-4 : 1e-10;
  if (!(matrix - matrix.mT()).abs().le(scale * tolerance).all().item<bool>()) {
    fail("ERR_RANGE", name, ": expected a symmetric matrix, found one that differs from its transpose");
  }
}

// The matrices of a batch, one by one.
std::vector<at::Tensor> each(const at::Tensor& batch) {
  return batch.reshape({-1, batch.size(-2), batch.size(-1)}).unbind(0);
}

// Keeps the largest in magnitude: those above rcond times the largest, or `rank` of them. values [..., k] ≥ 0, in any
// order.
at::Tensor kept(const at::Tensor& values, int64_t rows, int64_t columns, std::optional<double> rcond,
                std::optional<int64_t> rank) {
  const at::Tensor largest = values.amax(-1, true);
  if (rank) {
    const at::Tensor place =
        values.argsort(/*stable=*/true, -1, /*descending=*/true).argsort(/*stable=*/true, -1, false);
    return place.lt(*rank).logical_and(values.gt(0));
  }
  const double epsilon = values.scalar_type() == at::kFloat ? std::numeric_limits<float>::epsilon()
                                                            : std::numeric_limits<double>::epsilon();
  return values.gt(largest * rcond.value_or(static_cast<double>(std::max(rows, columns)) * epsilon));
}

// covariance(control, x, weights | undefined, ddof, device)
Napi::Value covariance(const Napi::CallbackInfo& info) {
  const at::Tensor x = tensor_argument(info[1], "x", {at::kFloat, at::kDouble}, 2);
  const at::Tensor weights = optional_tensor_argument(info[2], "weights", {at::kFloat, at::kDouble}, 1);
  const double ddof = number_argument(info[3], "ddof", 0);
  const c10::Device device = device_argument(info[4], "device");
  if (x.numel() == 0) fail("ERR_SHAPE", "x: expected at least one row and one column, found ", x.sizes());
  if (weights.defined() && weights.size(0) != x.size(0)) {
    fail("ERR_SHAPE", "weights: expected ", x.size(0), " as x has rows, found ", weights.size(0));
  }
  return submit<at::Tensor>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        require_finite(x, "x");
        if (weights.defined()) {
          require_finite(weights, "weights");
          if (weights.lt(0).any().item<bool>()) fail("ERR_RANGE", "weights: expected none below 0");
        }
        return covariance_of_rows(x.to(device), weights.defined() ? weights.to(device) : weights, ddof).to(at::kCPU);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// pinv(control, matrix, { rcond?, rank?, hermitian }, device)
Napi::Value pinv(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info[2], "options");
  const bool hermitian = boolean_argument(options.Get("hermitian"), "hermitian");
  const at::Tensor matrix = matrices_argument(info[1], "matrix", hermitian);
  std::optional<double> rcond;
  std::optional<int64_t> rank;
  if (!options.Get("rcond").IsUndefined()) rcond = number_argument(options.Get("rcond"), "rcond", 0, 1);
  if (!options.Get("rank").IsUndefined())
    rank = integer_argument(options.Get("rank"), "rank", 0, std::min(matrix.size(-1), matrix.size(-2)));
  const c10::Device device = device_argument(info[3], "device");
  return submit<at::Tensor>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        require_finite(matrix, "matrix");
        if (hermitian) require_symmetric(matrix, "matrix");
        return pseudoinverse(matrix.to(device), rcond, rank, hermitian).to(at::kCPU);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

// cholesky(control, matrix, jitter, device): factor and jitter [batch]; jitter = "relative", "ddu" (one for all) or a
// number
Napi::Value cholesky(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const bool fixed = info[2].IsNumber();
  const double fixed_jitter = fixed ? number_argument(info[2], "jitter", 0) : 0;
  const std::string rule = fixed ? "" : string_argument(info[2], "jitter");
  if (!fixed && rule != "relative" && rule != "ddu")
    fail("ERR_OPTION", "jitter: expected \"relative\", \"ddu\" or a number, found \"", rule, "\"");
  const c10::Device device = device_argument(info[3], "device");
  return submit<NamedState>(
      info, device,
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        require_finite(matrix, "matrix");
        require_symmetric(matrix, "matrix");
        const Poll poll = [&job] { job.check(); };
        const std::vector<at::Tensor> matrices = each(matrix.to(device, at::kDouble));
        const double common = rule == "ddu" ? ddu_jitter(matrices, poll) : fixed_jitter;
        std::vector<at::Tensor> factors;
        std::vector<double> jitters;
        for (const at::Tensor& one : matrices) {
          poll();
          const CholeskyFactor factor = rule == "relative"
                                            ? safe_cholesky(one, one.diagonal().mean().item<double>(), poll)
                                            : cholesky_with_jitter(one, common);
          factors.push_back(factor.lower);
          jitters.push_back(factor.jitter);
        }
        const at::Tensor stacked = at::stack(factors).reshape(matrix.sizes()).to(at::kCPU, matrix.scalar_type());
        return NamedState{{"factor", stacked}, {"jitter", at::tensor(jitters, at::kDouble)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// logdet(control, matrix, device): sign and log |det|, [batch] each
Napi::Value logdet(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const c10::Device device = device_argument(info[2], "device");
  return submit<NamedState>(
      info, device,
      [=](JobContext& job) {
        const at::NoGradGuard no_grad;
        require_finite(matrix, "matrix");
        std::vector<at::Tensor> signs, logarithms;
        // One by one: libtorch 2.13 on a CPU gives wrong pivots for a batch of large matrices when it has several
        // threads.
        for (const at::Tensor& one : each(matrix.to(device, at::kDouble))) {
          job.check();
          const auto [sign, logarithm] = at::linalg_slogdet(one);
          signs.push_back(sign + 0);  // no negative zero for a singular matrix
          logarithms.push_back(logarithm);
        }
        return NamedState{{"sign", at::stack(signs).to(at::kCPU)}, {"logarithm", at::stack(logarithms).to(at::kCPU)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// eigh(control, matrix, device): values [..., n] ascending, vectors [..., n, n] in columns
Napi::Value eigh(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const c10::Device device = device_argument(info[2], "device");
  return submit<NamedState>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        require_finite(matrix, "matrix");
        require_symmetric(matrix, "matrix");
        const auto [values, vectors] = at::linalg_eigh(matrix.to(device));
        return NamedState{{"values", values.to(at::kCPU)}, {"vectors", vectors.to(at::kCPU)}};
      },
      [](Napi::Env env, NamedState& state) { return state_to_js(env, state); });
}

// svdvals(control, matrix, device): [..., min(m, n)] descending
Napi::Value svdvals(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", false);
  const c10::Device device = device_argument(info[2], "device");
  return submit<at::Tensor>(
      info, device,
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        require_finite(matrix, "matrix");
        return at::linalg_svdvals(matrix.to(device)).to(at::kCPU);
      },
      [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });
}

}  // namespace

at::Tensor covariance_of_rows(const at::Tensor& x, const at::Tensor& weights, double ddof) {
  const int64_t count = x.size(0);
  const at::Tensor weight =
      weights.defined() ? weights.to(at::kDouble) : at::ones({count}, x.options().dtype(at::kDouble));
  const double total = weight.sum().item<double>();
  if (!(total - ddof > 0)) fail("ERR_SHAPE", "x: a total weight of ", total, " is too little for ddof ", ddof);
  const auto chunk = [&](int64_t start) {
    return x.slice(0, start, std::min(start + chunk_rows, count)).to(at::kDouble);
  };
  const auto weight_of = [&](int64_t start) { return weight.slice(0, start, std::min(start + chunk_rows, count)); };
  at::Tensor mean = at::zeros({x.size(1)}, weight.options());
  for (int64_t start = 0; start < count; start += chunk_rows) mean.addmv_(chunk(start).t(), weight_of(start) / total);
  at::Tensor rest = at::zeros_like(mean);  // what the first pass lost to rounding
  for (int64_t start = 0; start < count; start += chunk_rows)
    rest.addmv_((chunk(start) - mean).t(), weight_of(start) / total);
  at::Tensor scatter = at::zeros({x.size(1), x.size(1)}, weight.options());
  for (int64_t start = 0; start < count; start += chunk_rows) {
    const at::Tensor centred = (chunk(start) - mean).sub_(rest);
    add_lower_gram(scatter, weights.defined() ? centred.mul_(weight_of(start).sqrt().unsqueeze(1)) : centred);
  }
  return symmetric_of_lower(scatter.div_(total - ddof));
}

at::Tensor pseudoinverse(const at::Tensor& matrix, std::optional<double> rcond, std::optional<int64_t> rank,
                         bool hermitian) {
  if (hermitian) {
    const auto [values, vectors] = at::linalg_eigh(matrix);
    const at::Tensor keep = kept(values.abs(), matrix.size(-2), matrix.size(-1), rcond, rank);
    const at::Tensor inverse = at::where(keep, values.reciprocal(), at::zeros_like(values));
    return (vectors * inverse.unsqueeze(-2)).matmul(vectors.mT());
  }
  const auto [left, values, right] = at::linalg_svd(matrix, /*full_matrices=*/false);
  const at::Tensor keep = kept(values, matrix.size(-2), matrix.size(-1), rcond, rank);
  const at::Tensor inverse = at::where(keep, values.reciprocal(), at::zeros_like(values));
  return (right.mT() * inverse.unsqueeze(-2)).matmul(left.mT());
}

void define_linalg(Napi::Env env, Napi::Object exports) {
  Napi::Object linalg = Napi::Object::New(env);
  linalg.Set("covariance", function<covariance>(env, "covariance"));
  linalg.Set("pinv", function<pinv>(env, "pinv"));
  linalg.Set("cholesky", function<cholesky>(env, "cholesky"));
  linalg.Set("logdet", function<logdet>(env, "logdet"));
  linalg.Set("eigh", function<eigh>(env, "eigh"));
  linalg.Set("svdvals", function<svdvals>(env, "svdvals"));
  exports.Set("linalg", linalg);
}

}  // namespace ood
