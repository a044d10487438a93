// The training loop (METHOD.md section 2): SGD over epochs, one batch per step, so that other jobs of the device get
// their turn between batches.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "augmentation.h"
#include "folded_network.h"
#include "network.h"

namespace ood {

enum class Loss { cross_entropy, neural_collapse };

struct TrainingOptions {
  Loss loss = Loss::cross_entropy;
  int64_t epochs = 1;
  int64_t batch_size = 128;
  double learning_rate = 0.1;
  double momentum = 0.9;
  double weight_decay = 5e-4;
  bool nesterov = false;
  bool cosine = false;              // per step, to 1e-6; else ×gamma at each milestone
  std::vector<int64_t> milestones;  // epochs done when the rate drops
  double gamma = 0.1;
  Augmentation augmentation;
  bool shuffle = true;
  at::ScalarType compute_dtype = at::kFloat;
  uint64_t seed = 0;
  Normalization normalization;
  int64_t snapshot_every = 0;
  int64_t start_epoch = 0;
  NamedTensors momentum_buffers;  // of start_epoch > 0
};

struct BatchReport {
  int64_t epoch, batch, batches;
  double loss, images_per_second;
};

struct EpochReport {
  int64_t epoch;
  double loss,
      accuracy;  // means per sample over the epoch's training batches, as they were seen; without batches left out
  std::optional<double> validation_accuracy;
  double learning_rate;  // of the epoch's last step
  double images_per_second, seconds;
  NamedTensors state, momentum_buffers;  // copies in host memory where a snapshot is due, else empty
};

// The learning rate of a step; `steps` is the number of steps of an epoch.
double learning_rate(const TrainingOptions& options, int64_t epoch, int64_t step, int64_t steps);

// Everything random in an epoch follows from (seed, epoch) alone: a resumed run needs no generator state.
uint64_t epoch_seed(uint64_t seed, int64_t epoch);

class Training {
 public:
  // images [N, C, H, W] and labels [N] int64 in host memory; validation ones may be undefined.
  Training(std::shared_ptr<Network> network, TrainingOptions options, const at::Tensor& images,
           const at::Tensor& labels, const at::Tensor& validation_images, const at::Tensor& validation_labels);
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  // One batch of training or of validation; true when the last epoch is over.
  bool step(const Poll& poll);

  std::function<void(const BatchReport&)> on_batch;
  std::function<void(EpochReport&&)> on_epoch;

 private:
  using Clock = std::chrono::steady_clock;

  void begin_epoch();
  void train_batch(const Poll& poll);
  void end_batch();
  void validate_batch(const Poll& poll);
  void end_epoch();
  void update(double rate);
  double mean_loss();

  std::shared_ptr<Network> network_;
  TrainingOptions options_;
  at::Tensor images_, labels_, validation_images_, validation_labels_;
  at::Tensor
      host_labels_;  // of the neural-collapse loss: which classes a batch has is known without waiting for the device
  std::vector<at::Tensor> parameters_, momentum_;
  std::vector<std::string> names_;

  int64_t epoch_ = 0;  // epochs done
  int64_t batch_ = 0;  // batches done in this epoch
  int64_t batches_;
  int64_t validated_ = 0;  // validation images done
  at::Tensor order_;
  AugmentationDraws draws_;
  at::Tensor loss_sum_, correct_, validation_correct_;  // on the device: reading them would wait for it
  int64_t seen_ = 0;
  double rate_ = 0;
  Clock::time_point epoch_start_, trained_, last_report_;
  std::unique_ptr<FoldedNetwork> evaluation_;
};

}  // namespace ood
