// Statistics against their formulas, written out with libtorch's own operations in float64.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <memory>

#include "core/errors.h"
#include "statistics/covariance.h"
#include "statistics/gathered_moments.h"
#include "statistics/gaussian_mixture.h"
#include "statistics/linalg.h"
#include "statistics/log_determinant.h"
#include "statistics/neural_collapse.h"
#include "statistics/row_covariance.h"
#include "statistics/singular_values.h"

namespace ood {

namespace {

const c10::Device cpu(c10::kCPU);
const Poll no_poll = [] {};

double largest(const at::Tensor& tensor) { return tensor.abs().max().item<double>(); }

// Rows of `classes` classes about means that are far from zero and apart.
struct Rows {
  at::Tensor features, labels;
};
Rows make_rows(int64_t per_class, int64_t classes, int64_t dim) {
  const at::Tensor labels = at::arange(classes, at::kLong).repeat_interleave(per_class);
  const at::Tensor means = at::randn({classes, dim}, at::kDouble) * 3 + 100;
  return {means.index_select(0, labels) + at::randn({per_class * classes, dim}, at::kDouble), labels};
}

at::Tensor rows_of(const Rows& rows, int64_t label) {
  return rows.features.index_select(0, rows.labels.eq(label).nonzero().squeeze(1));
}

at::Tensor covariance_by_formula(const at::Tensor& rows, double ddof) {
  const at::Tensor centred = rows - rows.mean(0);
  return centred.t().matmul(centred) / (static_cast<double>(rows.size(0)) - ddof);
}

}  // namespace

TEST_CASE("class moments: batches of any size, merged, give the covariances of all rows") {
  at::manual_seed(1);
  const Rows rows = make_rows(40, 3, 7);
  const at::Tensor order = at::randperm(120, at::kLong);
  const at::Tensor features = rows.features.index_select(0, order), labels = rows.labels.index_select(0, order);
  const auto moments = [&] {
    return std::make_shared<GatheredMoments>(ClassMoments(3, 7, ScatterKind::full, cpu), cpu);
  };
  const auto whole = moments(), first = moments(), second = moments();
  run_to_end(update_moments(whole, features, labels));
  for (int64_t start = 0; start < 120; start += 11) {
    const int64_t end = std::min<int64_t>(start + 11, 120);
    const auto& target = start < 60 ? first : second;
    run_to_end(update_moments(target, features.slice(0, start, end), labels.slice(0, start, end)));
  }
  merge_moments(*first, *second);
  for (const auto& found : {whole, first}) {
    const ClassMoments& now = found->up_to_date();
    CHECK(now.counts() == std::vector<int64_t>{40, 40, 40});
    for (int64_t c = 0; c < 3; ++c) {
      CHECK(largest(now.mean()[c] - rows_of(rows, c).mean(0)) < 1e-12);
      CHECK(largest(covariance_of(now, c, 1) - covariance_by_formula(rows_of(rows, c), 1)) < 1e-11);
    }
    CHECK(largest(covariance_of(now, all_rows, 0) - covariance_by_formula(rows.features, 0)) < 1e-10);
    at::Tensor pooled = at::zeros({7, 7}, at::kDouble);
    for (int64_t c = 0; c < 3; ++c) pooled += covariance_by_formula(rows_of(rows, c), 0) * 40.0 / 117.0;
    CHECK(largest(covariance_of(now, pooled_classes, 1) - pooled) < 1e-11);
  }
}

TEST_CASE("row covariances: weights are as rows that are repeated") {
  at::manual_seed(2);
  const at::Tensor x = at::randn({20, 4}, at::kDouble), times = at::randint(1, 4, {20}, at::kLong);
  RowCovarianceInputs inputs;
  inputs.x = x;
  inputs.weights = times.to(at::kDouble);
  inputs.ddof = 1;
  const at::Tensor expected = covariance_by_formula(x.repeat_interleave(times, 0), 1);
  CHECK(largest(row_covariance(inputs, cpu, no_poll) - expected) < 1e-14);
}

TEST_CASE("a mixture's log densities are those of the formula") {
  at::manual_seed(3);
  const Rows rows = make_rows(50, 3, 5);
  const auto shared = std::make_shared<SharedDensity>(cpu);
  DensityOptions options;
  options.jitter = JitterRule::fixed;
  run_to_end(fit_to_features(shared, rows.features, rows.labels, 3, options, no_poll));
  const at::Tensor queries = rows.features.slice(0, 0, 150, 7) + 0.5;
  const at::Tensor found = run_to_end(evaluate_density(shared, queries, Quantity::class_log_densities, no_poll));
  std::vector<at::Tensor> joint;
  for (int64_t c = 0; c < 3; ++c) {
    const at::Tensor covariance = covariance_by_formula(rows_of(rows, c), 1);
    const at::Tensor deviation = queries - rows_of(rows, c).mean(0);
    const at::Tensor distance = deviation.matmul(at::linalg_inv(covariance)).mul(deviation).sum(1);
    const double constant =
        5 * std::log(2 * std::acos(-1.0)) + std::get<1>(at::linalg_slogdet(covariance)).item<double>();
    const at::Tensor expected = -0.5 * (distance + constant);
    CHECK(largest(found.select(1, c) - expected) < 1e-9);  // squared distances up to 200 at a condition number of 10
    joint.push_back(expected + std::log(1.0 / 3));
  }
  const at::Tensor density = run_to_end(evaluate_density(shared, queries, Quantity::log_density, no_poll));
  CHECK(largest(density - at::logsumexp(at::stack(joint, 1), 1)) < 1e-9);
  const at::Tensor predicted = run_to_end(evaluate_density(shared, queries, Quantity::predict, no_poll));
  CHECK(predicted.eq(at::stack(joint, 1).argmax(1)).all().item<bool>());
}

TEST_CASE("collapse: a simplex frame without variance, and NC1 by its definition") {
  at::manual_seed(4);
  // Rows of I − 1/C are an equiangular tight frame.
  const at::Tensor frame = at::eye(4, at::kDouble) - 0.25;
  const at::Tensor labels = at::arange(4, at::kLong).repeat_interleave(30);
  CollapseInputs inputs;
  inputs.features = frame.index_select(0, labels);
  inputs.labels = labels;
  inputs.weight = frame * 7;
  inputs.classes = 4;
  const CollapseNumbers exact = run_to_end(measure_collapse(inputs));
  CHECK(exact.nc1 == 0);
  CHECK(exact.ea_means < 1e-15);
  CHECK(exact.en_means < 1e-15);
  CHECK(exact.classifier->nc3 < 1e-30);
  CHECK(*exact.nc4 == 0);

  inputs.features = inputs.features + 0.1 * at::randn({120, 4}, at::kDouble) + 5;
  inputs.weight.reset();
  const CollapseNumbers noisy = run_to_end(measure_collapse(inputs));
  at::Tensor within = at::zeros({4, 4}, at::kDouble);
  std::vector<at::Tensor> means;
  for (int64_t c = 0; c < 4; ++c) {
    const at::Tensor rows = rows_of({inputs.features, labels}, c);
    within += covariance_by_formula(rows, 0) / 4;
    means.push_back(rows.mean(0));
  }
  const at::Tensor between = covariance_by_formula(at::stack(means), 0);
  CHECK(noisy.nc1 ==
        doctest::Approx(within.matmul(at::linalg_pinv(between, 1e-10)).trace().item<double>()).epsilon(1e-9));
  CHECK_FALSE(noisy.classifier.has_value());

  const auto moments = std::make_shared<GatheredMoments>(ClassMoments(4, 4, ScatterKind::pooled, cpu), cpu);
  run_to_end(update_moments(moments, inputs.features, labels));
  CHECK(collapse_of_moments(moments->up_to_date(), {}, std::nullopt).nc1 == doctest::Approx(noisy.nc1).epsilon(1e-12));
}

TEST_CASE("singular values: many pieces give those of the whole") {
  at::manual_seed(5);
  const at::Tensor features = at::randn({5000, 300}, at::kDouble) * at::logspace(0, -9, 300, 10.0, at::kDouble) + 3;
  NamedTensors found = run_to_end(singular_values(features, std::nullopt, /*centred=*/true, cpu));
  const at::Tensor expected = at::linalg_svdvals(features - features.mean(0));
  CHECK(found[0].first == "values");
  CHECK(largest((found[0].second - expected) / expected) < 1e-5);  // the last is 1e-9 of the first: 1e-16·1e9, and some
  CHECK(largest((found[0].second - expected).slice(0, 0, 100) / expected.slice(0, 0, 100)) < 1e-11);
}

TEST_CASE("determinants and eigenvalues at sizes beyond float64's range") {
  at::manual_seed(6);
  const at::Tensor half = at::randn({60, 60}, at::kDouble), matrix = half + half.t();
  const NamedTensors plain = log_determinants(matrix, cpu, no_poll);
  const NamedTensors huge = log_determinants(matrix * 1e290, cpu, no_poll);
  CHECK(huge[1].second.item<double>() ==
        doctest::Approx(plain[1].second.item<double>() + 60 * 290 * std::log(10.0)).epsilon(1e-13));
  CHECK(huge[0].second.item<double>() == plain[0].second.item<double>());
  const at::Tensor values = symmetric_eigen(matrix, cpu)[0].second;
  CHECK(largest(symmetric_eigen(matrix * 1e290, cpu)[0].second / 1e290 - values) < 1e-12);
}

TEST_CASE("jitter: none for features of unlike size, some where one follows from the others") {
  at::manual_seed(7);
  const at::Tensor rows = at::randn({200, 4}, at::kDouble);
  const at::Tensor sizes = at::tensor({1e-3, 1e3, 1.0, 1e-2}, at::kDouble);
  const at::Tensor plain = covariance_by_formula(rows * sizes, 1);
  CHECK(safe_cholesky(plain, plain.diagonal().mean().item<double>(), no_poll).jitter == 0);
  // The sum of two features is a third: whatever their sizes and their order, rounding alone is left of a variance.
  for (const int64_t first : {0, 1, 2, 3}) {
    at::Tensor singular = rows.clone();
    singular.select(1, first).copy_(rows.select(1, (first + 1) % 4) + rows.select(1, (first + 2) % 4));
    const at::Tensor covariance = covariance_by_formula(singular * sizes, 1);
    const double scale = covariance.diagonal().mean().item<double>();
    CAPTURE(first);
    CHECK(safe_cholesky(covariance, scale, no_poll).jitter > 0);
  }
}

TEST_CASE("errors carry their codes") {
  CollapseInputs inputs;
  inputs.features = at::ones({4, 2}, at::kDouble);
  inputs.labels = at::zeros({4}, at::kLong);
  inputs.classes = 1;
  try {
    run_to_end(measure_collapse(inputs));
    FAIL("one class was measured");
  } catch (const Error& error) {
    CHECK(std::string(error.code()) == "ERR_SHAPE");
  }
}

}  // namespace ood
