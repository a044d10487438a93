// The native class ResNet.
#include "resnet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <utility>

#include "arguments.h"
#include "environment.h"
#include "extractor.h"
#include "folded_network.h"
#include "tensor.h"
#include "training.h"

namespace ood {

namespace {

Architecture architecture_argument(const Napi::Value& value) {
  const Napi::Object object = object_argument(value, "architecture");
  Architecture architecture;
  architecture.depth = integer_argument(object.Get("depth"), "depth", 18, 50);
  if (architecture.depth != 18 && architecture.depth != 50)
    fail("ERR_OPTION", "depth: expected 18 or 50, found ", architecture.depth);
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

NamedTensors named_tensors_argument(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) fail("ERR_OPTION", name, ": expected an array of { name, tensor }");
  const auto array = value.As<Napi::Array>();
  NamedTensors tensors;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Object entry = object_argument(array.Get(i), name);
    const std::string key = string_argument(entry.Get("name"), name);
    tensors.emplace_back(key, tensor_argument(entry.Get("tensor"), key.c_str()));
  }
  return tensors;
}

Napi::Value to_js(Napi::Env env, const NamedTensors& tensors) {
  Napi::Array array = Napi::Array::New(env, tensors.size());
  for (uint32_t i = 0; i < tensors.size(); ++i) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", tensors[i].first);
    entry.Set("tensor", Tensor::wrap(env, tensors[i].second));
    array.Set(i, entry);
  }
  return array;
}

NamedTensors copy_of(const NamedTensors& tensors) {
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) {
    copies.emplace_back(
        name, tensor.detach().to(at::kCPU, tensor.scalar_type(), false, /*copy=*/true, at::MemoryFormat::Contiguous));
  }
  return copies;
}

TrainingOptions training_options_argument(const Napi::Value& value, const Architecture& architecture,
                                          at::ScalarType dtype) {
  const Napi::Object object = object_argument(value, "options");
  TrainingOptions options;
  options.loss =
      string_argument(object.Get("loss"), "loss") == "neural-collapse" ? Loss::neural_collapse : Loss::cross_entropy;
  options.epochs = integer_argument(object.Get("epochs"), "epochs", 1, 1 << 24);
  options.batch_size = integer_argument(object.Get("batchSize"), "batchSize", 1, 1 << 20);
  options.learning_rate = number_argument(object.Get("learningRate"), "learningRate", 0);
  options.momentum = number_argument(object.Get("momentum"), "momentum", 0, 1);
  options.weight_decay = number_argument(object.Get("weightDecay"), "weightDecay", 0);
  options.nesterov = boolean_argument(object.Get("nesterov"), "nesterov");
  options.cosine = string_argument(object.Get("schedule"), "schedule") == "cosine";
  options.milestones = integers_argument(object.Get("milestones"), "milestones");
  options.gamma = number_argument(object.Get("gamma"), "gamma", 0);
  options.augmentation.crop_padding =
      integer_argument(object.Get("cropPadding"), "cropPadding", 0, architecture.image_size);
  options.augmentation.horizontal_flip = boolean_argument(object.Get("horizontalFlip"), "horizontalFlip");
  options.shuffle = boolean_argument(object.Get("shuffle"), "shuffle");
  options.compute_dtype = string_argument(object.Get("precision"), "precision") == "bfloat16" ? at::kBFloat16 : dtype;
  options.seed = static_cast<uint64_t>(integer_argument(object.Get("seed"), "seed"));
  options.normalization = normalization_argument(object.Get("normalization"), architecture.in_channels);
  options.snapshot_every = integer_argument(object.Get("snapshotEvery"), "snapshotEvery");
  options.start_epoch = integer_argument(object.Get("startEpoch"), "startEpoch", 0, options.epochs);
  options.momentum_buffers = named_tensors_argument(object.Get("momentumBuffers"), "momentumBuffers");
  return options;
}

Napi::Value to_js(Napi::Env env, const BatchReport& report) {
  Napi::Object event = Napi::Object::New(env);
  event.Set("type", "batch");
  event.Set("epoch", static_cast<double>(report.epoch));
  event.Set("batch", static_cast<double>(report.batch));
  event.Set("batches", static_cast<double>(report.batches));
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
  event.Set("state", snapshot ? to_js(env, report.state) : env.Undefined());
  event.Set("momentumBuffers", snapshot ? to_js(env, report.momentum_buffers) : env.Undefined());
  return event;
}

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

}  // namespace

at::Tensor images_argument(const Napi::Value& value, const char* name, const Architecture& architecture) {
  const at::Tensor images = tensor_argument(value, name, {at::kByte, at::kFloat, at::kDouble}, 4);
  const int64_t channels = architecture.in_channels, size = architecture.image_size;
  if (images.size(1) != channels || images.size(2) != size || images.size(3) != size) {
    fail("ERR_SHAPE", name, ": expected shape [N, ", channels, ", ", size, ", ", size, "], found ", images.sizes());
  }
  return images;
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

std::shared_ptr<const FoldedNetwork> SharedNetwork::folded(at::ScalarType dtype) {
  if (!folded_ || folded_->dtype() != dtype || folded_revision_ != network->revision()) {
    folded_.reset();
    folded_ = std::make_shared<const FoldedNetwork>(*network, dtype);
    folded_revision_ = network->revision();
  }
  return folded_;
}

void ResNet::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(env, "ResNet",
                                                 {
                                                     getter<&ResNet::training>("training"),
                                                     method<&ResNet::state>("state"),
                                                     method<&ResNet::load_state>("loadState"),
                                                     method<&ResNet::forward>("forward"),
                                                     method<&ResNet::fit>("fit"),
                                                     method<&ResNet::extractor>("extractor"),
                                                     method<&ResNet::dispose>("dispose"),
                                                 });
  Environment::of(env).resnet_constructor = Napi::Persistent(constructor);
  Napi::Object statics = Napi::Object::New(env);
  statics.Set("create", function<&ResNet::create>(env, "create"));
  exports.Set("ResNet", statics);
  Extractor::define(env, exports);
}

ResNet::~ResNet() {
  if (accounted_bytes_ != 0) Napi::MemoryManagement::AdjustExternalMemory(Env(), -accounted_bytes_);
  release_on(shared_);
}

void ResNet::hold(Napi::Env env, std::shared_ptr<SharedNetwork> shared) {
  shared_ = std::move(shared);
  if (!shared_->on.is_cpu()) return;
  for (const auto& [name, tensor] : shared_->network->state())
    accounted_bytes_ += static_cast<int64_t>(tensor.nbytes());
  Napi::MemoryManagement::AdjustExternalMemory(env, accounted_bytes_);
}

const std::shared_ptr<SharedNetwork>& ResNet::live() const {
  if (!shared_) fail("ERR_DISPOSED", "model: it has been disposed");
  return shared_;
}

void ResNet::require_idle(const char* what) const {
  if (live()->training.load()) fail("ERR_BUSY", what, ": the model is being trained");
}

// create(control, architecture, { device, dtype, seed })
Napi::Value ResNet::create(const Napi::CallbackInfo& info) {
  const Architecture architecture = architecture_argument(info[1]);
  const Napi::Object options = object_argument(info[2], "options");
  const c10::Device device = device_argument(options.Get("device"), "device");
  const at::ScalarType dtype = dtype_argument(options.Get("dtype"), "dtype");
  if (dtype != at::kFloat && dtype != at::kDouble) fail("ERR_DTYPE", "dtype: expected float32 or float64");
  const auto seed = static_cast<uint64_t>(integer_argument(options.Get("seed"), "seed"));
  const auto network = std::make_shared<std::shared_ptr<Network>>();
  const auto shared = std::make_shared<std::shared_ptr<SharedNetwork>>();
  return submit_steps(
      info.Env(), device, info[0], info.Env().Undefined(),
      [=, warm = int64_t{0}](JobContext& job) mutable {
        if (!*network) *network = std::make_shared<Network>(architecture, seed);
        // An iteration a step: other jobs take their turns, and a cancellation or exit does not wait for the last.
        if (architecture.spectral_norm_coefficient > 0 && warm < architecture.warmup_iterations) {
          (*network)->warm_up([&job] { job.check(); });
          ++warm;
          return false;
        }
        (*network)->move_to(device, dtype);
        (*network)->eval();
        *shared = std::make_shared<SharedNetwork>(std::move(*network), device);
        return true;
      },
      [shared](Napi::Env env) -> Napi::Value {
        const Napi::Object object = Environment::of(env).resnet_constructor.New({});
        ResNet::Unwrap(object)->hold(env, std::move(*shared));
        return object;
      });
}

Napi::Value ResNet::training(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), live()->training.load());
}

// state(control): copies of parameters and buffers, in host memory
Napi::Value ResNet::state(const Napi::CallbackInfo& info) {
  const auto shared = live();
  return submit<NamedTensors>(
      info, shared->on, [shared](JobContext&) { return copy_of(shared->network->state()); },
      [](Napi::Env env, NamedTensors& tensors) { return to_js(env, tensors); });
}

// loadState(control, [{ name, tensor }]): every parameter and buffer, by name; nothing changes unless all fit
Napi::Value ResNet::load_state(const Napi::CallbackInfo& info) {
  require_idle("loadState");
  const auto shared = live();
  const NamedTensors given = named_tensors_argument(info[1], "state");
  return submit_void(info, shared->on, [shared, given](JobContext&) {
    std::map<std::string, at::Tensor> by_name(given.begin(), given.end());
    const NamedTensors own = shared->network->state();
    for (const auto& [name, tensor] : own) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) fail("ERR_SHAPE", "state: no tensor \"", name, "\"");
      if (found->second.sizes() != tensor.sizes()) {
        fail("ERR_SHAPE", "state: ", name, ": expected shape ", tensor.sizes(), ", found ", found->second.sizes());
      }
      if (found->second.is_floating_point() != tensor.is_floating_point()) {
        fail("ERR_DTYPE", "state: ", name, ": expected ", dtype_name(tensor.scalar_type()), ", found ",
             dtype_name(found->second.scalar_type()));
      }
      require_finite(found->second, name.c_str());
    }
    if (by_name.size() != own.size()) {
      for (const auto& [name, tensor] : own) by_name.erase(name);
      fail("ERR_OPTION", "state: unknown tensor \"", by_name.begin()->first, "\"");
    }
    shared->network->mark_changed();
    for (const auto& [name, tensor] : own) tensor.detach().copy_(by_name.at(name));
  });
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
  return submit<NetworkOutput>(
      info, shared->on,
      [=](JobContext& job) {
        require_finite(images, "images");
        Network& network = *shared->network;
        network.train(training);
        const at::Tensor x = images.to(network.device(), network.dtype()).contiguous(at::MemoryFormat::ChannelsLast);
        return network.forward(x, network.dtype(), [&job] { job.check(); });
      },
      [](Napi::Env env, NetworkOutput& output) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        result.Set("features", Tensor::wrap(env, output.features));
        result.Set("rawFeatures", Tensor::wrap(env, output.raw_features));
        result.Set("logits", Tensor::wrap(env, output.logits));
        return result;
      });
}

// fit(control, options, images, labels, validationImages?, validationLabels?, onEvent)
Napi::Value ResNet::fit(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const Architecture& architecture = shared->network->architecture();
  TrainingOptions options = training_options_argument(info[1], architecture, shared->network->dtype());
  const at::Tensor images = images_argument(info[2], "images", architecture);
  const at::Tensor labels = tensor_argument(info[3], "labels", {at::kInt, at::kLong}, 1);
  require_pair(images, labels, architecture.num_classes, "labels");
  at::Tensor validation_images, validation_labels;
  if (!info[4].IsUndefined()) {
    validation_images = images_argument(info[4], "validation images", architecture);
    validation_labels = tensor_argument(info[5], "validation labels", {at::kInt, at::kLong}, 1);
    require_pair(validation_images, validation_labels, architecture.num_classes, "validation labels");
  }
  const bool holds = boolean_argument(object_argument(info[1], "options").Get("holdAfterEpoch"), "holdAfterEpoch");
  bool idle = false;
  if (!shared->training.compare_exchange_strong(idle, true))
    fail("ERR_BUSY", "fit: the model is being trained already");
  const auto hold = std::make_shared<TrainingHold>(shared);
  const int64_t epochs = options.epochs;
  auto training = std::make_shared<std::unique_ptr<Training>>();
  return submit_steps(
      info.Env(), shared->on, info[0], info[6],
      [=, options = std::move(options)](JobContext& job) mutable {
        if (!*training) {  // copies to the device are made here, not on the JavaScript thread
          if (images.is_floating_point()) require_finite(images, "images");
          hold->shared().drop_folded();
          *training = std::make_unique<Training>(hold->shared().network, std::move(options), images, labels,
                                                 validation_images, validation_labels);
          (*training)->on_batch = [job](const BatchReport& report) {
            job.post([report](Napi::Env env) { return to_js(env, report); });
          };
          (*training)->on_epoch = [job, holds, epochs](EpochReport&& report) {
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
        }
        return (*training)->step([&job] { job.check(); });
      },
      [](Napi::Env env) -> Napi::Value { return env.Undefined(); });
}

// extractor(control, { precision }): a folded snapshot of the weights as they are between two batches
Napi::Value ResNet::extractor(const Napi::CallbackInfo& info) {
  const auto shared = live();
  const std::string precision = string_argument(object_argument(info[1], "options").Get("precision"), "precision");
  const at::ScalarType dtype = precision == "bfloat16"  ? at::kBFloat16
                               : precision == "float64" ? at::kDouble
                               : precision == "float32" ? at::kFloat
                                                        : at::kHalf;
  if (dtype == at::kHalf)
    fail("ERR_OPTION", "precision: expected float32, bfloat16 or float64, found \"", precision, "\"");
  return submit<std::shared_ptr<const FoldedNetwork>>(
      info, shared->on, [=](JobContext&) { return shared->folded(dtype); },
      [](Napi::Env env, std::shared_ptr<const FoldedNetwork>& folded) {
        return Extractor::wrap(env, std::move(folded));
      });
}

Napi::Value ResNet::dispose(const Napi::CallbackInfo& info) {
  if (accounted_bytes_ != 0) {
    Napi::MemoryManagement::AdjustExternalMemory(info.Env(), -accounted_bytes_);
    accounted_bytes_ = 0;
  }
  release_on(shared_);
  return info.Env().Undefined();
}

}  // namespace ood
