// Scores against their definitions.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>

#include "scores/nearest_neighbours.h"
#include "scores/virtual_logit.h"

namespace ood {

namespace {

const c10::Device cpu(c10::kCPU);

double largest(const at::Tensor& tensor) { return tensor.abs().max().item<double>(); }

}  // namespace

TEST_CASE("neighbours: the k-th distance of every query, by whichever screen") {
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

}  // namespace ood
