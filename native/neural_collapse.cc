// The neural-collapse numbers.
#include "neural_collapse.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "arguments.h"
#include "class_statistics.h"
#include "covariance.h"
#include "executor.h"
#include "job.h"
#include "tensor.h"

namespace ood {

namespace {

constexpr int64_t chunk_entries = int64_t{1}
                                  << 20;  // of float64: a chunk stays in the cache through all that is done with it

// Standard deviation over mean of the row norms, with divisor n − ddof.
double norm_variation(const at::Tensor& rows, double ddof) {
  const at::Tensor norms = at::linalg_vector_norm(rows, 2, 1);
  const double mean = norms.mean().item<double>();
  const double squares = (norms - mean).square().sum().item<double>();
  return std::sqrt(squares / (static_cast<double>(rows.size(0)) - ddof)) / mean;
}

at::Tensor unit_rows(const at::Tensor& rows) { return rows / at::linalg_vector_norm(rows, 2, 1, true); }

// Mean over pairs of |cos − (−1/(P−1))|.
double angle_deviation(const at::Tensor& rows) {
  const auto classes = static_cast<double>(rows.size(0));
  const at::Tensor unit = unit_rows(rows);
  at::Tensor deviation = unit.mm(unit.t()).add_(1 / (classes - 1)).abs_();
  deviation.fill_diagonal_(0);
  return deviation.sum().item<double>() / (classes * (classes - 1));
}

at::Tensor unit_norm(const at::Tensor& matrix) { return matrix / at::linalg_vector_norm(matrix); }

// Frobenius distance of a Gram matrix, at unit norm, from that of a simplex equiangular tight frame (Zhu et al. 2021,
// NC2).
double etf_distance(const at::Tensor& gram) {
  const auto classes = static_cast<double>(gram.size(0));
  const at::Tensor ideal = (at::eye(gram.size(0), gram.options()) - 1 / classes) / std::sqrt(classes - 1);
  return at::linalg_vector_norm(unit_norm(gram) - ideal).item<double>();
}

void require_weight(const at::Tensor& weight) {
  require_finite(weight, "weight");
  if (at::linalg_vector_norm(weight, 2, 1).eq(0).any().item<bool>())
    fail("ERR_RANGE", "weight: expected no row of zeros");
}

// One measurement of features, a chunk per step, in two passes: class means, then everything that is relative to them.
struct Measurement {
  explicit Measurement(c10::Device where) : device(where) {}

  c10::Device device;
  at::Tensor features, labels, predictions, weight, bias;
  int64_t classes = 0;
  std::optional<double> rcond;

  int pass = 0;
  int64_t done = 0;
  std::vector<int64_t> counts;
  at::Tensor sums, place;  // [C, d]; [C]: index among the classes with samples
  BetweenClasses between;
  at::Tensor half_lengths, within;  // [P]; [P, P]: Σ t tᵀ for t = the centred feature's products with the class means
  int64_t unlike_prediction = 0, unlike_label = 0;
  CollapseNumbers numbers;

  void check() {
    require_finite(features, "features");
    require_labels(labels, classes, "labels");
    if (predictions.defined()) require_labels(predictions, weight.size(0), "predictions");
    require_weight(weight);
    if (bias.defined()) require_finite(bias, "bias");
    weight = weight.to(device, at::kDouble);
    if (bias.defined()) bias = bias.to(device, at::kDouble);
    counts.resize(static_cast<size_t>(classes));
    const at::Tensor histogram = at::bincount(labels, {}, classes);
    for (int64_t c = 0; c < classes; ++c) counts[static_cast<size_t>(c)] = histogram[c].item<int64_t>();
    sums = at::zeros({classes, features.size(1)}, at::TensorOptions(at::kDouble).device(device));
  }

  bool step() {
    const at::NoGradGuard no_grad;
    if (pass == 0) {
      check();
      pass = 1;
    }
    const int64_t count = features.size(0);
    const int64_t end = std::min(count, done + std::max<int64_t>(1, chunk_entries / features.size(1)));
    const at::Tensor rows = features.slice(0, done, end).to(device).to(at::kDouble);
    const at::Tensor label = labels.slice(0, done, end).to(device);
    if (pass == 1) {
      const at::Tensor members = at::zeros({classes, end - done}, rows.options()).scatter_(0, label.unsqueeze(0), 1.0);
      sums.addmm_(members, rows);
    } else {
      relate(rows, label, predictions.defined() ? predictions.slice(0, done, end).to(device) : at::Tensor());
    }
    done = end;
    if (done < count) return false;
    done = 0;
    if (pass == 1) {
      find_means();
      pass = 2;
      return false;
    }
    finish();
    return true;
  }

  void find_means() {
    const at::Tensor divisor = at::tensor(counts, at::kLong).to(device, at::kDouble).clamp_min_(1).unsqueeze(1);
    between = between_classes(sums / divisor, at::zeros_like(sums), counts, rcond);
    half_lengths = between.means.square().sum(1) / 2;
    within = at::zeros_like(between.gram);
    place = at::zeros({classes}, at::kLong);
    for (size_t i = 0; i < between.classes.size(); ++i) place[between.classes[i]] = static_cast<int64_t>(i);
    place = place.to(device);
  }

  void relate(const at::Tensor& rows, const at::Tensor& label, at::Tensor prediction) {
    if (!prediction.defined()) {
      const at::Tensor logits = rows.mm(weight.t());
      prediction = (bias.defined() ? logits + bias : logits).argmax(1);
    }
    const at::Tensor products = (rows - between.centre).mm(between.means.t());
    const at::Tensor nearest = (products - half_lengths).argmax(1);
    const at::Tensor nearest_class = at::tensor(between.classes, at::kLong).to(device).index_select(0, nearest);
    unlike_prediction += nearest_class.ne(prediction).sum().item<int64_t>();
    unlike_label += nearest_class.ne(label).sum().item<int64_t>();
    const at::Tensor centred = products - between.gram.index_select(0, place.index_select(0, label));
    within.addmm_(centred.t(), centred);
  }

  void finish() {
    const auto samples = static_cast<double>(features.size(0));
    numbers = collapse_numbers(between, within, features.size(0), weight);
    numbers.nc4 = static_cast<double>(unlike_prediction) / samples;
    numbers.nc4_labels = static_cast<double>(unlike_label) / samples;
  }
};

Napi::Value to_js(Napi::Env env, const CollapseNumbers& numbers) {
  Napi::Object result = Napi::Object::New(env);
  result.Set("nc1", numbers.nc1);
  result.Set("rank", static_cast<double>(numbers.rank));
  result.Set("enMeans", numbers.en_means);
  result.Set("enMeansDdof0", numbers.en_means_ddof0);
  result.Set("enClassifier", numbers.en_classifier);
  result.Set("enClassifierDdof0", numbers.en_classifier_ddof0);
  result.Set("eaMeans", numbers.ea_means);
  result.Set("eaClassifier", numbers.ea_classifier);
  result.Set("nc3", numbers.nc3);
  result.Set("nc3UnitColumns", numbers.nc3_unit_columns);
  result.Set("etfDistanceMeans", numbers.etf_distance_means);
  result.Set("etfDistanceClassifier", numbers.etf_distance_classifier);
  const auto optional = [&](const std::optional<double>& value) {
    return value ? Napi::Value(Napi::Number::New(env, *value)) : env.Undefined();
  };
  result.Set("nc4", optional(numbers.nc4));
  result.Set("nc4Labels", optional(numbers.nc4_labels));
  Napi::Array classes = Napi::Array::New(env, numbers.classes.size());
  for (uint32_t i = 0; i < numbers.classes.size(); ++i) classes.Set(i, static_cast<double>(numbers.classes[i]));
  result.Set("classes", classes);
  return result;
}

std::optional<double> rcond_argument(const Napi::Value& value) {
  if (value.IsUndefined()) return std::nullopt;
  return number_argument(value, "rcond", 0, 1);
}

// measureCollapse(control, features, labels, predictions | undefined, weight, bias | undefined, rcond | undefined,
// device)
Napi::Value measure(const Napi::CallbackInfo& info) {
  auto measurement = std::make_shared<Measurement>(device_argument(info[7], "device"));
  Measurement& m = *measurement;
  m.features = features_argument(info[1], "features");
  m.labels = labels_argument(info[2], "labels");
  if (!info[3].IsUndefined()) m.predictions = labels_argument(info[3], "predictions");
  m.weight = tensor_argument(info[4], "weight", {at::kFloat, at::kDouble}, 2);
  m.bias = optional_tensor_argument(info[5], "bias", {at::kFloat, at::kDouble}, 1);
  m.rcond = rcond_argument(info[6]);
  m.classes = m.weight.size(0);
  if (m.features.numel() == 0)
    fail("ERR_SHAPE", "features: expected at least one row and one column, found ", m.features.sizes());
  if (m.weight.size(1) != m.features.size(1)) {
    fail("ERR_SHAPE", "weight: expected ", m.features.size(1), " columns as features has, found ", m.weight.size(1));
  }
  const auto require_rows = [&](const at::Tensor& list, int64_t rows, const char* name) {
    if (list.defined() && list.size(0) != rows)
      fail("ERR_SHAPE", name, ": expected ", rows, " values, found ", list.size(0));
  };
  require_rows(m.labels, m.features.size(0), "labels");
  require_rows(m.predictions, m.features.size(0), "predictions");
  require_rows(m.bias, m.classes, "bias");
  return submit_steps(
      info.Env(), m.device, info[0], info.Env().Undefined(), [measurement](JobContext&) { return measurement->step(); },
      [measurement](Napi::Env env) { return to_js(env, measurement->numbers); });
}

// measureCollapseOfStatistics(control, statistics, weight, rcond | undefined): every number but NC4
Napi::Value measure_statistics(const Napi::CallbackInfo& info) {
  const auto statistics = ClassStatistics::unwrap(info[1], "statistics");
  const at::Tensor weight = tensor_argument(info[2], "weight", {at::kFloat, at::kDouble}, 2);
  const std::optional<double> rcond = rcond_argument(info[3]);
  if (weight.size(0) != statistics->classes() || weight.size(1) != statistics->dim()) {
    fail("ERR_SHAPE", "weight: expected [", statistics->classes(), ", ", statistics->dim(), "], found ",
         weight.sizes());
  }
  return submit<CollapseNumbers>(
      info, statistics->device(),
      [=](JobContext&) {
        const at::NoGradGuard no_grad;
        require_weight(weight);
        const ClassMoments& moments = statistics->up_to_date();
        const BetweenClasses between = between_classes(moments.mean(), moments.mean_low(), moments.counts(), rcond);
        return collapse_numbers(between, within_of_scatter(between, moments.pooled_scatter()), moments.total(),
                                weight.to(moments.device(), at::kDouble));
      },
      [](Napi::Env env, CollapseNumbers& numbers) { return to_js(env, numbers); });
}

}  // namespace

BetweenClasses between_classes(const at::Tensor& mean, const at::Tensor& mean_low, const std::vector<int64_t>& counts,
                               std::optional<double> rcond) {
  BetweenClasses between;
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] > 0) between.classes.push_back(static_cast<int64_t>(c));
  }
  const auto classes = static_cast<int64_t>(between.classes.size());
  if (classes < 2) fail("ERR_SHAPE", "labels: expected samples of at least 2 classes, found ", classes);
  const at::Tensor index = at::tensor(between.classes, at::kLong).to(mean.device());
  const at::Tensor means = mean.index_select(0, index);
  const at::Tensor means_low = mean_low.index_select(0, index);
  between.centre = means.mean(0);
  between.means = (means - between.centre).add_(means_low);
  between.gram = between.means.mm(between.means.t());
  const auto [values, vectors] = at::linalg_eigh(between.gram);
  const int64_t dim = mean.size(1);
  const auto largest_size = static_cast<double>(std::max(classes, dim));
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  // What rounding of the class means alone leaves in the Gram matrix.
  const double rounding = static_cast<double>(classes * dim) * std::pow(epsilon * means.abs().max().item<double>(), 2);
  const double largest = values.max().item<double>();
  if (!(largest > rounding))
    fail("ERR_RANGE", "features: expected class means that differ, found them all at one point");
  const double cut = std::max(rcond.value_or(4 * largest_size * epsilon) * largest, rcond ? 0.0 : rounding);
  // Eigenvalues ascend; the lowest belongs to the sum of the means, which is zero by construction.
  const int64_t first = std::max<int64_t>(1, classes - values.gt(cut).sum().item<int64_t>());
  between.strengths = values.slice(0, first, classes);
  between.directions = vectors.slice(1, first, classes);
  return between;
}

at::Tensor within_of_scatter(const BetweenClasses& between, const at::Tensor& scatter) {
  const at::Tensor half = scatter.tril(-1).mm(between.means.t());
  const at::Tensor product = between.means.mm(half);
  return product + product.t() + (between.means * scatter.diagonal()).mm(between.means.t());
}

CollapseNumbers collapse_numbers(const BetweenClasses& between, const at::Tensor& within, int64_t samples,
                                 const at::Tensor& weight) {
  const auto classes = static_cast<double>(between.classes.size());
  const at::Tensor rows = weight.index_select(0, at::tensor(between.classes, at::kLong).to(weight.device()));
  CollapseNumbers numbers;
  numbers.classes = between.classes;
  numbers.rank = between.strengths.size(0);
  // C·tr(M̄ᵀ Σ_W M̄ · K† K†) along the eigenvectors of K = M̄ᵀM̄
  const at::Tensor along = (between.directions * within.mm(between.directions)).sum(0);
  numbers.nc1 = classes * (along / between.strengths.square()).sum().item<double>() / static_cast<double>(samples);
  numbers.en_means = norm_variation(between.means, 1);
  numbers.en_means_ddof0 = norm_variation(between.means, 0);
  numbers.en_classifier = norm_variation(rows, 1);
  numbers.en_classifier_ddof0 = norm_variation(rows, 0);
  numbers.ea_means = angle_deviation(between.means);
  numbers.ea_classifier = angle_deviation(rows);
  numbers.nc3 = (unit_norm(rows) - unit_norm(between.means)).square().sum().item<double>();
  numbers.nc3_unit_columns = (unit_rows(rows) - unit_rows(between.means)).square().sum().item<double>();
  numbers.etf_distance_means = etf_distance(between.gram);
  numbers.etf_distance_classifier = etf_distance(rows.mm(rows.t()));
  return numbers;
}

void define_neural_collapse(Napi::Env env, Napi::Object exports) {
  exports.Set("measureCollapse", function<measure>(env, "measureCollapse"));
  exports.Set("measureCollapseOfStatistics", function<measure_statistics>(env, "measureCollapseOfStatistics"));
}

}  // namespace ood
