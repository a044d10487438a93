// Class moments that are fed batches of any size: small ones wait until there are enough of them, since each update
// costs a pass over the scatters.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/task.h"
#include "statistics/class_moments.h"

namespace ood {

// Moments and what has come in since they were last brought up to date; touched on the compute thread only.
class GatheredMoments {
 public:
  GatheredMoments(ClassMoments moments, c10::Device device) : moments_(std::move(moments)), device_(device) {}
  c10::Device device() const { return device_; }
  int64_t classes() const { return classes_; }
  int64_t dim() const { return dim_; }
  int64_t nbytes() const;  // of the moments, and of rows that wait

  // Checks a batch, then keeps it aside (small ones are gathered, since each update costs a pass over the scatters) or
  // cuts it into parts; take() then adds the next ones and says whether those were the last.
  void accept(const at::Tensor& features, const at::Tensor& labels);
  bool take();

  // The moments with every batch in them; ERR_ABORTED where an update was cut short.
  ClassMoments& up_to_date();
  void replace(ClassMoments moments);

 private:
  void cut_pending();

  ClassMoments moments_;
  c10::Device device_;
  int64_t classes_ = moments_.classes();
  int64_t dim_ = moments_.dim();
  std::vector<std::pair<at::Tensor, at::Tensor>> pending_;
  int64_t pending_rows_ = 0;
  at::Tensor features_;  // what the parts index
  std::vector<ClassMoments::Part> parts_;
  size_t next_part_ = 0;
};

// Adds a batch, features [n, d] with labels [n] (int64, host), one part per step.
Task<> update_moments(std::shared_ptr<GatheredMoments> moments, at::Tensor features, at::Tensor labels);

// Adds what `other` holds; the two may be one.
void merge_moments(GatheredMoments& moments, GatheredMoments& other);

// The covariance, float64 [d, d] in host memory, of one class (of = its label), pooled over the classes (divisor
// N − ddof·C) or of all rows regardless of class (N − ddof).
constexpr int64_t pooled_classes = -1, all_rows = -2;
at::Tensor covariance_of(const ClassMoments& moments, int64_t of, int64_t ddof);

}  // namespace ood
