// The compute thread: turns, holding, cancelling, draining and the freeing of memory, without Node.
#include "runtime/executor.h"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace ood {

namespace {

// What happened, in order, as letters; waited for from the test's thread. Jobs hold it with the test, which may be over
// before the step that wrote the last letter is.
class Record {
 public:
  void add(char letter) {
    const std::lock_guard lock(mutex_);
    letters_ += letter;
    changed_.notify_all();
  }
  std::string wait_for(size_t length) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return letters_.size() >= length; });
    return letters_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string letters_;
};

class Steps final : public Job {
 public:
  explicit Steps(std::function<bool()> body) : body_(std::move(body)) {}
  bool step() noexcept override { return body_(); }

 private:
  std::function<bool()> body_;
};

std::shared_ptr<Job> job(std::function<bool()> body) { return std::make_shared<Steps>(std::move(body)); }

Executor& cpu() { return Executor::of(c10::Device(c10::kCPU)); }

}  // namespace

TEST_CASE("executor: jobs take turns, step by step") {
  const auto record = std::make_shared<Record>();
  // Neither begins before both are there.
  std::mutex gate;
  gate.lock();
  cpu().submit(job([&] {
    const std::lock_guard opened(gate);
    return true;
  }));
  const auto counted = [&](char letter) {
    return job([record, letter, left = 3]() mutable {
      record->add(letter);
      return --left == 0;
    });
  };
  cpu().submit(counted('a'));
  cpu().submit(counted('b'));
  gate.unlock();
  CHECK(record->wait_for(6) == "ababab");
}

TEST_CASE("executor: a job that holds waits for resume, others go on") {
  const auto record = std::make_shared<Record>();
  const auto self = std::make_shared<std::weak_ptr<Job>>();
  const std::shared_ptr<Job> held = job([record, self, steps = 0]() mutable {
    if (++steps < 2) cpu().hold(self->lock());
    record->add('h');
    return steps == 2;
  });
  *self = held;
  cpu().submit(held);
  CHECK(record->wait_for(1) == "h");
  cpu().submit(job([record] {
    record->add('o');
    return true;
  }));
  CHECK(record->wait_for(2) == "ho");
  cpu().resume(held);
  CHECK(record->wait_for(3) == "hoh");
}

TEST_CASE("executor: a job that has been drained computes no more") {
  std::atomic<int> steps{0};
  std::atomic<bool> cancelled{false};
  const auto endless = job([&] {
    if (cancelled) return true;
    ++steps;
    return false;
  });
  cpu().submit(endless);
  while (steps < 10) std::this_thread::yield();
  cancelled = true;
  cpu().drain(endless);
  const int seen = steps;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(steps == seen);
}

TEST_CASE("executor: what is released is released on the compute thread") {
  const auto record = std::make_shared<Record>();
  const auto threads = std::make_shared<std::array<std::thread::id, 2>>();
  cpu().submit(job([record, threads] {
    (*threads)[0] = std::this_thread::get_id();
    record->add('c');
    return true;
  }));
  record->wait_for(1);
  cpu().release([record, threads] {
    (*threads)[1] = std::this_thread::get_id();
    record->add('r');
  });
  CHECK(record->wait_for(2) == "cr");
  CHECK((*threads)[0] == (*threads)[1]);
  CHECK((*threads)[0] != std::this_thread::get_id());
}

}  // namespace ood
