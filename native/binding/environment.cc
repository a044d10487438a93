// State per JavaScript environment, and the mailbox that reaches it from compute threads.
#include "binding/environment.h"

#include <utility>
#include <vector>

#include "binding/job.h"
#include "runtime/executor.h"

namespace ood {

namespace {

// The environments of this thread: one, but for test runners, which load the addon once per test file.
thread_local std::vector<Environment*> environments;

// process.exit() runs no cleanup hooks, so that the process's own event has to serve. First in line: another listener
// may call process.exit() again, which runs no further ones.
void end_with_process(Napi::Env env) {
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto prepend = process.Get("prependListener").As<Napi::Function>();
  prepend.Call(process, {Napi::String::New(env, "exit"), Napi::Function::New(env, [](const Napi::CallbackInfo&) {
                           for (Environment* environment : environments) environment->end();
                         })});
}

}  // namespace

Mailbox::Mailbox(Napi::Env env) {
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "libtorch-ood"), 0, 1, nullptr,
                                      nullptr, nullptr, &Mailbox::deliver, &function_);
  if (status != napi_ok) throw Napi::Error::New(env, "cannot create a thread-safe function");
  napi_unref_threadsafe_function(env, function_);
}

void Mailbox::post(Message message) {
  auto boxed = std::make_unique<Message>(std::move(message));
  const std::lock_guard lock(mutex_);
  if (closed_ || Executor::stopping()) return;
  if (napi_call_threadsafe_function(function_, boxed.get(), napi_tsfn_nonblocking) == napi_ok) {
    static_cast<void>(boxed.release());  // deliver owns it now
  }
}

void Mailbox::keep_alive(Napi::Env env, bool alive) {
  if (alive) {
    napi_ref_threadsafe_function(env, function_);
  } else {
    napi_unref_threadsafe_function(env, function_);
  }
}

void Mailbox::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void Mailbox::deliver(napi_env env, napi_value, void*, void* data) {
  const std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (env == nullptr) return;  // torn down with the message still queued
  try {
    (*message)(Napi::Env(env), Environment::of(Napi::Env(env)));
  } catch (...) {
    // Only a worker that is being terminated refuses the calls of a delivery; nobody is left to tell.
  }
}

void Environment::attach(Napi::Env env) {
  auto environment = std::make_unique<Environment>(env);
  if (environments.empty()) end_with_process(env);
  environments.push_back(environment.get());
  // Registered after the thread-safe function's own hook and therefore run before it: from here on compute threads
  // no longer touch that function.
  napi_add_env_cleanup_hook(
      env,
      [](void* data) {
        auto* self = static_cast<Environment*>(data);
        self->end();
        std::erase(environments, self);
      },
      environment.get());
  env.SetInstanceData(environment.release());
}

Environment& Environment::of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

Environment::Environment(Napi::Env env) : mailbox_(std::make_shared<Mailbox>(env)) {}

Environment::~Environment() = default;

uint64_t Environment::add(Napi::Env env, PendingCall call) {
  const uint64_t id = next_call_++;
  calls_.emplace(id, std::move(call));
  if (calls_.size() - held_ == 1) mailbox_->keep_alive(env, true);
  return id;
}

PendingCall* Environment::find(uint64_t call) {
  const auto found = calls_.find(call);
  return found == calls_.end() ? nullptr : &found->second;
}

void Environment::remove(Napi::Env env, uint64_t call) {
  set_held(env, call, false);
  if (calls_.erase(call) > 0 && calls_.size() == held_) mailbox_->keep_alive(env, false);
}

void Environment::set_held(Napi::Env env, uint64_t call, bool held) {
  PendingCall* const pending = find(call);
  if (pending == nullptr || pending->held == held) return;
  const bool kept_alive = calls_.size() > held_;
  pending->held = held;
  held_ = held ? held_ + 1 : held_ - 1;
  if (const bool keep = calls_.size() > held_; keep != kept_alive) mailbox_->keep_alive(env, keep);
}

void Environment::end() noexcept {
  ended_ = true;
  mailbox_->close();
  for (const auto& [id, call] : calls_) call.flag->cancelled.store(true);
  for (const auto& [id, call] : calls_) {
    if (const std::shared_ptr<Job> job = call.flag->job.lock()) Executor::of(call.flag->device).drain(job);
  }
}

}  // namespace ood
