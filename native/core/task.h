// A job as a function with loops: a coroutine that gives way between steps, so that other jobs get their turns.
//
//   Task<at::Tensor> row_sums(at::Tensor rows) {
//     at::Tensor sums = at::empty({rows.size(0)}, rows.options());
//     for (int64_t start = 0; start < rows.size(0); start += 1024) {
//       if (start > 0) co_await next_turn;
//       ...
//     }
//     co_return sums;
//   }
//
// Parameters are taken by value: whatever the caller had is gone by the second step. Each step begins without gradients,
// and what it leaves of the thread's gradient mode is undone: a guard that lives across a turn would be felt by other
// jobs on the same thread, and must not be relied on. A task that is destroyed between two steps
// destroys what it holds, as a function does that throws.
#pragma once

#include <ATen/core/grad_mode.h>

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace ood {

// co_await next_turn: the step ends here.
inline constexpr std::suspend_always next_turn{};

template <class Result = void>
class [[nodiscard]] Task {
 public:
  struct promise_type;  // NOLINT(readability-identifier-naming): the language's name
  using Handle = std::coroutine_handle<promise_type>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs to the next turn; true when that was the last step. Throws what the function throws, and is over then.
  bool step() {
    const at::NoGradGuard no_grad;
    handle_.resume();
    if (handle_.promise().exception) std::rethrow_exception(handle_.promise().exception);
    return handle_.done();
  }

  // Of a task that is over.
  Result result() {
    if constexpr (!std::is_void_v<Result>) return std::move(*handle_.promise().value);
  }

 private:
  explicit Task(Handle handle) : handle_(handle) {}
  Handle handle_;
};

namespace detail {

template <class Result>
struct TaskValue {
  std::optional<Result> value;
  void return_value(Result result) { value.emplace(std::move(result)); }
};

template <>
struct TaskValue<void> {
  void return_void() {}
};

}  // namespace detail

template <class Result>
struct Task<Result>::promise_type : detail::TaskValue<Result> {
  std::exception_ptr exception;
  Task get_return_object() { return Task(Handle::from_promise(*this)); }
  std::suspend_always initial_suspend() noexcept { return {}; }
  std::suspend_always final_suspend() noexcept { return {}; }
  void unhandled_exception() { exception = std::current_exception(); }
};

// Runs a task from its first step to its last, for callers without other jobs.
template <class Result>
Result run_to_end(Task<Result> task) {
  while (!task.step()) {
  }
  return task.result();
}

}  // namespace ood
