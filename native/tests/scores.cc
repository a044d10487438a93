// Scores against their definitions.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "core/errors.h"
#include "scores/nearest_neighbours.h"
#include "scores/row_scores.h"
#include "scores/virtual_logit.h"

namespace ood {

namespace {

const c10::Device cpu(c10::kCPU);

double largest(const at::Tensor& tensor) { return tensor.abs().max().item<double>(); }

}  // namespace

TEST_CASE("neighbours: the k-th distance of every query, by whichever pruning bound") {
  at::manual_seed(1);
  const at::Tensor spread = at::randn({900, 12}, at::kDouble);
  struct Case {
    std::string what;
    at::Tensor points;
  };
  const Case cases[] = {{"spread out", spread},
                        {"far from zero, where float32 tells nothing apart", spread * 1e-6 + 1e3},
                        {"in pairs", spread.slice(0, 0, 450).repeat({2, 1})},
                        {"float32", spread.to(at::kFloat)}};
  for (const auto& [what, points] : cases) {
    for (const bool normalize : {false, true}) {
      CAPTURE(what);
      CAPTURE(normalize);
      const at::Tensor queries = at::cat({points.slice(0, 0, 40), points.slice(0, 40, 80) + 1e-7});
      const auto fitted = std::make_shared<NeighbourPoints>(cpu);
      run_to_end(fit_neighbours(fitted, points, 5, normalize));
      const at::Tensor found = run_to_end(neighbour_distances(fitted, queries));
      const auto unit = [&](const at::Tensor& rows) {
        const at::Tensor exact = rows.to(at::kDouble);
        return normalize ? exact / at::linalg_vector_norm(exact, 2, 1, true) : exact;
      };
      // Differences, not products: cdist's second mode.
      const at::Tensor all = at::cdist(unit(queries), unit(points), 2, /*compute_mode=*/2);
      const at::Tensor expected = std::get<0>(all.kthvalue(5, 1));
      // Entries of rows of unit length are rounded by 1e-16 here and there.
      CHECK(largest(found - expected) <= 1e-12 * largest(expected) + (normalize ? 1e-15 : 0));
    }
  }
}

TEST_CASE("ViM: the energy less the length outside the principal subspace") {
  at::manual_seed(2);
  const at::Tensor features = at::randn({3000, 9}, at::kDouble) * at::linspace(3, 0.1, 9, at::kDouble);
  const at::Tensor weight = at::randn({4, 9}, at::kDouble), bias = at::randn({4}, at::kDouble);
  const at::Tensor logits = at::linear(features, weight, bias);
  const auto space = std::make_shared<ResidualSpace>(cpu);
  const double alpha = run_to_end(fit_virtual_logit(space, {features, logits, weight, bias}, 5, [] {}));
  const at::Tensor origin = -at::linalg_pinv(weight).mv(bias), centred = features - origin;
  const at::Tensor axes = std::get<2>(at::linalg_svd(centred, false)).slice(0, 5);
  const at::Tensor residual = at::linalg_vector_norm(centred.matmul(axes.t()), 2, 1);
  const double expected = (std::get<0>(logits.max(1)).sum() / residual.sum()).item<double>();
  CHECK(alpha == doctest::Approx(expected).epsilon(1e-11));
  const at::Tensor scores = run_to_end(virtual_logit_scores(space, features, logits));
  CHECK(largest(scores - (at::logsumexp(logits, 1) - expected * residual)) < 1e-10);
  const ResidualSpace again = ResidualSpace::from_state(9, 5, space->state(), cpu);
  CHECK(at::equal(again.basis, space->basis));
}

namespace {

at::Tensor scores_of(const at::Tensor& matrix, RowQuantity quantity, double temperature = 1) {
  return run_to_end(row_scores(matrix, {quantity, temperature, "matrix"}));
}

std::string failure_of(const at::Tensor& matrix, RowQuantity quantity, double temperature = 1) {
  try {
    scores_of(matrix, quantity, temperature);
  } catch (const Error& error) {
    return std::string(error.code()) + " " + error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("row scores: their definitions, by libtorch's operations") {
  at::manual_seed(3);
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    for (const int64_t columns : {1, 2, 10, 300}) {
      CAPTURE(columns);
      const at::Tensor given = (at::randn({70000 / columns, columns}, at::kDouble) * 7).to(dtype);
      const at::Tensor logits = given.to(at::kDouble);
      for (const double temperature : {0.3, 1.0, 20.0}) {
        CAPTURE(temperature);
        const at::Tensor scaled = logits / temperature, logs = at::log_softmax(scaled, 1);
        CHECK(largest(scores_of(given, RowQuantity::max_softmax, temperature) - logs.exp().amax(1)) < 1e-14);
        const at::Tensor entropy = (logs.exp() * logs).sum(1);
        CHECK(largest(scores_of(given, RowQuantity::negative_entropy, temperature) - entropy) < 1e-13);
        const at::Tensor energy = at::logsumexp(scaled, 1) * temperature;
        CHECK(largest(scores_of(given, RowQuantity::energy, temperature) - energy) < 1e-12);
      }
      CHECK(at::equal(scores_of(given, RowQuantity::max_logit), logits.amax(1)));
      CHECK(at::equal(scores_of(given, RowQuantity::predicted_class), logits.argmax(1).to(at::kDouble)));
      const at::Tensor lengths = at::linalg_vector_norm(logits, 2, 1);
      CHECK(largest(scores_of(given, RowQuantity::length) / lengths - 1) < 1e-14);
      const at::Tensor top = std::get<0>(logits.topk(std::min<int64_t>(2, columns), 1));
      CHECK(at::equal(scores_of(given, RowQuantity::margin), top.select(1, 0) - top.select(1, -1)));
    }
  }
}

TEST_CASE("row scores at any magnitude") {
  const at::Tensor rows = at::tensor({3e300, 4e300, 3e-320, 4e-320, 0.0, 0.0}, at::kDouble).view({3, 2});
  const at::Tensor lengths = scores_of(rows, RowQuantity::length);
  CHECK(lengths[0].item<double>() == doctest::Approx(5e300).epsilon(1e-15));
  CHECK(lengths[1].item<double>() == doctest::Approx(5e-320).epsilon(1e-3));
  CHECK(lengths[2].item<double>() == 0);
  const at::Tensor far = at::tensor({1.7e308, -1.7e308, 0.0}, at::kDouble).view({1, 3});
  CHECK(scores_of(far, RowQuantity::energy).item<double>() == 1.7e308);
  CHECK(scores_of(far, RowQuantity::max_softmax, 1e308).item<double>() ==
        doctest::Approx(1 / (1 + std::exp(-3.4) + std::exp(-1.7))).epsilon(1e-14));
  // Beside the 1 of a sure row the others have no digits; their entropy has.
  const at::Tensor sure = at::tensor({0.0, -100.0}, at::kDouble).view({1, 2});
  CHECK(scores_of(sure, RowQuantity::negative_entropy).item<double>() ==
        doctest::Approx(-101 * std::exp(-100.0)).epsilon(1e-14));
  CHECK(scores_of(at::ones({1, 4}, at::kFloat), RowQuantity::predicted_class).item<double>() == 0);
}

TEST_CASE("row scores name the first row that has none") {
  const double infinity = std::numeric_limits<double>::infinity();
  at::Tensor rows = at::ones({100000, 5}, at::kFloat);
  rows[99998][2] = std::nan("");
  rows[77777][4] = -infinity;
  CHECK(failure_of(rows, RowQuantity::energy) ==
        "ERR_NON_FINITE matrix: expected finite numbers, found -Infinity in row 77777");
  const at::Tensor far = at::full({2, 9}, 1.7e308, at::kDouble);
  far[0].fill_(1);
  CHECK(failure_of(far, RowQuantity::length) ==
        "ERR_RANGE matrix: expected rows whose length is within float64, found row 1 beyond");
  CHECK(failure_of(far, RowQuantity::energy, 1e307) ==
        "ERR_RANGE matrix: expected rows whose energy is within float64, found row 1 beyond");
}

}  // namespace ood
