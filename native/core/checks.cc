// Checks of what only the data can tell.
#include "core/checks.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/errors.h"

namespace ood {

void require_finite(const at::Tensor& tensor, const char* name) {
  if (!tensor.is_floating_point() || tensor.numel() == 0) return;
  // A finite sum has neither NaN nor infinity among its terms, which one pass tells; an infinite one may have
  // overflowed.
  if (std::isfinite(tensor.sum().item<double>())) return;
  const at::Tensor bad =
      at::isfinite(tensor).logical_not().reshape({tensor.dim() > 0 ? tensor.size(0) : 1, -1}).any(1).nonzero();
  if (bad.size(0) == 0) return;
  fail("ERR_NON_FINITE", name, ": expected finite numbers, found NaN or infinity in row ", bad[0].item<int64_t>());
}

void require_labels(const at::Tensor& labels, int64_t classes, const char* name) {
  if (labels.numel() == 0) return;
  const at::Tensor bad = labels.lt(0).logical_or(labels.ge(classes));
  if (!bad.any().item<bool>()) return;
  const int64_t row = bad.nonzero()[0].item<int64_t>();
  fail("ERR_RANGE", name, ": expected labels 0 to ", classes - 1, ", found ", labels[row].item<int64_t>(), " at index ",
       row);
}

void require_rows(const at::Tensor& features) {
  if (features.numel() == 0)
    fail("ERR_SHAPE", "features: expected at least one row and one column, found ", features.sizes());
}

void require_pairs(const at::Tensor& features, const at::Tensor& labels) {
  require_rows(features);
  if (labels.size(0) != features.size(0))
    fail("ERR_SHAPE", "labels: expected ", features.size(0), " as features has rows, found ", labels.size(0));
}

}  // namespace ood
