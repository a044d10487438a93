// Tasks: steps, results, exceptions, and what a task that is given up in between destroys.
#include "core/task.h"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ood {

namespace {

Task<int> sum_to(int last, std::shared_ptr<std::vector<int>> seen) {
  int sum = 0;
  for (int i = 1; i <= last; ++i) {
    if (i > 1) co_await next_turn;
    seen->push_back(i);
    sum += i;
  }
  co_return sum;
}

Task<> fails_at(int turn, std::shared_ptr<int> held) {
  for (int i = 0; i < turn; ++i) co_await next_turn;
  throw std::runtime_error("turn " + std::to_string(turn) + ", holding " + std::to_string(*held));
}

}  // namespace

TEST_CASE("tasks: nothing runs before the first step, and each step ends at a turn") {
  const auto seen = std::make_shared<std::vector<int>>();
  Task<int> task = sum_to(3, seen);
  CHECK(seen->empty());
  CHECK_FALSE(task.step());
  CHECK(*seen == std::vector<int>{1});
  CHECK_FALSE(task.step());
  CHECK(task.step());
  CHECK(*seen == std::vector<int>{1, 2, 3});
  CHECK(task.result() == 6);
}

TEST_CASE("tasks: an exception leaves the step that it is thrown in") {
  const auto held = std::make_shared<int>(7);
  {
    Task<> task = fails_at(1, held);
    CHECK_FALSE(task.step());
    CHECK_THROWS_WITH(task.step(), "turn 1, holding 7");
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("tasks: one that is given up half-way destroys what it holds") {
  const auto held = std::make_shared<int>(7);
  {
    Task<> task = fails_at(5, held);
    CHECK_FALSE(task.step());
    CHECK(held.use_count() > 1);
  }
  CHECK(held.use_count() == 1);
  { const Task<> never_begun = fails_at(5, held); }
  CHECK(held.use_count() == 1);
}

namespace {

Task<bool> leaves_gradients_on() {
  const bool before = at::GradMode::is_enabled();
  const at::AutoGradMode on(true);
  co_await next_turn;
  co_return !before && !at::GradMode::is_enabled();
}

}  // namespace

TEST_CASE("tasks: a step begins without gradients, and the mode that it leaves is not felt outside") {
  for (const bool outside : {false, true}) {
    const at::AutoGradMode mode(outside);
    Task<bool> task = leaves_gradients_on();
    CHECK_FALSE(task.step());
    CHECK(at::GradMode::is_enabled() == outside);
    CHECK(task.step());
    CHECK(at::GradMode::is_enabled() == outside);
    CHECK(task.result());
  }
}

TEST_CASE("tasks: moved ones run on") {
  const auto seen = std::make_shared<std::vector<int>>();
  Task<int> first = sum_to(2, seen);
  CHECK_FALSE(first.step());
  Task<int> second = std::move(first);
  CHECK(second.step());
  CHECK(second.result() == 3);
  CHECK(run_to_end(sum_to(10, seen)) == 55);
}

}  // namespace ood
