// Base of the native classes whose object is one state on a device: it hands the state to jobs, tells JavaScript's
// collector how much host memory the state keeps, and gives it back.
#pragma once

#include <napi.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "binding/arguments.h"
#include "binding/job.h"
#include "core/errors.h"
#include "runtime/executor.h"

namespace ood {

// State: with device() and nbytes(); written by one job, read by later ones, on the compute thread.
template <class T, class State>
class Holder : public Wrapped<T> {
 protected:
  // info[0] is the device; `name` is what errors call the object.
  Holder(const Napi::CallbackInfo& info, const char* name)
      : Holder(info, name, [&info] { return std::make_shared<State>(device_argument(info[0], "device")); }) {}

  // `make` gives the state from further arguments.
  template <class Make>
  Holder(const Napi::CallbackInfo& info, const char* name, Make make) : Wrapped<T>(info), name_(name) {
    guarded(info.Env(), [&] { hold(info.Env(), make()); });
  }
  // For an object that is given its state by hold().
  Holder(const Napi::CallbackInfo& info, const char* name, std::nullptr_t) : Wrapped<T>(info), name_(name) {}
  ~Holder() override { release(this->Env()); }

  // The state of another object, which tells of its memory.
  void share(std::shared_ptr<State> state) {
    shared_ = std::move(state);
    account_->open = false;
  }

  void hold(Napi::Env env, std::shared_ptr<State> state) {
    shared_ = std::move(state);
    account_->count(*shared_);
    account_->report(env);
  }

  // The state; ERR_DISPOSED after dispose().
  const std::shared_ptr<State>& live() const {
    if (!shared_) fail("ERR_DISPOSED", name_, ": it has been disposed");
    return shared_;
  }

  // As submit, for a job after which the state may keep more or less memory than before.
  template <class Compute, class Convert>
  Napi::Value submit_keeping(const Napi::CallbackInfo& info, Compute compute, Convert convert) {
    const std::shared_ptr<State>& shared = live();
    Steps<Compute> steps(std::move(compute));
    return submit_steps(
        info.Env(), shared->device(), info[0], {},
        [shared, account = account_, steps](JobContext& job) mutable {
          if (!steps(job)) return false;
          account->count(*shared);
          return true;
        },
        [outcome = steps.outcome(), account = account_,
         convert = std::move(convert)](Napi::Env env) mutable -> Napi::Value {
          account->report(env);
          return convert(env, **outcome);
        });
  }

  static Napi::ClassPropertyDescriptor<T> dispose_method() {
    using Method = Napi::Value (T::*)(const Napi::CallbackInfo&);
    return Napi::ObjectWrap<T>::InstanceMethod("dispose", static_cast<Method>(&Holder::dispose));
  }

 private:
  // A job may end after the object has been disposed or collected, so what it reports to outlives the object.
  struct Account {
    std::atomic<int64_t> kept{0};  // set by jobs
    int64_t reported = 0;          // JavaScript thread only, as is all below
    bool open = true;

    void count(const State& state) { kept = state.device().is_cpu() ? state.nbytes() : 0; }
    void report(Napi::Env env) {
      if (!open) return;
      const int64_t now = kept;
      if (now != reported) Napi::MemoryManagement::AdjustExternalMemory(env, now - reported);
      reported = now;
    }
    void close(Napi::Env env) {
      kept = 0;
      report(env);
      open = false;
    }
  };

  Napi::Value dispose(const Napi::CallbackInfo& info) {
    release(info.Env());
    return info.Env().Undefined();
  }

  void release(Napi::Env env) {
    account_->close(env);
    release_on(shared_);
  }

  const char* name_;
  std::shared_ptr<State> shared_;
  std::shared_ptr<Account> account_ = std::make_shared<Account>();
};

}  // namespace ood
