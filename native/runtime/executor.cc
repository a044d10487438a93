// The compute threads, and the exit guard that stops and joins them.
#include "runtime/executor.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "platform/symbol_versions.h"
#include "runtime/host_memory.h"

namespace ood {

namespace {

std::atomic<bool> exiting{false};

// After so long without a job a compute thread gives the memory that it keeps back to the system: longer than a program
// takes between calls that it makes one after the other.
constexpr auto idle_time = std::chrono::seconds(5);

// Leaked on purpose: destroyed at no moment, so that no thread can find it gone. stop_all joins the threads.
struct Registry {
  std::mutex mutex;
  std::map<std::pair<c10::DeviceType, c10::DeviceIndex>, std::unique_ptr<Executor>> executors;
};

Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

}  // namespace

bool Executor::stopping() noexcept { return exiting.load(std::memory_order_relaxed); }

Executor& Executor::of(c10::Device device) {
  // Registered after libtorch is loaded, hence run before the exit handlers that it registered while loading: a thread
  // that still computes while those run would abort the process. Those that libtorch registers later, with what it
  // makes on first use (oneDNN's cache of kernels is one), run earlier: see Environment::end, by which nothing computes
  // any more.
  static const int registered = std::atexit(&Executor::stop_all);
  (void)registered;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const std::pair key{device.type(), device.has_index() ? device.index() : c10::DeviceIndex(0)};
  const auto found = all.executors.find(key);
  if (found != all.executors.end()) return *found->second;
  // Made before it gets a place: stop_all would find an empty one where the thread cannot be started.
  std::unique_ptr<Executor> made(new Executor(device));
  return *all.executors.emplace(key, std::move(made)).first->second;
}

void Executor::stop_all() {
  exiting.store(true);
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  for (auto& [key, executor] : all.executors) {
    { const std::lock_guard inner(executor->mutex_); }
    executor->wake_.notify_all();
  }
  for (auto& [key, executor] : all.executors) {
    if (executor->thread_.joinable()) executor->thread_.join();
  }
}

Executor::Executor(c10::Device device) : device_(device) {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    // The words "not enough memory" make it ERR_OUT_OF_MEMORY (errors.cc).
    throw std::runtime_error(std::string("cannot start a thread to compute on: ") + error.what() +
                             ". There is not enough memory for it, or the number of threads is limited (ulimit -v, "
                             "ulimit -u, the limits of a container)");
  }
}

Executor::~Executor() {
  if (thread_.joinable()) thread_.join();
}

void Executor::submit(std::shared_ptr<Job> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Executor::hold(const std::shared_ptr<Job>& job) {
  const std::lock_guard lock(mutex_);
  job->held_ = true;
}

void Executor::resume(const std::shared_ptr<Job>& job) {
  {
    const std::lock_guard lock(mutex_);
    job->held_ = false;
    if (std::erase(held_, job) == 0) return;  // the step that holds it has not ended yet, or the job is over
    jobs_.push_back(job);
  }
  wake_.notify_one();
}

void Executor::cancel_queued(const std::shared_ptr<Job>& job) {
  {
    const std::lock_guard lock(mutex_);
    if (!withdraw(job)) return;
  }
  end(job);
}

void Executor::drain(const std::shared_ptr<Job>& job) {
  {
    std::unique_lock lock(mutex_);
    stepped_.wait(lock, [&] { return running_ != job.get(); });
    if (!withdraw(job)) return;  // under the same lock: else the job's next step could begin in between
  }
  end(job);
}

bool Executor::withdraw(const std::shared_ptr<Job>& job) {
  job->held_ = false;
  return std::erase(jobs_, job) + std::erase(held_, job) > 0;
}

void Executor::end(const std::shared_ptr<Job>& job) {
  if (device_.is_cpu()) {
    job->step();
  } else {
    release([job] { job->step(); });  // frees device memory
  }
}

void Executor::release(std::function<void()> release) {
  {
    const std::lock_guard lock(mutex_);
    releases_.push_back(std::move(release));
  }
  wake_.notify_one();
}

void Executor::run() {
  at::init_num_threads();
  at::AutoGradMode no_grad(false);  // thread-local; training turns it on inside its own steps
  const KeepHostBlocks keep;
  for (;;) {
    std::shared_ptr<Job> job;
    std::deque<std::function<void()>> releases;
    {
      std::unique_lock lock(mutex_);
      const auto woken = [this] { return stopping() || !jobs_.empty() || !releases_.empty(); };
      // By the wall clock, since to wait by the steady one takes glibc 2.30; a jump of it only moves the moment.
      if (!wake_.wait_until(lock, std::chrono::system_clock::now() + idle_time, woken)) {
        lock.unlock();
        release_host_blocks();
        lock.lock();
        wake_.wait(lock, woken);
      }
      if (stopping()) return;
      releases.swap(releases_);
      if (!jobs_.empty()) {
        job = std::move(jobs_.front());
        jobs_.pop_front();
        running_ = job.get();
      }
    }
    for (auto& release : releases) release();
    releases.clear();
    if (!job) continue;
    const bool finished = job->step();
    {
      const std::lock_guard lock(mutex_);
      running_ = nullptr;
      if (!finished) {
        if (job->held_) {
          held_.push_back(std::move(job));
        } else {
          jobs_.push_back(std::move(job));
        }
      }
    }
    stepped_.notify_all();
  }
}

}  // namespace ood
