// State per JavaScript environment (main thread or worker): constructors, pending calls, and the mailbox through which
// compute threads reach it. Nothing here is static; process-wide state lives in executor.cc alone.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace ood {

class Environment;
struct CancelFlag;

// Carries messages from any thread to one environment's JavaScript thread, until that environment is torn down.
class Mailbox {
 public:
  using Message = std::function<void(Napi::Env, Environment&)>;

  explicit Mailbox(Napi::Env env);

  // From any thread. Dropped once the environment is gone or the process is exiting.
  void post(Message message);

  // JavaScript thread only: whether what is pending keeps the process alive.
  void keep_alive(Napi::Env env, bool alive);

  // JavaScript thread only, at tear-down: no message is delivered afterwards.
  void close();

 private:
  static void deliver(napi_env env, napi_value callback, void* context, void* message);

  std::mutex mutex_;
  bool closed_ = false;
  napi_threadsafe_function function_ = nullptr;
};

// A promise that a compute thread will settle; lives on the JavaScript thread.
struct PendingCall {
  Napi::Promise::Deferred deferred;
  Napi::FunctionReference on_event;
  std::shared_ptr<CancelFlag> flag;
  bool held;                     // waits for JavaScript, not for a compute thread
  Napi::ObjectReference pinned;  // an array of typed arrays whose memory the job reads or writes
};

class Environment {
 public:
  static void attach(Napi::Env env);
  static Environment& of(Napi::Env env);

  explicit Environment(Napi::Env env);
  ~Environment();

  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }

  uint64_t add(Napi::Env env, PendingCall call);
  PendingCall* find(uint64_t call);
  void remove(Napi::Env env, uint64_t call);

  // A call that is held does not keep the process alive.
  void set_held(Napi::Env env, uint64_t call, bool held);

  // Cancels every call in flight and waits until none computes any more. At the end of the environment, or, before exit
  // handlers run, of the process; idempotent.
  void end() noexcept;
  bool ended() const { return ended_; }

  Napi::FunctionReference tensor_constructor;
  Napi::FunctionReference resnet_constructor;
  Napi::FunctionReference extractor_constructor;
  Napi::FunctionReference torchscript_constructor;

 private:
  std::shared_ptr<Mailbox> mailbox_;
  std::unordered_map<uint64_t, PendingCall> calls_;
  size_t held_ = 0;  // of them
  uint64_t next_call_ = 1;
  bool ended_ = false;
};

}  // namespace ood
