// The native function of scores that a row's own numbers give.
#include "binding/row_scores.h"

#include <limits>

#include "binding/arguments.h"
#include "binding/job.h"
#include "binding/tensor.h"
#include "core/errors.h"
#include "scores/row_scores.h"

namespace ood {

namespace {

// rowScores(control, matrix, { quantity, temperature, name }): float64 [N]
Napi::Value scores(const Napi::CallbackInfo& info) {
  const Napi::Object object = object_argument(info[2], "options");
  RowScoreOptions options;
  options.name = string_argument(object.Get("name"), "name");
  options.temperature =
      number_argument(object.Get("temperature"), "temperature", std::numeric_limits<double>::denorm_min());
  options.quantity = choice_argument<RowQuantity>(object.Get("quantity"), "quantity",
                                                  {{"max-softmax", RowQuantity::max_softmax},
                                                   {"max-logit", RowQuantity::max_logit},
                                                   {"entropy", RowQuantity::negative_entropy},
                                                   {"energy", RowQuantity::energy},
                                                   {"margin", RowQuantity::margin},
                                                   {"length", RowQuantity::length},
                                                   {"predicted-class", RowQuantity::predicted_class}});
  const at::Tensor matrix = tensor_argument(info[1], options.name.c_str(), {at::kFloat, at::kDouble}, 2);
  if (matrix.size(1) == 0) fail("ERR_SHAPE", options.name, ": expected at least one column, found ", matrix.sizes());
  return submit(
      info, c10::Device(c10::kCPU), [=](JobContext&) { return row_scores(matrix, options); }, tensor_to_js);
}

}  // namespace

void define_row_scores(Napi::Env env, Napi::Object exports) {
  exports.Set("rowScores", function<scores>(env, "rowScores"));
}

}  // namespace ood
