// Class moments that are fed batches of any size.
#include "statistics/gathered_moments.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "statistics/class_parallel.h"
#include "statistics/covariance.h"

namespace ood {

namespace {

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

}  // namespace

void GatheredMoments::accept(const at::Tensor& features, const at::Tensor& labels) {
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

void GatheredMoments::cut_pending() {
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

bool GatheredMoments::take() {
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

ClassMoments& GatheredMoments::up_to_date() {
  if (!parts_.empty())
    fail("ERR_ABORTED",
         "statistics: an update was aborted or refused half-way, so they are incomplete; make them anew");
  cut_pending();
  while (!take()) {
  }
  return moments_;
}

int64_t GatheredMoments::nbytes() const {
  int64_t bytes = moments_.nbytes() + (features_.defined() ? static_cast<int64_t>(features_.nbytes()) : 0);
  for (const auto& [features, labels] : pending_) bytes += static_cast<int64_t>(features.nbytes() + labels.nbytes());
  return bytes;
}

void GatheredMoments::replace(ClassMoments moments) {
  moments_ = std::move(moments);
  pending_.clear();
  pending_rows_ = 0;
  parts_.clear();
  next_part_ = 0;
}

Task<> update_moments(std::shared_ptr<GatheredMoments> moments, at::Tensor features, at::Tensor labels) {
  moments->accept(features, labels);
  while (!moments->take()) co_await next_turn;
}

void merge_moments(GatheredMoments& moments, GatheredMoments& other) {
  ClassMoments& own = moments.up_to_date();
  if (&moments == &other) {
    const ClassMoments copy = ClassMoments::from_state(own.classes(), own.dim(), own.kind(), own.device(), own.state());
    own.merge(copy);
  } else {
    own.merge(other.up_to_date());
  }
}

at::Tensor covariance_of(const ClassMoments& moments, int64_t of, int64_t ddof) {
  const bool one = of >= 0;
  const int64_t count = one ? moments.counts()[static_cast<size_t>(of)] : moments.total();
  const int64_t divisor = count - ddof * (of == pooled_classes ? static_cast<int64_t>(moments.present().size()) : 1);
  if (divisor <= 0) fail("ERR_SHAPE", "covariance: ", count, " samples are too few for ddof ", ddof);
  if (moments.kind() == ScatterKind::diagonal) {
    if (!one) fail("ERR_OPTION", "covariance: expected statistics with scatter \"full\" or \"pooled\"");
    return at::diag(moments.scatter_diagonals()[of] / static_cast<double>(divisor)).to(at::kCPU);
  }
  if (one && moments.kind() == ScatterKind::pooled) {
    fail("ERR_OPTION", "covariance: a class has one of its own only with scatter \"full\" or \"diagonal\"");
  }
  const at::Tensor scatter = of == all_rows ? global_scatter(moments)
                             : one          ? moments.scatter(of)
                                            : moments.pooled_scatter();
  return within_range(mirror_lower(scatter / static_cast<double>(divisor)), "covariance: an entry").to(at::kCPU);
}

}  // namespace ood
