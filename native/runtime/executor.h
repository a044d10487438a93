// The compute threads: one per device and process, each with a queue of cooperative jobs. Never libuv's pool, where
// each thread would get an OpenMP team of its own and a long job would starve file and name look-ups.
#pragma once

#include <c10/core/Device.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace ood {

// A unit of compute that gives way between steps: the executor runs one step of each queued job in turn, so that a
// short job submitted during a long one waits for one step at most.
class Job {
 public:
  virtual ~Job() = default;
  // Runs the next step on the compute thread; true when the job has finished (well or not). Throws nothing.
  virtual bool step() noexcept = 0;

 private:
  friend class Executor;
  bool held_ = false;  // guarded by the executor's mutex
};

class Executor {
 public:
  // The compute thread of a device, started on first use.
  static Executor& of(c10::Device device);

  // True once the process is exiting; long steps poll it (through JobContext::check).
  static bool stopping() noexcept;

  void submit(std::shared_ptr<Job> job);

  // From within a step of the job: it gets no further turn before it is resumed, while the jobs of others go on.
  void hold(const std::shared_ptr<Job>& job);
  void resume(const std::shared_ptr<Job>& job);

  // For a job that has been cancelled: one that waits for its turn, or is held, ends now (on a CPU, in this thread),
  // before the steps of others. One that is running a step sees the cancellation itself.
  void cancel_queued(const std::shared_ptr<Job>& job);

  // As cancel_queued, but waits for a step that is running: afterwards the job computes no more.
  void drain(const std::shared_ptr<Job>& job);

  // Runs `release` on the compute thread, between steps: device memory is freed there, never in a finaliser.
  void release(std::function<void()> release);

  ~Executor();

 private:
  explicit Executor(c10::Device device);
  void run();
  static void stop_all();

  // With the mutex locked: takes the job out of the queue; false where it is not in it.
  bool withdraw(const std::shared_ptr<Job>& job);
  // Has a job that has been withdrawn take its last step.
  void end(const std::shared_ptr<Job>& job);

  const c10::Device device_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable stepped_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::vector<std::shared_ptr<Job>> held_;
  const Job* running_ = nullptr;
  std::deque<std::function<void()>> releases_;
  std::thread thread_;
};

// Drops the reference; where it was the last to device memory, that is freed on the device's compute thread.
template <class T>
void release_on(std::shared_ptr<T>& held) {
  if (held && !held->device().is_cpu()) {
    const c10::Device device = held->device();
    Executor::of(device).release([kept = std::move(held)]() mutable { kept.reset(); });
  }
  held.reset();
}

}  // namespace ood
