// The training loop (METHOD.md section 2): SGD over epochs, one batch per step, so that other jobs of the device get
// their turn between batches. It asks for the batches and knows nothing of where they come from.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/named_tensors.h"
#include "core/poll.h"
#include "core/task.h"
#include "data/augmentation.h"
#include "data/batch_source.h"
#include "models/network.h"

namespace ood {

enum class Loss { cross_entropy, neural_collapse };

// What an epoch's report is made of, as far as the epoch has come.
struct EpochSums {
  int64_t batch = 0;  // batches done
  int64_t seen = 0, correct = 0;
  double loss = 0;
};

struct TrainingOptions {
  Loss loss = Loss::cross_entropy;
  int64_t epochs = 1;
  double learning_rate = 0.1;
  double head_learning_rate = 0.1;  // of the last layer
  double momentum = 0.9;
  double weight_decay = 5e-4;
  bool nesterov = false;
  bool cosine = false;              // per step, to 1e-6; else ×gamma at each milestone
  std::vector<int64_t> milestones;  // epochs done when the rate drops
  double gamma = 0.1;
  at::ScalarType compute_dtype = at::kFloat;
  Normalization normalization;
  int64_t snapshot_every = 0;          // epochs; 0: none after an epoch
  int64_t snapshot_every_batches = 0;  // within an epoch; 0: none
  int64_t start_epoch = 0;
  EpochSums start;                  // of the epoch that is resumed in its middle
  NamedTensors momentum_buffers;    // of a run that is resumed
  std::vector<std::string> frozen;  // names of parameters or of modules, whose parameters stay as they are
};

struct BatchReport {
  int64_t epoch, batch;
  int64_t batches;  // 0 where it is not known
  double loss, images_per_second;
};

struct EpochReport {
  int64_t epoch;
  // Means per sample over the epoch's training batches, as they were seen; without batches left out.
  double loss, accuracy;
  std::optional<double> validation_accuracy;
  double learning_rate;  // of the epoch's last step, not the last layer's
  double images_per_second, seconds;
  NamedTensors state, momentum_buffers;  // copies in host memory where a snapshot is due, else empty
};

// The state in the middle of an epoch.
struct BatchSnapshot {
  int64_t epoch;  // done before this one
  EpochSums sums;
  NamedTensors state, momentum_buffers;  // copies in host memory
};

// The learning rate of a step, which begins at `first`; `steps` is the number of steps of an epoch.
double learning_rate(const TrainingOptions& options, double first, int64_t epoch, int64_t step, int64_t steps);

// What a run learns from and, where it is validated, what it is validated on.
struct TrainingData {
  std::unique_ptr<BatchSource> training, validation;
};

struct TrainingEvents {
  std::function<void(const BatchReport&)> on_batch;
  std::function<void(BatchSnapshot&&)> on_snapshot;
  std::function<void(EpochReport&&)> on_epoch;
};

// Trains the network, one batch of training or of validation per step. An epoch's end begins a new step, so that the
// job may hold there.
Task<> train(std::shared_ptr<Network> network, TrainingOptions options, TrainingData data, TrainingEvents events,
             Poll poll);

}  // namespace ood
