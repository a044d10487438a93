// The training loop.
#include "training/training.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "core/checks.h"
#include "core/errors.h"
#include "models/folded_network.h"
#include "training/collapse_loss.h"

namespace ood {

namespace {

constexpr double cosine_floor = 1e-6;  // OpenOOD's last learning rate
constexpr auto report_interval = std::chrono::milliseconds(100);

at::Tensor copy_to_host(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true,
                            at::MemoryFormat::Contiguous);
}

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Whether `name` is one of `frozen`, or is part of a module that is.
bool is_among(const std::string& name, const std::vector<std::string>& frozen) {
  return std::any_of(frozen.begin(), frozen.end(),
                     [&](const std::string& part) { return name == part || name.starts_with(part + "."); });
}

// A run's state between its steps. Inside of an epoch, sums stay on the device: reading them would wait for it.
class Training {
 public:
  Training(std::shared_ptr<Network> network, TrainingOptions options, int64_t batches, TrainingEvents events,
           Poll poll);
  ~Training();
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;

  // At the first of its batches that are left.
  void begin_epoch(int64_t epoch, const EpochSums& done);
  void train_batch(const Batch& batch);
  void end_training();
  void validate_batch(const FoldedNetwork& evaluation, const Batch& batch);
  void end_epoch();

 private:
  using Clock = std::chrono::steady_clock;

  // What SGD keeps of a parameter, and the rate that it begins at.
  struct Trained {
    std::string name;
    at::Tensor parameter, momentum;
    bool head;
  };

  void report_batch();
  void snapshot();
  void update();
  NamedTensors state() const;
  NamedTensors momentum() const;
  double mean_loss();

  std::shared_ptr<Network> network_;
  TrainingOptions options_;
  TrainingEvents events_;
  Poll poll_;
  std::vector<Trained> trained_parameters_;
  std::vector<at::Tensor> frozen_parameters_;
  std::vector<torch::nn::Module*> frozen_modules_;  // of the network: those all of whose own parameters are frozen
  int64_t batches_;                                 // per epoch; 0: not known

  int64_t epoch_ = 0, batch_ = 0;  // done: epochs, and batches of this one
  int64_t reported_ = 0;           // of these batches
  at::Tensor loss_sum_, correct_, validation_correct_;
  int64_t seen_ = 0, validated_ = 0;
  int64_t resumed_ = 0;  // images of this epoch that an earlier run has seen
  double rate_ = 0;
  Clock::time_point epoch_start_, trained_, last_report_;
};

Training::Training(std::shared_ptr<Network> network, TrainingOptions options, int64_t batches, TrainingEvents events,
                   Poll poll)
    : network_(std::move(network)),
      options_(std::move(options)),
      events_(std::move(events)),
      poll_(std::move(poll)),
      batches_(batches) {
  for (const auto& [name, parameter] : network_->trainable()) {
    if (is_among(name, options_.frozen)) {
      frozen_parameters_.push_back(parameter);
      continue;
    }
    const auto saved = std::find_if(options_.momentum_buffers.begin(), options_.momentum_buffers.end(),
                                    [&, &key = name](const auto& buffer) { return buffer.first == key; });
    // empty_like keeps the parameter's strides, which the fused update relies on.
    at::Tensor buffer = at::zeros_like(parameter.detach());
    if (saved != options_.momentum_buffers.end()) {
      if (saved->second.sizes() != buffer.sizes()) {
        fail("ERR_CORRUPT_FILE", "checkpoint: momentum of ", name, ": expected shape ", buffer.sizes(), ", found ",
             saved->second.sizes());
      }
      buffer.copy_(saved->second);
    } else if (options_.start_epoch > 0 || options_.start.batch > 0) {
      fail("ERR_CORRUPT_FILE", "checkpoint: no momentum of ", name);
    }
    trained_parameters_.push_back({name, parameter, buffer, name.starts_with("fc.")});
  }
  if (trained_parameters_.empty()) fail("ERR_OPTION", "frozen: expected at least one parameter that is trained");
  for (const auto& module : network_->named_modules(/*name_prefix=*/"", /*include_self=*/false)) {
    const auto own = module.value()->named_parameters(/*recurse=*/false);
    if (!own.is_empty() && std::all_of(own.begin(), own.end(), [&](const auto& parameter) {
          return is_among(module.key() + "." + parameter.key(), options_.frozen);
        }))
      frozen_modules_.push_back(module.value().get());
  }
  for (at::Tensor& parameter : frozen_parameters_) parameter.set_requires_grad(false);
  options_.momentum_buffers.clear();
}

Training::~Training() {
  // The network outlives its training; gradients as large as its weights must not.
  for (Trained& trained : trained_parameters_) trained.parameter.mutable_grad().reset();
  for (at::Tensor& parameter : frozen_parameters_) parameter.set_requires_grad(true);
}

void Training::begin_epoch(int64_t epoch, const EpochSums& done) {
  epoch_ = epoch;
  batch_ = reported_ = done.batch;
  const auto on_device = at::TensorOptions(network_->device());
  loss_sum_ = at::full({}, done.loss, on_device.dtype(at::kDouble));
  correct_ = at::full({}, done.correct, on_device.dtype(at::kLong));
  validation_correct_ = at::zeros({}, on_device.dtype(at::kLong));
  seen_ = resumed_ = done.seen;
  validated_ = 0;
  epoch_start_ = last_report_ = Clock::now();
}

void Training::train_batch(const Batch& batch) {
  std::optional<BatchClasses> classes;
  if (options_.loss == Loss::neural_collapse) {
    classes.emplace(batch.host_labels);
    if (classes->count() < 2) {  // nothing to tell apart: no step, no running statistics
      ++batch_;
      report_batch();
      return snapshot();
    }
  }
  at::AutoGradMode with_grad(true);
  network_->train();
  // A frozen batch norm keeps its statistics, and a frozen convolution the vectors of its spectral norm.
  for (torch::nn::Module* module : frozen_modules_) module->eval();
  const NetworkOutput output = network_->forward(
      normalise(batch.images, options_.normalization, options_.compute_dtype), options_.compute_dtype, poll_);
  const at::Tensor loss = classes ? collapse_loss(output.features, network_->fc_weight(), *classes).sum()
                                  : at::cross_entropy_loss(output.logits, batch.labels);
  if (!loss.requires_grad()) fail("ERR_OPTION", "frozen: expected a parameter left that the loss depends on");
  for (Trained& trained : trained_parameters_) trained.parameter.mutable_grad().reset();
  loss.backward();
  update();

  const at::NoGradGuard no_grad;
  loss_sum_.add_(loss.detach().to(at::kDouble), static_cast<double>(batch.size()));
  correct_.add_(output.logits.detach().argmax(1).eq(batch.labels).sum());
  seen_ += batch.size();
  ++batch_;
  report_batch();
  snapshot();
}

void Training::report_batch() {
  const Clock::time_point now = Clock::now();
  if (events_.on_batch && seen_ > 0 && (now - last_report_ >= report_interval || batch_ == batches_)) {
    last_report_ = now;
    reported_ = batch_;
    events_.on_batch({epoch_ + 1, batch_, batches_, mean_loss(),
                      static_cast<double>(seen_ - resumed_) / seconds_between(epoch_start_, now)});
  }
}

// Where the epoch's end follows, its own snapshot says more.
void Training::snapshot() {
  const int64_t every = options_.snapshot_every_batches;
  if (every == 0 || batch_ % every != 0 || batch_ == batches_ || !events_.on_snapshot) return;
  events_.on_snapshot(
      {epoch_, {batch_, seen_, correct_.item<int64_t>(), loss_sum_.item<double>()}, state(), momentum()});
}

NamedTensors Training::state() const {
  NamedTensors copies;
  for (const auto& [name, tensor] : network_->state()) copies.emplace_back(name, copy_to_host(tensor));
  return copies;
}

NamedTensors Training::momentum() const {
  NamedTensors copies;
  for (const Trained& trained : trained_parameters_) copies.emplace_back(trained.name, copy_to_host(trained.momentum));
  return copies;
}

void Training::update() {
  const at::NoGradGuard no_grad;
  rate_ = learning_rate(options_, options_.learning_rate, epoch_, batch_, batches_);
  for (const bool head : {false, true}) {
    std::vector<at::Tensor> values, gradients, momentum;
    for (const Trained& trained : trained_parameters_) {
      at::Tensor gradient = trained.parameter.grad();
      // The neural-collapse loss knows nothing of the bias of the last layer.
      if (trained.head != head || !gradient.defined()) continue;
      // The fused kernel walks the memory of parameter, gradient and momentum side by side.
      if (gradient.strides() != trained.parameter.strides())
        gradient = at::empty_like(trained.parameter.detach()).copy_(gradient);
      gradients.push_back(std::move(gradient));
      values.push_back(trained.parameter.detach());
      momentum.push_back(trained.momentum);
    }
    if (values.empty()) continue;
    const double rate = head ? learning_rate(options_, options_.head_learning_rate, epoch_, batch_, batches_) : rate_;
    at::_fused_sgd_(values, gradients, momentum, options_.weight_decay, options_.momentum, rate, /*dampening=*/0.0,
                    options_.nesterov,
                    /*maximize=*/false, /*is_first_step=*/false);
  }
  network_->mark_changed();
}

double Training::mean_loss() {
  if (seen_ == 0) {
    fail("ERR_RANGE", "the neural-collapse loss needs batches of at least 2 classes; epoch ", epoch_ + 1,
         " had none; a larger batch may help");
  }
  const double loss = loss_sum_.item<double>() / static_cast<double>(seen_);
  if (!std::isfinite(loss)) {
    fail("ERR_NON_FINITE", "training diverged: the loss is ", loss, " in epoch ", epoch_ + 1, ", batch ", batch_,
         batches_ > 0 ? " of " + std::to_string(batches_) : "", "; a lower learning rate may help");
  }
  return loss;
}

void Training::end_training() {
  if (reported_ != batch_) {  // where nobody knew that this batch was the last
    last_report_ = {};
    report_batch();
  }
  trained_ = Clock::now();
}

void Training::validate_batch(const FoldedNetwork& evaluation, const Batch& batch) {
  const at::Tensor images = normalise(batch.images, options_.normalization, options_.compute_dtype);
  const at::Tensor logits = evaluation.forward(images, {.logits = true}, poll_).logits;
  validation_correct_.add_(logits.argmax(1).eq(batch.labels).sum());
  validated_ += batch.size();
}

void Training::end_epoch() {
  EpochReport report;
  report.epoch = epoch_ + 1;
  report.loss = mean_loss();
  report.accuracy = static_cast<double>(correct_.item<int64_t>()) / static_cast<double>(seen_);
  if (validated_ > 0) {
    report.validation_accuracy =
        static_cast<double>(validation_correct_.item<int64_t>()) / static_cast<double>(validated_);
  }
  report.learning_rate = rate_;
  report.seconds = seconds_between(epoch_start_, trained_);
  report.images_per_second = static_cast<double>(seen_ - resumed_) / report.seconds;
  ++epoch_;
  const bool last = epoch_ >= options_.epochs;
  if (options_.snapshot_every > 0 && (last || epoch_ % options_.snapshot_every == 0)) {
    report.state = state();
    report.momentum_buffers = momentum();
  }
  if (events_.on_epoch) events_.on_epoch(std::move(report));
}

}  // namespace

double learning_rate(const TrainingOptions& options, double first, int64_t epoch, int64_t step, int64_t steps) {
  if (options.cosine) {
    const double done = static_cast<double>(epoch * steps + step) / static_cast<double>(options.epochs * steps);
    return cosine_floor + (first - cosine_floor) * 0.5 * (1 + std::cos(done * std::numbers::pi));
  }
  const auto passed =
      std::count_if(options.milestones.begin(), options.milestones.end(), [&](int64_t m) { return m <= epoch; });
  double rate = first;
  for (int64_t i = 0; i < passed; ++i) rate *= options.gamma;
  return rate;
}

namespace {

bool is_next(BatchSource& source, Batch& batch, BatchSource::Next& next) {
  batch = {};  // of the batch before: its memory may be used for this one
  next = source.next(batch);
  return next != BatchSource::Next::end;
}

}  // namespace

Task<> train(std::shared_ptr<Network> network, TrainingOptions options, TrainingData data, TrainingEvents events,
             Poll poll) {
  const int64_t epochs = options.epochs, start_epoch = options.start_epoch;
  const at::ScalarType compute_dtype = options.compute_dtype;
  EpochSums done = options.start;
  Training training(network, std::move(options), data.training->batches(), std::move(events), poll);
  Batch batch;
  BatchSource::Next next{};
  for (int64_t epoch = start_epoch; epoch < epochs; ++epoch) {
    if (epoch > start_epoch) co_await next_turn;
    data.training->begin_epoch(epoch, done.batch);
    training.begin_epoch(epoch, done);
    done = {};
    for (bool first = true; is_next(*data.training, batch, next); first = false) {
      if (!first || next == BatchSource::Next::later) co_await next_turn;
      if (next == BatchSource::Next::batch) training.train_batch(batch);
    }
    training.end_training();
    if (data.validation) {
      co_await next_turn;
      const FoldedNetwork evaluation(*network, compute_dtype);
      data.validation->begin_epoch(epoch, 0);
      for (bool first = true; is_next(*data.validation, batch, next); first = false) {
        if (!first || next == BatchSource::Next::later) co_await next_turn;
        if (next == BatchSource::Next::batch) training.validate_batch(evaluation, batch);
      }
    }
    training.end_epoch();
  }
}

}  // namespace ood
