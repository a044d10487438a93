// The native class ResNet.
#include "binding/resnet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "binding/arguments.h"
#include "binding/batch_queue.h"
#include "binding/environment.h"
#include "binding/extractor.h"
#include "binding/named_tensors.h"
#include "binding/tensor.h"
#include "core/checks.h"
#include "core/dtype.h"
#include "core/errors.h"
#include "models/weights.h"
#include "training/training.h"

namespace ood {

namespace {

Architecture architecture_argument(const Napi::Value& value) {
  const Napi::Object object = object_argument(value, "architecture");
  Architecture architecture;
  architecture.depth = integer_argument(object.Get("depth"), "depth", 18, 152);
  architecture.stem =
      choice_argument<Stem>(object.Get("stem"), "stem", {{"cifar", Stem::cifar}, {"imagenet", Stem::imagenet}});
  architecture.num_classes = integer_argument(object.Get("numClasses"), "numClasses", 2, 1 << 20);
  architecture.in_channels = integer_argument(object.Get("inChannels"), "inChannels", 1, 4096);
  architecture.image_size = integer_argument(object.Get("imageSize"), "imageSize", 1, 4096);
  architecture.width = number_argument(object.Get("width"), "width", 1.0 / 64, 64);
  architecture.feature_dim = integer_argument(object.Get("featureDim"), "featureDim", 0, 1 << 20);
  architecture.leaky_relu = boolean_argument(object.Get("leakyRelu"), "leakyRelu");
  architecture.avg_pool_shortcut = boolean_argument(object.Get("avgPoolShortcut"), "avgPoolShortcut");
  architecture.spectral_norm_coefficient =
      number_argument(object.Get("spectralNormCoefficient"), "spectralNormCoefficient", 0);
  architecture.power_iterations = integer_argument(object.Get("powerIterations"), "powerIterations", 1, 1000);
  architecture.warmup_iterations = integer_argument(object.Get("warmupIterations"), "warmupIterations", 0, 100000);
  architecture.l2_normalize = boolean_argument(object.Get("l2Normalize"), "l2Normalize");
  architecture.temperature = number_argument(object.Get("temperature"), "temperature", 1e-12);
  return architecture;
}

TrainingOptions training_options_argument(const Napi::Value& value, const Architecture& architecture,
                                          at::ScalarType dtype) {
  const Napi::Object object = object_argument(value, "options");
  TrainingOptions options;
  options.loss = choice_argument<Loss>(
      object.Get("loss"), "loss", {{"cross-entropy", Loss::cross_entropy}, {"neural-collapse", Loss::neural_collapse}});
  options.epochs = integer_argument(object.Get("epochs"), "epochs", 1, 1 << 24);
  options.learning_rate = number_argument(object.Get("learningRate"), "learningRate", 0);
  options.head_learning_rate = number_argument(object.Get("headLearningRate"), "headLearningRate", 0);
  options.frozen = strings_argument(object.Get("frozen"), "frozen");
  options.momentum = number_argument(object.Get("momentum"), "momentum", 0, 1);
  options.weight_decay = number_argument(object.Get("weightDecay"), "weightDecay", 0);
  options.nesterov = boolean_argument(object.Get("nesterov"), "nesterov");
  options.cosine = choice_argument<bool>(object.Get("schedule"), "schedule", {{"milestones", false}, {"cosine", true}});
  options.milestones = integers_argument(object.Get("milestones"), "milestones");
  options.gamma = number_argument(object.Get("gamma"), "gamma", 0);
  options.compute_dtype = choice_argument<at::ScalarType>(object.Get("precision"), "precision",
                                                          {{"float32", dtype}, {"bfloat16", at::kBFloat16}});
  options.normalization = normalization_argument(object.Get("normalization"), architecture.in_channels);
  options.snapshot_every = integer_argument(object.Get("snapshotEvery"), "snapshotEvery");
  options.snapshot_every_batches = integer_argument(object.Get("snapshotEveryBatches"), "snapshotEveryBatches");
  options.start_epoch = integer_argument(object.Get("startEpoch"), "startEpoch", 0, options.epochs);
  const Napi::Object start = object_argument(object.Get("start"), "start");
  options.start.batch = integer_argument(start.Get("batch"), "start.batch");
  options.start.seen = integer_argument(start.Get("seen"), "start.seen");
  options.start.correct = integer_argument(start.Get("correct"), "start.correct");
  options.start.loss = number_argument(start.Get("loss"), "start.loss");
  options.momentum_buffers = named_tensors_argument(object.Get("momentumBuffers"), "momentumBuffers");
  return options;
}

MemoryOrder order_argument(const Napi::Value& value, const Architecture& architecture) {
  const Napi::Object object = object_argument(value, "options");
  MemoryOrder order;
  order.batch_size = integer_argument(object.Get("batchSize"), "batchSize", 1, 1 << 20);
  order.shuffle = boolean_argument(object.Get("shuffle"), "shuffle");
  order.seed = static_cast<uint64_t>(integer_argument(object.Get("seed"), "seed"));
  order.augmentation.crop_padding =
      integer_argument(object.Get("cropPadding"), "cropPadding", 0, architecture.image_size);
  order.augmentation.horizontal_flip = boolean_argument(object.Get("horizontalFlip"), "horizontalFlip");
  return order;
}

Napi::Value to_js(Napi::Env env, const BatchReport& report) {
  Napi::Object event = Napi::Object::New(env);
  event.Set("type", "batch");
  event.Set("epoch", static_cast<double>(report.epoch));
  event.Set("batch", static_cast<double>(report.batch));
  event.Set("batches", report.batches > 0 ? Napi::Value(Napi::Number::New(env, static_cast<double>(report.batches)))
                                          : env.Undefined());
  event.Set("loss", report.loss);
  event.Set("imagesPerSecond", report.images_per_second);
  return event;
}

Napi::Value to_js(Napi::Env env, const EpochReport& report) {
  Napi::Object event = Napi::Object::New(env);
  event.Set("type", "epoch");
  event.Set("epoch", static_cast<double>(report.epoch));
  event.Set("loss", report.loss);
  event.Set("accuracy", report.accuracy);
  event.Set("validationAccuracy", report.validation_accuracy
                                      ? Napi::Value(Napi::Number::New(env, *report.validation_accuracy))
                                      : env.Undefined());
  event.Set("learningRate", report.learning_rate);
  event.Set("imagesPerSecond", report.images_per_second);
  event.Set("seconds", report.seconds);
  const bool snapshot = !report.state.empty();
  event.Set("state", snapshot ? named_tensors_to_js(env, report.state) : env.Undefined());
  event.Set("momentumBuffers", snapshot ? named_tensors_to_js(env, report.momentum_buffers) : env.Undefined());
  return event;
}

Napi::Value to_js(Napi::Env env, const BatchSnapshot& snapshot) {
  Napi::Object event = Napi::Object::New(env);
  event.Set("type", "snapshot");
  event.Set("epoch", static_cast<double>(snapshot.epoch));
  Napi::Object sums = Napi::Object::New(env);
  sums.Set("batch", static_cast<double>(snapshot.sums.batch));
  sums.Set("seen", static_cast<double>(snapshot.sums.seen));
  sums.Set("correct", static_cast<double>(snapshot.sums.correct));
  sums.Set("loss", snapshot.sums.loss);
  event.Set("sums", sums);
  event.Set("state", named_tensors_to_js(env, snapshot.state));
  event.Set("momentumBuffers", named_tensors_to_js(env, snapshot.momentum_buffers));
  return event;
}

// Makes a source of batches, on the compute thread.
using SourceMaker = std::function<std::unique_ptr<BatchSource>(JobContext&, c10::Device)>;

// Holds a network for one training run; given back when the job's steps are destroyed, on the compute thread.
class TrainingHold {
 public:
  explicit TrainingHold(std::shared_ptr<SharedNetwork> shared) : shared_(std::move(shared)) {}
  ~TrainingHold() { shared_->training.store(false); }
  TrainingHold(const TrainingHold&) = delete;
  TrainingHold& operator=(const TrainingHold&) = delete;
  SharedNetwork& shared() const { return *shared_; }

 private:
  std::shared_ptr<SharedNetwork> shared_;
};

void require_pair(const at::Tensor& images, const at::Tensor& labels, int64_t classes, const char* name) {
  if (images.size(0) == 0) fail("ERR_SHAPE", name, ": expected at least one image");
  if (labels.size(0) != images.size(0)) {
    fail("ERR_SHAPE", name, ": expected as many labels as images (", images.size(0), "), found ", labels.size(0));
  }
  require_labels(labels, classes, name);
}

Napi::Value typed_event(Napi::Env env, const char* type) {
  Napi::Object event = Napi::Object::New(env);
  event.Set("type", type);
  return event;
}

// What a run learns from: { images, labels }, or { queue, batches } of a queue that JavaScript fills. It is told by the
// event "taken" of each entry that has been taken, and by "wanted" when the run waits for one: then resume() goes on.
SourceMaker source_argument(const Napi::Value& value, const std::string& prefix, const Architecture& architecture,
                            const MemoryOrder& order) {
  const Napi::Object given = object_argument(value, "data");
  if (given.Has("queue")) {
    const std::shared_ptr<BatchQueue> queue = queue_argument(given.Get("queue"), "queue");
    const int64_t batches = integer_argument(given.Get("batches"), "batches");
    return [=](JobContext& job, c10::Device device) -> std::unique_ptr<BatchSource> {
      return std::make_unique<QueuedBatches>(
          queue, batches, device,
          [job] { job.post_and_hold([](Napi::Env env) { return typed_event(env, "wanted"); }); },
          [job] { job.post([](Napi::Env env) { return typed_event(env, "taken"); }); });
    };
  }
  const at::Tensor images = images_argument(given.Get("images"), (prefix + "images").c_str(), architecture);
  const at::Tensor labels = tensor_argument(given.Get("labels"), (prefix + "labels").c_str(), {at::kInt, at::kLong}, 1);
  require_pair(images, labels, architecture.num_classes, (prefix + "labels").c_str());
  return [=](JobContext&, c10::Device device) -> std::unique_ptr<BatchSource> {
    return std::make_unique<MemoryBatches>(images, labels, order, device);
  };
}

}  // namespace

at::Tensor images_argument(const Napi::Value& value, const char* name, int64_t channels, int64_t size) {
  const at::Tensor images = tensor_argument(value, name, {at::kByte, at::kFloat, at::kDouble}, 4);
  if (size == 0) {
    if (images.size(1) != channels || images.size(2) == 0 || images.size(3) == 0) {
      fail("ERR_SHAPE", name, ": expected shape [N, ", channels, ", height, width], found ", images.sizes());
    }
  } else if (images.size(1) != channels || images.size(2) != size || images.size(3) != size) {
    fail("ERR_SHAPE", name, ": expected shape [N, ", channels, ", ", size, ", ", size, "], found ", images.sizes());
  }
  return images;
}

at::Tensor images_argument(const Napi::Value& value, const char* name, const Architecture& architecture) {
  return images_argument(value, name, architecture.in_channels, architecture.fixed_size());
}

Normalization normalization_argument(const Napi::Value& value, int64_t channels) {
  const Napi::Object object = object_argument(value, "normalization");
  Normalization normalization{numbers_argument(object.Get("mean"), "normalization.mean"),
                              numbers_argument(object.Get("std"), "normalization.std")};
  const auto expected = static_cast<size_t>(channels);
  if (normalization.mean.size() != expected || normalization.std.size() != expected) {
    fail("ERR_SHAPE", "normalization: expected ", expected, " values each of mean and std, found ",
         normalization.mean.size(), " and ", normalization.std.size());
  }
  if (std::any_of(normalization.std.begin(), normalization.std.end(), [](double s) { return s <= 0; })) {
    fail("ERR_RANGE", "normalization.std: expected positive numbers");
  }
  return normalization;
}

void ResNet::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "ResNet",
                                                 {
                                                     getter<&ResNet::training>("training"),
                                                     method<&ResNet::retain>("retain"),
                                                     method<&ResNet::copy>("copy"),
                                                     method<&ResNet::state>("state"),
                                                     method<&ResNet::load_state>("loadState"),
                                                     method<&ResNet::forward>("forward"),
                                                     method<&ResNet::fit>("fit"),
                                                     method<&ResNet::extractor>("extractor"),
                                                     dispose_method(),
                                                 });
  Environment::of(env).resnet_constructor = Napi::Persistent(constructor);
  Napi::Object statics = Napi::Object::New(env);
  statics.Set("create", function<&ResNet::create>(env, "create"));
  statics.Set("describe", function<&ResNet::describe>(env, "describe"));
  exports.Set("ResNet", statics);
}

void ResNet::require_idle(const char* what) const {
  if (live()->training.load()) fail("ERR_BUSY", what, ": the model is being trained");
}

// describe(architecture): [{ name, shape, dtype }] of every parameter and buffer
Napi::Value ResNet::describe(const Napi::CallbackInfo& info) {
  const at::NoGradGuard no_grad;
  const NamedTensors state = described_state(architecture_argument(info[0]));
  Napi::Array described = Napi::Array::New(info.Env(), state.size());
  for (uint32_t i = 0; i < state.size(); ++i) {
    const auto& [name, tensor] = state[i];
    Napi::Array shape = Napi::Array::New(info.Env(), static_cast<size_t>(tensor.dim()));
    for (int64_t d = 0; d < tensor.dim(); ++d) shape.Set(static_cast<uint32_t>(d), static_cast<double>(tensor.size(d)));
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("name", name);
    entry.Set("shape", shape);
    entry.Set("dtype", dtype_name(tensor.scalar_type()));
    described.Set(i, entry);
  }
  return described;
}

// create(control, architecture, { device, dtype, seed })
Napi::Value ResNet::create(const Napi::CallbackInfo& info) {
  const Architecture architecture = architecture_argument(info[1]);
  const Napi::Object options = object_argument(info[2], "options");
  const c10::Device device = device_argument(options.Get("device"), "device");
  const at::ScalarType dtype = dtype_argument(options.Get("dtype"), "dtype");
  if (dtype != at::kFloat && dtype != at::kDouble) fail("ERR_DTYPE", "dtype: expected float32 or float64");
  const auto seed = static_cast<uint64_t>(integer_argument(options.Get("seed"), "seed"));
  return submit(
      info, device, [=](JobContext& job) { return create_network(architecture, seed, device, dtype, job.poll()); },
      &ResNet::wrap);
}

Napi::Value ResNet::wrap(Napi::Env env, const std::shared_ptr<SharedNetwork>& shared) {
  const Napi::Object object = Environment::of(env).resnet_constructor.New({});
  ResNet::Unwrap(object)->hold(env, shared);
  return object;
}

Napi::Value ResNet::training(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), live()->training.load());
}

// retain(): another object of the same network, which outlives the disposal of this one
Napi::Value ResNet::retain(const Napi::CallbackInfo& info) {
  const std::shared_ptr<SharedNetwork>& shared = live();
  const Napi::Object object = Environment::of(info.Env()).resnet_constructor.New({});
  ResNet::Unwrap(object)->share(shared);
  return object;
}

// copy(control): a network of its own with the same weights
Napi::Value ResNet::copy(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit(
      info, shared->on, [shared](JobContext&) { return copied_network(*shared); }, &ResNet::wrap);
}

// state(control): copies of parameters and buffers, in host memory
Napi::Value ResNet::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit(
      info, shared->on, [shared](JobContext&) { return copied_weights(*shared->network); }, named_tensors_to_js);
}

// loadState(control, [{ name, tensor }])
Napi::Value ResNet::load_state(const Napi::CallbackInfo& info) {
  require_idle("loadState");
  const auto shared = live();
  const NamedTensors given = named_tensors_argument(info[1], "state");
  return submit(
      info, shared->on, [shared, given](JobContext&) { load_weights(*shared->network, given); }, nothing);
}

// forward(control, images, { training }): one pass over normalised images, in the parameters' dtype
Napi::Value ResNet::forward(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const at::Tensor images = images_argument(info[1], "images", shared->network->architecture());
  if (!images.is_floating_point())
    fail("ERR_DTYPE", "images: expected float32 or float64, found ", dtype_name(images.scalar_type()));
  if (images.size(0) == 0) fail("ERR_SHAPE", "images: expected at least one image");
  const bool training = boolean_argument(object_argument(info[2], "options").Get("training"), "training");
  if (training) require_idle("forward");
  return submit(
      info, shared->on,
      [=](JobContext& job) {
        require_finite(images, "images");
        Network& network = *shared->network;
        network.train(training);
        const at::Tensor x = images.to(network.device(), network.dtype()).contiguous(at::MemoryFormat::ChannelsLast);
        return network.forward(x, network.dtype(), job.poll());
      },
      [](Napi::Env env, NetworkOutput& output) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("features", Tensor::wrap(env, output.features));
        result.Set("rawFeatures", Tensor::wrap(env, output.raw_features));
        result.Set("logits", Tensor::wrap(env, output.logits));
        return result;
      });
}

// fit(control, options, training, validation?, onEvent); training and validation: { images, labels } or { queue, batches }
Napi::Value ResNet::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const Architecture& architecture = shared->network->architecture();
  TrainingOptions options = training_options_argument(info[1], architecture, shared->network->dtype());
  const MemoryOrder order = order_argument(info[1], architecture);
  const SourceMaker training = source_argument(info[2], "", architecture, order);
  SourceMaker validation;
  if (!info[3].IsUndefined()) {
    validation = source_argument(info[3], "validation ", architecture, MemoryOrder{order.batch_size});
  }
  const bool holds = boolean_argument(object_argument(info[1], "options").Get("holdAfterEpoch"), "holdAfterEpoch");
  bool idle = false;
  if (!shared->training.compare_exchange_strong(idle, true))
    fail("ERR_BUSY", "fit: the model is being trained already");
  const auto hold = std::make_shared<TrainingHold>(shared);
  const int64_t epochs = options.epochs;
  return submit(
      info, shared->on,
      [=, options = std::move(options)](JobContext& job) mutable {
        hold->shared().drop_folded();
        TrainingEvents events;
        events.on_batch = [job](const BatchReport& report) {
          job.post([report](Napi::Env env) { return to_js(env, report); });
        };
        events.on_snapshot = [job](BatchSnapshot&& snapshot) {
          job.post([snapshot = std::make_shared<BatchSnapshot>(std::move(snapshot))](Napi::Env env) {
            return to_js(env, *snapshot);
          });
        };
        events.on_epoch = [job, holds, epochs](EpochReport&& report) {
          const bool between = report.epoch < epochs;
          auto make = [report = std::make_shared<EpochReport>(std::move(report))](Napi::Env env) {
            return to_js(env, *report);
          };
          if (holds && between) {
            job.post_and_hold(std::move(make));
          } else {
            job.post(std::move(make));
          }
        };
        const c10::Device device = hold->shared().network->device();
        TrainingData data{training(job, device), validation ? validation(job, device) : nullptr};
        return train(hold->shared().network, std::move(options), std::move(data), std::move(events), job.poll());
      },
      nothing, info[4]);
}

// extractor(control, { precision }): a folded snapshot of the weights as they are between two batches
Napi::Value ResNet::extractor(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const auto dtype =
      choice_argument<at::ScalarType>(object_argument(info[1], "options").Get("precision"), "precision",
                                      {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float64", at::kDouble}});
  return submit(
      info, shared->on, [=](JobContext&) { return shared->folded(dtype); },
      [](Napi::Env env, std::shared_ptr<const FoldedNetwork>& folded) {
        return Extractor::wrap(env, std::move(folded));
      });
}

}  // namespace ood
