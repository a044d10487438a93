// How a native call becomes a promise: the work runs on a compute thread, as a plain function or as a Task that gives
// way between steps; the result is converted on the JavaScript thread. The pattern of a binding, in full:
//
//   Napi::Value pinv(const Napi::CallbackInfo& info) {  // registered by exports.Set("pinv", function<pinv>(env,
//   "pinv"))
//     const at::Tensor matrix = tensor_argument(info[1], "matrix", {at::kFloat, at::kDouble}, 2);  // JavaScript thread
//     const c10::Device device = device_argument(info[2], "device");
//     return submit(
//         info, device,
//         [=](JobContext&) { return pseudoinverse(matrix, device); },                 // compute thread
//         [](Napi::Env env, at::Tensor& result) { return Tensor::wrap(env, result); });  // JavaScript thread
//   }
//
// info[0] of every such call is a JobControl (or undefined). Nothing that `compute` captures may be a JavaScript value.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <c10/core/Device.h>

#include "binding/js_errors.h"
#include "core/poll.h"
#include "core/task.h"

namespace ood {

class Job;
class Mailbox;

// Shared by the JavaScript object JobControl, which sets it, and the compute thread, which polls it.
struct CancelFlag {
  std::atomic<bool> cancelled{false};
  // Set before the job is submitted: its call, its job, so that one which waits for its turn can be ended at once, and
  // where it runs.
  uint64_t call = 0;
  std::weak_ptr<Job> job;
  c10::Device device{c10::kCPU};
};

// The compute thread's view of its call: cancellation, and events for the caller's callback.
class JobContext {
 public:
  JobContext(std::shared_ptr<CancelFlag> flag, std::shared_ptr<Mailbox> mailbox, uint64_t call)
      : flag_(std::move(flag)), mailbox_(std::move(mailbox)), call_(call) {}

  // Throws ERR_ABORTED when the caller has cancelled or the process is exiting. Cheap: poll it often.
  void check() const;

  // The same for code that knows nothing of jobs; it may outlive this object.
  Poll poll() const {
    return [job = *this] { job.check(); };
  }

  // Calls the call's event callback with what `make` returns, on the JavaScript thread, some time later.
  void post(std::function<Napi::Value(Napi::Env)> make) const;

  // As post, and the job takes no further step until JavaScript calls JobControl.resume(); others do. Meanwhile it does
  // not keep the process alive: where nothing else does, nothing is left that could resume it.
  void post_and_hold(std::function<Napi::Value(Napi::Env)> make) const;

 private:
  std::shared_ptr<CancelFlag> flag_;
  std::shared_ptr<Mailbox> mailbox_;
  uint64_t call_;
};

using Step = std::function<bool(JobContext&)>;         // one step on the compute thread; true when done
using Finish = std::function<Napi::Value(Napi::Env)>;  // converts the result on the JavaScript thread

// Submits a job of many steps. `control`, `on_event` and `pinned` may be undefined. Returns the promise.
Napi::Value submit_steps(Napi::Env env, c10::Device device, const Napi::Value& control, const Napi::Value& on_event,
                         Step step, Finish finish, const Napi::Value& pinned = {});

// What a call computes: its own result, or that of the Task that it returns.
template <class Returned>
struct ResultOf {
  using Type = Returned;
};
template <class Result>
struct ResultOf<Task<Result>> {
  using Type = Result;
};

// A call's computation as steps, and where its result is put. `compute` is called by the first step, so that what it
// makes on a device is made, and freed, on the compute thread.
template <class Compute>
class Steps {
  using Returned = std::invoke_result_t<Compute&, JobContext&>;
  using Result = typename ResultOf<Returned>::Type;
  static constexpr bool is_task = !std::is_same_v<Returned, Result>;

 public:
  using Value = std::conditional_t<std::is_void_v<Result>, std::monostate, Result>;

  explicit Steps(Compute compute) : compute_(std::move(compute)) {}

  std::shared_ptr<std::optional<Value>> outcome() const { return outcome_; }

  bool operator()(JobContext& job) {
    if constexpr (!is_task) {
      if constexpr (std::is_void_v<Result>) {
        compute_(job);
        outcome_->emplace();
      } else {
        outcome_->emplace(compute_(job));
      }
      return true;
    } else {
      if (!task_) task_ = std::make_shared<Returned>(compute_(job));
      if (!task_->step()) return false;
      if constexpr (std::is_void_v<Result>) {
        outcome_->emplace();
      } else {
        outcome_->emplace(task_->result());
      }
      return true;
    }
  }

 private:
  Compute compute_;
  std::shared_ptr<std::conditional_t<is_task, Returned, std::monostate>> task_;
  std::shared_ptr<std::optional<Value>> outcome_ = std::make_shared<std::optional<Value>>();
};

// Submits `compute`, whose result `convert` makes into a JavaScript value; info[0] is the JobControl. The memory of the
// typed arrays in the array `pinned` stays until the job is over; it must be lib/'s own, for a caller could transfer or
// shrink theirs meanwhile.
template <class Compute, class Convert>
Napi::Value submit(const Napi::CallbackInfo& info, c10::Device device, Compute compute, Convert convert,
                   const Napi::Value& on_event = {}, const Napi::Value& pinned = {}) {
  Steps<Compute> steps(std::move(compute));
  return submit_steps(
      info.Env(), device, info[0], on_event, steps,
      [outcome = steps.outcome(), convert = std::move(convert)](Napi::Env env) mutable -> Napi::Value {
        return convert(env, **outcome);
      },
      pinned);
}

// For a call that resolves to undefined.
inline constexpr auto nothing = [](Napi::Env env, std::monostate) -> Napi::Value { return env.Undefined(); };

// A JavaScript function over a C++ one whose exceptions become coded JavaScript errors.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Function function(Napi::Env env, const char* name) {
  return Napi::Function::New(
      env, [](const Napi::CallbackInfo& info) { return guarded(info.Env(), [&] { return body(info); }); }, name);
}

// Base of every native class: methods whose C++ exceptions become coded JavaScript errors.
template <class T>
class Wrapped : public Napi::ObjectWrap<T> {
 protected:
  using Napi::ObjectWrap<T>::ObjectWrap;

  template <Napi::Value (T::*body)(const Napi::CallbackInfo&)>
  Napi::Value guarded_method(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (static_cast<T*>(this)->*body)(info); });
  }

  template <Napi::Value (T::*body)(const Napi::CallbackInfo&)>
  static Napi::ClassPropertyDescriptor<T> method(const char* name) {
    return Napi::ObjectWrap<T>::InstanceMethod(
        name, static_cast<Napi::Value (T::*)(const Napi::CallbackInfo&)>(&Wrapped<T>::template guarded_method<body>));
  }

  template <Napi::Value (T::*body)(const Napi::CallbackInfo&)>
  static Napi::ClassPropertyDescriptor<T> getter(const char* name) {
    return Napi::ObjectWrap<T>::InstanceAccessor(
        name, static_cast<Napi::Value (T::*)(const Napi::CallbackInfo&)>(&Wrapped<T>::template guarded_method<body>),
        nullptr);
  }
};

// Defines the class JobControl { cancel(), resume() } on `exports`.
void define_job_control(Napi::Env env, Napi::Object exports);

}  // namespace ood
