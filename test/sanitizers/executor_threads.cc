// The executor under ThreadSanitizer: native/runtime/executor.cc itself, with stand-ins for the little of libtorch that it
// includes. Threads submit jobs, abort, hold, resume, drain and release all at once, and the process ends while others
// still do.
//
//   executor_threads settle SEED    every job ends exactly once; prints how many took which way
//   executor_threads drain SEED     a job that has been drained steps no more, whatever the moment
//   executor_threads exit SEED      main returns while jobs run and threads wait; no job steps after the exit handlers
//   executor_threads idle SEED      the compute thread gives memory back after its idle time, and computes again
//   executor_threads race SEED      a race on purpose: shows that the sanitizer is at work
//
// What a job keeps has no lock and no atomics on purpose: two threads in one job, or a step that does not see what the
// step before wrote, is a race that the sanitizer reports.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "runtime/host_memory.h"

#include "runtime/executor.h"

namespace ood {

namespace {
std::atomic<int> released_blocks{0};
}  // namespace

KeepHostBlocks::KeepHostBlocks() = default;
KeepHostBlocks::~KeepHostBlocks() = default;
void release_host_blocks() noexcept { ++released_blocks; }

}  // namespace ood

namespace {

using ood::Executor;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "executor_threads: %s\n", what);
  std::_Exit(2);
}

// As native/binding/job.cc does it: a flag that any thread sets, and a step that looks at it before and after its work.
class CountingJob final : public ood::Job {
 public:
  CountingJob(int steps, int hold_at) : steps_(steps), hold_at_(hold_at) {}

  // Before it is submitted.
  void runs_on(Executor& executor, const std::shared_ptr<CountingJob>& self) {
    executor_ = &executor;
    self_ = self;
  }

  void cancel() { cancelled_.store(true); }
  bool finished() const { return finished_.load(); }
  bool holds() const { return holds_.load(); }

  bool step() noexcept override {
    if (ended_) fail("a step after the end of a job");
    for (int k = 0; k < 200; ++k) work_ = work_ * 6364136223846793005U + 1;  // some microseconds
    ++taken_;
    if (taken_ == hold_at_) {
      executor_->hold(self_.lock());
      holds_.store(true);
    }
    if (taken_ < steps_ && !cancelled_.load() && !Executor::stopping()) return false;
    ended_ = true;
    finished_.store(true);
    return true;
  }

 private:
  const int steps_;
  const int hold_at_;
  Executor* executor_ = nullptr;
  std::weak_ptr<CountingJob> self_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> finished_{false};
  std::atomic<bool> holds_{false};
  uint64_t work_ = 1;  // these three have no protection but the executor's
  int taken_ = 0;
  bool ended_ = false;
};

const c10::Device devices[] = {c10::kCPU, c10::Device(c10::kCUDA, 0)};

std::shared_ptr<CountingJob> submitted(Executor& executor, int steps, int hold_at) {
  auto job = std::make_shared<CountingJob>(steps, hold_at);
  job->runs_on(executor, job);
  executor.submit(job);
  return job;
}

void wait_for(const std::shared_ptr<CountingJob>& job) {
  while (!job->finished()) {
    if (Executor::stopping()) return;
    std::this_thread::yield();
  }
}

struct Tally {
  std::atomic<int> ran{0}, aborted{0}, drained{0}, resumed{0}, released{0}, releases{0};
};

// One thread of JavaScript, of which there may be many.
void submit_many(uint64_t seed, int rounds, Tally& tally) {
  std::mt19937_64 random(seed);
  const auto below = [&random](int bound) { return static_cast<int>(random() % static_cast<uint64_t>(bound)); };
  for (int i = 0; i < rounds && !Executor::stopping(); ++i) {
    Executor& executor = Executor::of(devices[below(2)]);
    const auto pause = [&] {
      for (int k = below(50); k > 0; --k) std::this_thread::yield();
    };
    switch (below(5)) {
      case 0: {
        wait_for(submitted(executor, 1 + below(5), 0));
        ++tally.ran;
        break;
      }
      case 1: {  // an abort, by this thread and another at once
        const auto job = submitted(executor, 1'000'000'000, 0);
        pause();
        job->cancel();
        std::thread other([&] { executor.cancel_queued(job); });
        executor.cancel_queued(job);
        other.join();
        wait_for(job);
        ++tally.aborted;
        break;
      }
      case 2: {  // the end of an environment
        const auto job = submitted(executor, 1'000'000'000, below(2) * 3);
        pause();
        job->cancel();
        executor.drain(job);
        wait_for(job);  // on a CUDA device the compute thread ends it
        ++tally.drained;
        break;
      }
      case 3: {
        // A job that waits for JavaScript; sometimes the answer comes before the step has ended, or an abort instead.
        const auto job = submitted(executor, 6, 3);
        while (!job->holds() && !Executor::stopping()) std::this_thread::yield();
        if (below(2) != 0) pause();
        if (below(4) == 0) {
          job->cancel();
          executor.cancel_queued(job);
        }
        executor.resume(job);
        wait_for(job);
        ++tally.resumed;
        break;
      }
      default: {
        executor.release([&tally] { ++tally.releases; });
        ++tally.released;
      }
    }
  }
}

std::vector<std::thread> threads_that_submit(uint64_t seed, int rounds, Tally& tally) {
  std::vector<std::thread> threads;
  for (uint64_t k = 0; k < 6; ++k) threads.emplace_back([=, &tally] { submit_many(seed * 1000 + k, rounds, tally); });
  return threads;
}

int settle(uint64_t seed) {
  static Tally tally;
  for (std::thread& thread : threads_that_submit(seed, 300, tally)) thread.join();
  while (tally.releases.load() < tally.released.load()) std::this_thread::yield();
  std::printf("{\"ran\": %d, \"aborted\": %d, \"drained\": %d, \"resumed\": %d, \"released\": %d}\n", tally.ran.load(),
              tally.aborted.load(), tally.drained.load(), tally.resumed.load(), tally.released.load());
  return 0;
}

// Long jobs on both devices, and threads that go on submitting until the process stops.
int leave(uint64_t seed) {
  static Tally tally;
  static auto* const threads = new std::vector<std::thread>;  // leaked: destroyed at no moment, as the executor's own
  // Registered before the executor's handler and hence run after it, when the compute threads have ended.
  std::atexit([] {
    for (std::thread& thread : *threads) thread.join();
  });
  *threads = threads_that_submit(seed, 1'000'000'000, tally);
  for (const c10::Device& device : devices) submitted(Executor::of(device), 1'000'000'000, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(1 + seed * 7 % 40));
  return 0;
}

// Jobs on the CPU, whose steps the draining thread takes itself: one that steps elsewhere has not ended when drain
// returns.
int drain(uint64_t seed) {
  std::mt19937_64 random(seed);
  Executor& executor = Executor::of(c10::kCPU);
  const int rounds = 20'000;
  for (int i = 0; i < rounds; ++i) {
    const auto job = submitted(executor, 1'000'000'000, 0);
    for (uint64_t k = random() % 400; k > 0; --k) std::atomic_signal_fence(std::memory_order_seq_cst);
    job->cancel();
    executor.drain(job);
    if (!job->finished()) fail("a job that goes on after it has been drained");
  }
  std::printf("{\"drained\": %d}\n", rounds);
  return 0;
}

int idle() {
  Executor& executor = Executor::of(c10::kCPU);
  wait_for(submitted(executor, 3, 0));
  std::this_thread::sleep_for(std::chrono::milliseconds(5600));
  if (ood::released_blocks.load() != 1) fail("expected one release of memory by an idle compute thread");
  wait_for(submitted(executor, 3, 0));
  return 0;
}

int race() {
  int unprotected = 0;
  std::thread other([&unprotected] { ++unprotected; });
  ++unprotected;
  other.join();
  return unprotected == 2 ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) fail("expected settle, drain, exit, idle or race, and a seed");
  const uint64_t seed = std::strtoull(arguments[2], nullptr, 10);
  if (std::strcmp(arguments[1], "settle") == 0) return settle(seed);
  if (std::strcmp(arguments[1], "drain") == 0) return drain(seed);
  if (std::strcmp(arguments[1], "exit") == 0) return leave(seed);
  if (std::strcmp(arguments[1], "race") == 0) return race();
  return idle();
}
