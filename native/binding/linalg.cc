// The native functions on whole matrices or batches of them.
#include "binding/linalg.h"

#include <algorithm>
#include <optional>

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/named_tensors.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "core/errors.h"
#include "statistics/linalg.h"
#include "statistics/log_determinant.h"
#include "statistics/row_covariance.h"

namespace ood {

namespace {

at::Tensor matrices_argument(const Napi::Value& value, const char* name, bool square) {
  const at::Tensor tensor = tensor_argument(value, name, {at::kFloat, at::kDouble});
  if (tensor.dim() < 2 || tensor.numel() == 0)
    fail("ERR_SHAPE", name, ": expected [..., rows, columns], none 0, found ", tensor.sizes());
  if (square && tensor.size(-1) != tensor.size(-2))
    fail("ERR_SHAPE", name, ": expected square matrices, found ", tensor.sizes());
  return tensor;
}

// covariance(control, x, { weights?, labels?, numClasses?, of, ddof }, device): of = "global" [..., d, d], "pooled"
// [d, d] or "classes" [C, d, d], the last two with labels
Napi::Value covariance(const Napi::CallbackInfo& info) {
  RowCovarianceInputs inputs;
  inputs.x = matrices_argument(info[1], "x", false);
  const at::Tensor& x = inputs.x;
  const Napi::Object options = object_argument(info[2], "options");
  inputs.weights = optional_tensor_argument(options.Get("weights"), "weights", {at::kFloat, at::kDouble});
  inputs.ddof = number_argument(options.Get("ddof"), "ddof", 0);
  inputs.of = choice_argument<CovarianceOf>(
      options.Get("of"), "of",
      {{"global", CovarianceOf::all}, {"pooled", CovarianceOf::pooled}, {"classes", CovarianceOf::classes}});
  if (inputs.of != CovarianceOf::all) {
    if (x.dim() != 2) fail("ERR_SHAPE", "x: expected [n, d] with labels, found ", x.sizes());
    inputs.labels = labels_argument(options.Get("labels"), "labels");
    inputs.classes = integer_argument(options.Get("numClasses"), "numClasses", 1, 1 << 24);
    require_pairs(x, inputs.labels);
  }
  const c10::IntArrayRef rows_shape = x.sizes().slice(0, static_cast<size_t>(x.dim() - 1));
  const at::Tensor& weights = inputs.weights;
  if (weights.defined() && weights.sizes() != rows_shape &&
      weights.sizes() != rows_shape.slice(rows_shape.size() - 1)) {
    fail("ERR_SHAPE", "weights: expected ", rows_shape, " or [", x.size(-2), "] as x has rows, found ",
         weights.sizes());
  }
  const c10::Device device = device_argument(info[3], "device");
  return submit(
      info, device, [=](JobContext& job) { return row_covariance(inputs, device, job.poll()); }, tensor_to_js);
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
  return submit(
      info, device, [=](JobContext&) { return checked_pseudoinverse(matrix, rcond, rank, hermitian, device); },
      tensor_to_js);
}

// cholesky(control, matrix, jitter, device): factor and jitter [batch]; jitter = "relative", "ddu" or a number
Napi::Value cholesky(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  using Rule = JitterChoice::Rule;
  JitterChoice jitter;
  if (info[2].IsNumber()) {
    jitter = {Rule::fixed, number_argument(info[2], "jitter", 0)};
  } else {
    jitter.rule = choice_argument<Rule>(info[2], "jitter", {{"relative", Rule::relative}, {"ddu", Rule::ddu}});
  }
  const c10::Device device = device_argument(info[3], "device");
  return submit(
      info, device, [=](JobContext& job) { return cholesky_factors(matrix, jitter, device, job.poll()); },
      named_tensors_to_js);
}

// logdet(control, matrix, device): sign and log |det|, [batch] each
Napi::Value logdet(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const c10::Device device = device_argument(info[2], "device");
  return submit(
      info, device, [=](JobContext& job) { return log_determinants(matrix, device, job.poll()); }, named_tensors_to_js);
}

// eigh(control, matrix, device): values [..., n] ascending, vectors [..., n, n] in columns
Napi::Value eigh(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", true);
  const c10::Device device = device_argument(info[2], "device");
  return submit(
      info, device, [=](JobContext&) { return symmetric_eigen(matrix, device); }, named_tensors_to_js);
}

// svdvals(control, matrix, device): [..., min(m, n)] descending
Napi::Value svdvals(const Napi::CallbackInfo& info) {
  const at::Tensor matrix = matrices_argument(info[1], "matrix", false);
  const c10::Device device = device_argument(info[2], "device");
  return submit(
      info, device, [=](JobContext&) { return matrix_singular_values(matrix, device); }, tensor_to_js);
}

}  // namespace

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
