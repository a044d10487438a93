// A small network: it learns, resumes bit for bit, and gives the same features folded as it does in evaluation mode.
#include "training/training.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "models/extraction.h"
#include "models/shared_network.h"
#include "models/weights.h"

namespace ood {

namespace {

const c10::Device cpu(c10::kCPU);
const Poll no_poll = [] {};

Architecture tiny() {
  Architecture architecture;
  architecture.num_classes = 3;
  architecture.image_size = 8;
  architecture.width = 1.0 / 16;
  architecture.spectral_norm_coefficient = 3;
  architecture.warmup_iterations = 2;
  return architecture;
}

std::shared_ptr<Network> network(at::ScalarType dtype = at::kFloat) {
  return run_to_end(create_network(tiny(), 5, cpu, dtype, no_poll))->network;
}

// Noise with a patch that is brighter in one channel: the class.
struct Pictures {
  at::Tensor images, labels;
};

Pictures pictures(int64_t count) {
  at::manual_seed(1);
  Pictures made;
  made.labels = at::arange(count, at::kLong) % 3;
  made.images = at::randint(0, 100, {count, 3, 8, 8}, at::kByte);
  for (int64_t i = 0; i < count; ++i) made.images[i][made.labels[i].item<int64_t>()].add_(100);
  return made;
}

// In memory, the first 30 for validation too.
TrainingData data(const Pictures& pictures, MemoryOrder order = {16, true, 3, {1, true}}) {
  const auto memory = [&](int64_t count, MemoryOrder how) {
    return std::make_unique<MemoryBatches>(pictures.images.slice(0, 0, count), pictures.labels.slice(0, 0, count),
                                           std::move(how), cpu);
  };
  TrainingData data;
  data.training = memory(pictures.images.size(0), std::move(order));
  data.validation = memory(30, {16});
  return data;
}

TrainingData data(int64_t count) { return data(pictures(count)); }

TrainingOptions recipe(int64_t epochs) {
  TrainingOptions options;
  options.epochs = epochs;
  options.learning_rate = options.head_learning_rate = 0.05;
  options.normalization = {{0.4, 0.4, 0.4}, {0.2, 0.2, 0.2}};
  options.snapshot_every = 2;
  return options;
}

bool same(const NamedTensors& a, const NamedTensors& b) {
  bool equal = a.size() == b.size();
  for (size_t i = 0; equal && i < a.size(); ++i)
    equal = a[i].first == b[i].first && at::equal(a[i].second, b[i].second);
  return equal;
}

}  // namespace

TEST_CASE("training: learns, reports each epoch, and a resumed run equals an uninterrupted one") {
  const auto whole = network();
  std::vector<EpochReport> reports;
  TrainingEvents events;
  events.on_epoch = [&](EpochReport&& report) { reports.push_back(std::move(report)); };
  run_to_end(train(whole, recipe(4), data(90), events, no_poll));
  REQUIRE(reports.size() == 4);
  CHECK(reports[3].loss < reports[0].loss);
  CHECK(*reports[3].validation_accuracy > 2.0 / 3);  // twice chance
  CHECK(reports[0].state.empty());
  REQUIRE_FALSE(reports[1].state.empty());

  const auto resumed = network();
  load_weights(*resumed, reports[1].state);
  TrainingOptions rest = recipe(4);
  rest.start_epoch = 2;
  rest.momentum_buffers = reports[1].momentum_buffers;
  run_to_end(train(resumed, rest, data(90), {}, no_poll));
  CHECK(same(copied_weights(*resumed), copied_weights(*whole)));
}

TEST_CASE("training: resumed in the middle of an epoch it ends as an uninterrupted run") {
  const auto whole = network();
  std::vector<BatchSnapshot> snapshots;
  EpochReport expected, found;
  TrainingEvents events;
  events.on_snapshot = [&](BatchSnapshot&& snapshot) { snapshots.push_back(std::move(snapshot)); };
  events.on_epoch = [&](EpochReport&& report) { expected = std::move(report); };
  TrainingOptions options = recipe(2);
  options.snapshot_every_batches = 2;
  run_to_end(train(whole, options, data(90), events, no_poll));
  REQUIRE(snapshots.size() == 4);  // of 6 batches an epoch the last needs none
  for (const BatchSnapshot& snapshot : snapshots) {
    CHECK(snapshot.sums.seen == 16 * snapshot.sums.batch);
    const auto resumed = network();
    load_weights(*resumed, snapshot.state);
    options.start_epoch = snapshot.epoch;
    options.start = snapshot.sums;
    options.momentum_buffers = snapshot.momentum_buffers;
    run_to_end(train(resumed, options, data(90), {.on_epoch = [&](EpochReport&& report) { found = std::move(report); }},
                     no_poll));
    CHECK(same(copied_weights(*resumed), copied_weights(*whole)));
    CHECK(found.loss == expected.loss);
    CHECK(found.accuracy == expected.accuracy);
  }
}

TEST_CASE("training: batches of a queue are as good as those of memory, and the run waits for them") {
  const Pictures all = pictures(90);
  const auto whole = network(), queued = network();
  run_to_end(train(whole, recipe(2), data(all, {16}), {}, no_poll));

  const auto queue = std::make_shared<BatchQueue>();
  int waits = 0, taken = 0;
  const auto source = [&](int64_t batches) {
    return std::make_unique<QueuedBatches>(
        queue, batches, cpu, [&] { ++waits; }, [&] { ++taken; });
  };
  std::vector<BatchReport> reports;
  TrainingEvents events;
  events.on_batch = [&](const BatchReport& report) { reports.push_back(report); };
  Task<> run = train(queued, recipe(2), {source(0), source(0)}, events, no_poll);
  int steps = 0;
  const auto step_until_it_waits = [&] {
    const int before = waits;
    bool over = false;
    while (!over && waits == before) {
      over = run.step();
      REQUIRE(++steps < 100);
    }
    return over;
  };
  bool over = step_until_it_waits();
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (int64_t start = 0; start < 90; start += 16) {
      queue->push(all.images.slice(0, start, std::min<int64_t>(start + 16, 90)),
                  all.labels.slice(0, start, std::min<int64_t>(start + 16, 90)).to(at::kInt));
      CHECK_FALSE(step_until_it_waits());
    }
    queue->push_end();
    queue->push(all.images.slice(0, 0, 30), all.labels.slice(0, 0, 30).to(at::kInt));
    queue->push_end();
    over = step_until_it_waits();
  }
  CHECK(over);
  CHECK(queue->length() == 0);
  CHECK(taken == 2 * 9);
  CHECK(same(copied_weights(*queued), copied_weights(*whole)));
  REQUIRE_FALSE(reports.empty());
  CHECK(reports.back().batch == 6);  // the last is told of, though nobody knew that it was
  CHECK(reports.back().batches == 0);
}

TEST_CASE("training: gives way after each batch, and leaves no gradients behind when it is given up") {
  const auto trained = network();
  int polls = 0;
  {
    Task<> run = train(trained, recipe(2), data(90), {}, [&polls] { ++polls; });
    for (int i = 0; i < 3; ++i) CHECK_FALSE(run.step());  // 6 batches an epoch
    CHECK(polls > 0);
  }
  for (const auto& [name, parameter] : trained->trainable()) CHECK_FALSE(parameter.grad().defined());
}

TEST_CASE("training: the exception of a poll ends it") {
  const auto trained = network();
  Task<> run = train(trained, recipe(2), data(90), {}, [] { fail("ERR_ABORTED", "enough"); });
  CHECK_THROWS_WITH(run.step(), "enough");
}

TEST_CASE("extraction: folded features are those of the network in evaluation mode") {
  const auto trained = network(at::kDouble);
  const at::Tensor images = pictures(50).images;
  const at::NoGradGuard no_grad;
  trained->eval();
  const Normalization normalization{{0.4, 0.4, 0.4}, {0.2, 0.2, 0.2}};
  const NetworkOutput expected = trained->forward(normalise(images, normalization, at::kDouble), at::kDouble, no_poll);
  ExtractionOptions options;
  options.batch_size = 7;
  options.normalization = normalization;
  const auto extracted = [&](WantedOutputs outputs) {
    options.outputs = outputs;
    int64_t reported = 0;
    NetworkOutput found = run_to_end(extract(std::make_shared<const FoldedNetwork>(*trained, at::kDouble), images,
                                             options, no_poll, [&](int64_t done) { reported = done; }));
    CHECK(reported == 50);
    return found;
  };
  const NetworkOutput found = extracted({.raw_features = true, .features = true, .logits = true});
  CHECK((found.raw_features - expected.raw_features).abs().max().item<double>() < 1e-12);
  CHECK((found.features - expected.features).abs().max().item<double>() < 1e-12);
  CHECK((found.logits - expected.logits).abs().max().item<double>() < 1e-12);
  const NetworkOutput logits = extracted({.logits = true});
  CHECK(at::equal(logits.logits, found.logits));
  CHECK_FALSE(logits.features.defined());
  CHECK_FALSE(logits.raw_features.defined());
}

TEST_CASE("networks: a description has the names, shapes and dtypes of a network's tensors, and no memory") {
  for (const int64_t depth : {18, 34, 50, 101, 152}) {
    for (const bool plain : {false, true}) {
      Architecture architecture;
      architecture.depth = depth;
      architecture.stem = depth == 18 || depth == 50 ? Stem::cifar : Stem::imagenet;
      architecture.width = 0.0625;
      architecture.image_size = 9;
      architecture.avg_pool_shortcut = !plain;
      architecture.spectral_norm_coefficient = plain ? 0 : 3;
      const NamedTensors expected = Network(architecture, 1).state(), described = described_state(architecture);
      REQUIRE(described.size() == expected.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(described[i].first == expected[i].first);
        CHECK(described[i].second.sizes() == expected[i].second.sizes());
        CHECK((described[i].second.scalar_type() == expected[i].second.scalar_type()));
        CHECK(described[i].second.is_meta());
      }
    }
  }
}

TEST_CASE("networks: a copy has the same weights, and goes its own way") {
  const SharedNetwork original(network(), cpu);
  const NamedTensors before = copied_weights(*original.network);
  const std::shared_ptr<SharedNetwork> copy = copied_network(original);
  CHECK(same(copied_weights(*copy->network), before));
  CHECK(copy->nbytes() == original.nbytes());
  run_to_end(train(copy->network, recipe(1), data(60), {}, no_poll));
  CHECK_FALSE(same(copied_weights(*copy->network), before));
  CHECK(same(copied_weights(*original.network), before));
}

TEST_CASE("weights: a missing, misshapen or surplus tensor is named, and nothing has changed") {
  const auto target = network();
  const NamedTensors before = copied_weights(*target);
  NamedTensors missing = before, misshapen = before, surplus = before;
  missing.pop_back();
  misshapen.back().second = at::zeros({3, 3});
  surplus.emplace_back("fc.extra", at::zeros({1}));
  for (const NamedTensors& wrong : {missing, misshapen}) CHECK_THROWS_AS(load_weights(*target, wrong), Error);
  CHECK_THROWS_WITH(load_weights(*target, surplus), "state: unknown tensor \"fc.extra\"");
  CHECK(same(copied_weights(*target), before));
}

}  // namespace ood
