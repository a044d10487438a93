// The native class ClassStatistics: class moments on a device, fed by jobs.
#pragma once

#include <napi.h>

#include <memory>
#include <utility>
#include <vector>

#include "class_moments.h"
#include "holder.h"

namespace ood {

// Features [n, d] of a floating dtype.
at::Tensor features_argument(const Napi::Value& value, const char* name);
// Labels [n] of any integer dtype, as int64.
at::Tensor labels_argument(const Napi::Value& value, const char* name);
// ERR_SHAPE unless there is at least one row with one column, and one label per row.
void require_pairs(const at::Tensor& features, const at::Tensor& labels);
ScatterKind scatter_argument(const Napi::Value& value, const char* name);

// Moments and what has come in since they were last brought up to date; touched on the compute thread only.
class SharedStatistics {
 public:
  SharedStatistics(ClassMoments moments, c10::Device device) : moments_(std::move(moments)), device_(device) {}
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

class ClassStatistics : public Holder<ClassStatistics, SharedStatistics> {
 public:
  static void define(Napi::Env env, Napi::Object exports);
  static std::shared_ptr<SharedStatistics> unwrap(const Napi::Value& value, const char* name);

  // new ClassStatistics(numClasses, featureDim, scatter, device)
  explicit ClassStatistics(const Napi::CallbackInfo& info);

 private:
  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value merge(const Napi::CallbackInfo& info);
  Napi::Value counts(const Napi::CallbackInfo& info);
  Napi::Value means(const Napi::CallbackInfo& info);
  Napi::Value covariance(const Napi::CallbackInfo& info);
  Napi::Value state(const Napi::CallbackInfo& info);
  Napi::Value load_state(const Napi::CallbackInfo& info);
};

}  // namespace ood
