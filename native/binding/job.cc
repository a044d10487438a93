// Cooperative jobs behind promises.
#include "binding/job.h"

#include <string>

#include "binding/environment.h"
#include "core/errors.h"
#include "runtime/executor.h"

namespace ood {

namespace {

class JobControl : public Wrapped<JobControl> {
 public:
  static constexpr napi_type_tag type_tag{0x6c6962746f726368, 0x6a6f62636f6e7472};

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "JobControl",
                       {method<&JobControl::cancel>("cancel"), method<&JobControl::resume>("resume")});
  }

  explicit JobControl(const Napi::CallbackInfo& info) : Wrapped(info), flag_(std::make_shared<CancelFlag>()) {
    info.This().As<Napi::Object>().TypeTag(&type_tag);
  }

  const std::shared_ptr<CancelFlag>& flag() const { return flag_; }

  Napi::Value cancel(const Napi::CallbackInfo& info) {
    flag_->cancelled.store(true);
    Environment::of(info.Env()).set_held(info.Env(), flag_->call, false);
    // A job that waits behind the steps of others need not wait to learn it.
    if (const std::shared_ptr<Job> job = flag_->job.lock()) Executor::of(flag_->device).cancel_queued(job);
    return info.Env().Undefined();
  }

  // Gives a job that holds its next turn; without effect on any other.
  Napi::Value resume(const Napi::CallbackInfo& info) {
    Environment::of(info.Env()).set_held(info.Env(), flag_->call, false);
    if (const std::shared_ptr<Job> job = flag_->job.lock()) Executor::of(flag_->device).resume(job);
    return info.Env().Undefined();
  }

 private:
  std::shared_ptr<CancelFlag> flag_;
};

std::shared_ptr<CancelFlag> flag_of(const Napi::Value& control) {
  if (control.IsUndefined()) return std::make_shared<CancelFlag>();
  if (!control.IsObject() || !control.As<Napi::Object>().CheckTypeTag(&JobControl::type_tag)) {
    fail("ERR_OPTION", "control: expected a JobControl");
  }
  return JobControl::Unwrap(control.As<Napi::Object>())->flag();
}

class CooperativeJob final : public Job {
 public:
  CooperativeJob(std::shared_ptr<CancelFlag> flag, std::shared_ptr<Mailbox> mailbox, uint64_t call, Step step,
                 Finish finish)
      : mailbox_(mailbox),
        call_(call),
        context_(std::move(flag), std::move(mailbox), call),
        step_(std::move(step)),
        finish_(std::move(finish)) {}

  bool step() noexcept override {
    std::exception_ptr exception;
    try {
      context_.check();
      if (!step_(context_)) {
        context_.check();  // a cancellation after the step's last poll must not wait for the steps of others
        return false;
      }
    } catch (...) {
      exception = std::current_exception();
    }
    step_ = nullptr;  // frees what the steps held, on the compute thread where that is device memory
    try {
      settle(exception);
    } catch (...) {
      // Only memory exhausted by a few hundred bytes can bring us here; the call then stays pending.
    }
    return true;
  }

 private:
  void settle(const std::exception_ptr& exception) {
    mailbox_->post([call = call_, exception, finish = std::move(finish_)](Napi::Env env, Environment& environment) {
      PendingCall* pending = environment.find(call);
      if (pending == nullptr) return;
      const Napi::Promise::Deferred deferred = pending->deferred;
      environment.remove(env, call);
      try {
        if (exception) {
          deferred.Reject(to_js_error(env, exception).Value());
        } else {
          deferred.Resolve(finish(env));
        }
      } catch (const Napi::Error& error) {
        deferred.Reject(error.Value());
      } catch (...) {
        deferred.Reject(to_js_error(env, std::current_exception()).Value());
      }
    });
  }

  std::shared_ptr<Mailbox> mailbox_;
  uint64_t call_;
  JobContext context_;
  Step step_;
  Finish finish_;
};

}  // namespace

void JobContext::check() const {
  if (flag_->cancelled.load(std::memory_order_relaxed) || Executor::stopping())
    fail("ERR_ABORTED", "the operation was aborted");
}

void JobContext::post(std::function<Napi::Value(Napi::Env)> make) const {
  mailbox_->post([call = call_, make = std::move(make)](Napi::Env env, Environment& environment) {
    PendingCall* pending = environment.find(call);
    if (pending == nullptr || pending->on_event.IsEmpty()) return;
    pending->on_event.Call({make(env)});
  });
}

void JobContext::post_and_hold(std::function<Napi::Value(Napi::Env)> make) const {
  const std::shared_ptr<Job> job = flag_->job.lock();
  Executor::of(flag_->device).hold(job);  // first: the answer may come before the step ends
  mailbox_->post([call = call_, flag = flag_, make = std::move(make)](Napi::Env env, Environment& environment) {
    PendingCall* pending = environment.find(call);
    if (pending == nullptr) return;
    try {
      if (pending->on_event.IsEmpty()) fail("ERR_OPTION", "onEvent: expected a function");
      const Napi::Value event = make(env);
      environment.set_held(env, call, true);
      pending->on_event.Call({event});
    } catch (...) {
      // Nobody has heard of the event who could resume the job.
      environment.set_held(env, call, false);
      if (const std::shared_ptr<Job> held = flag->job.lock()) Executor::of(flag->device).resume(held);
      throw;
    }
  });
}

Napi::Value submit_steps(Napi::Env env, c10::Device device, const Napi::Value& control, const Napi::Value& on_event,
                         Step step, Finish finish, const Napi::Value& pinned) {
  Environment& environment = Environment::of(env);
  Executor& executor = Executor::of(device);  // may throw: before anything is pending
  std::shared_ptr<CancelFlag> flag = flag_of(control);
  if (environment.ended()) fail("ERR_ABORTED", "the process or worker is exiting");
  PendingCall pending{Napi::Promise::Deferred::New(env), {}, flag, false, {}};
  if (on_event.IsFunction()) pending.on_event = Napi::Persistent(on_event.As<Napi::Function>());
  if (pinned.IsObject()) pending.pinned = Napi::Persistent(pinned.As<Napi::Object>());
  const Napi::Promise promise = pending.deferred.Promise();
  const uint64_t call = environment.add(env, std::move(pending));
  auto job = std::make_shared<CooperativeJob>(flag, environment.mailbox(), call, std::move(step), std::move(finish));
  flag->call = call;
  flag->job = job;
  flag->device = device;
  executor.submit(std::move(job));
  return promise;
}

void define_job_control(Napi::Env env, Napi::Object exports) { exports.Set("JobControl", JobControl::define(env)); }

}  // namespace ood
