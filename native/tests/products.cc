// Products, factors and inverses by whichever kernels this process chooses (ATEN_CPU_CAPABILITY), against libtorch's.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cstdint>

#include "kernels/convolution.h"
#include "kernels/matrix_product.h"
#include "kernels/triangular.h"
#include "statistics/covariance.h"
#include "statistics/linalg.h"

namespace ood {

namespace {

double largest(const at::Tensor& tensor) { return tensor.abs().max().item<double>(); }

at::Tensor random(at::IntArrayRef shape) { return at::rand(shape, at::kDouble) - 0.5; }

}  // namespace

TEST_CASE("products: sizes that no tile divides, in rows, columns and halves") {
  at::manual_seed(7);
  for (const int64_t rows : {3, 64, 301}) {
    for (const int64_t columns : {5, 301}) {
      for (const int64_t depth : {7, 300, 701}) {
        const at::Tensor a = random({rows, depth}), b = random({depth, columns}), begun = random({rows, columns});
        const at::Tensor expected = begun + 2 * a.matmul(b);
        const at::Tensor found = begun.clone();
        add_product(found, a, b, 2);
        CHECK(largest(found - expected) < 1e-13);  // sums of up to 701 terms of both signs, at most ½ each
        const at::Tensor by_columns = begun.t().contiguous().t();
        add_product(by_columns, a, b, 2);
        CHECK(largest(by_columns - expected) < 1e-13);
        at::Tensor set = at::empty_like(begun);
        set_product(set, a, b);
        CHECK(largest(set - a.matmul(b)) < 1e-13);
      }
    }
  }
  const at::Tensor rows = random({701, 301}), gram = at::zeros({301, 301}, at::kDouble);
  add_lower_gram(gram, rows);
  CHECK(largest(mirror_lower(gram) - rows.t().matmul(rows)) < 1e-12);  // 58 on the diagonal
}

TEST_CASE("products: float32 with a weight that is laid out once") {
  at::manual_seed(8);
  for (const int64_t depth : {3, 256, 700}) {
    for (const int64_t columns : {4, 100, 301}) {
      const at::Tensor x = at::rand({33, depth}) - 0.5, weight = at::rand({columns, depth}) - 0.5;
      const at::Tensor bias = at::rand({columns});
      const at::Tensor expected = at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
      // Of the terms' magnitude of at most ¼ times their number, in units of float32.
      const double tolerance = 6e-8 * static_cast<double>(depth + 10);
      CHECK(largest(Float32Linear(weight, bias)(x) - expected) < tolerance);
      CHECK(largest(Float32Linear(weight, {})(x) - (expected - bias)) < tolerance);
    }
  }
}

TEST_CASE("factors: Cholesky, inverse, jitter and pivots that fail") {
  at::manual_seed(9);
  for (const int64_t dim : {1, 2, 63, 64, 65, 200, 513}) {
    const at::Tensor rows = random({2 * dim + 5, dim});
    const at::Tensor matrix = rows.t().matmul(rows);
    at::Tensor lower;
    CHECK(cholesky_lower(matrix, 0.5, lower) == 0);
    const at::Tensor jittered = matrix + 0.5 * at::eye(dim, at::kDouble);
    CHECK(largest(lower.matmul(lower.t()) - jittered) < 1e-13 * static_cast<double>(dim));
    CHECK(largest(lower.triu(1)) == 0);
    const at::Tensor inverse = inverse_of_lower(lower);
    CHECK(largest(inverse.matmul(lower) - at::eye(dim, at::kDouble)) < 1e-11);
    CHECK(largest(inverse.triu(1)) == 0);
  }
  at::Tensor indefinite = at::eye(130, at::kDouble), lower;
  indefinite[100][100] = -1;
  CHECK(cholesky_lower(indefinite, 0, lower) == 101);
}

TEST_CASE("pseudoinverses: of tall and of indefinite matrices") {
  at::manual_seed(10);
  const at::Tensor tall = random({701, 301});
  const at::Tensor inverse = pseudoinverse(tall, std::nullopt, std::nullopt, false);
  CHECK(largest(inverse.matmul(tall) - at::eye(301, at::kDouble)) < 1e-13);  // a condition number of 5
  const at::Tensor half = random({301, 301}), indefinite = half + half.t();
  const at::Tensor kept = pseudoinverse(indefinite, std::nullopt, 100, true);
  CHECK(largest(kept.matmul(indefinite).matmul(kept) - kept) < 1e-12);
  CHECK(largest(kept - kept.t()) < 1e-13);
  CHECK(kept.matmul(indefinite).trace().item<double>() == doctest::Approx(100).epsilon(1e-12));
}

TEST_CASE("convolutions: outputs and gradients against float64") {
  at::manual_seed(11);
  struct Case {
    int64_t images, in, out, size, kernel, stride;
  };
  // Ones for Winograd's filtering, ones that it does not take, and a strided 1 x 1 of few channels.
  for (const Case& c :
       {Case{4, 16, 24, 9, 3, 1}, {2, 8, 8, 32, 3, 1}, {4, 6, 10, 9, 3, 1}, {4, 16, 8, 9, 3, 2}, {4, 4, 8, 8, 1, 2}}) {
    const at::Tensor x = at::rand({c.images, c.in, c.size, c.size}).contiguous(at::MemoryFormat::ChannelsLast) - 0.5;
    const at::Tensor weight =
        (at::rand({c.out, c.in, c.kernel, c.kernel}) - 0.5).contiguous(at::MemoryFormat::ChannelsLast);
    const auto leaf = [](const at::Tensor& tensor, at::ScalarType dtype) {
      return tensor.to(dtype, /*non_blocking=*/false, /*copy=*/true).requires_grad_(true);
    };
    const at::Tensor x32 = leaf(x, at::kFloat), w32 = leaf(weight, at::kFloat);
    const at::Tensor x64 = leaf(x, at::kDouble), w64 = leaf(weight, at::kDouble);
    const at::Tensor found = convolve(x32, w32, c.stride, c.kernel / 2);
    const at::Tensor expected = at::conv2d(x64, w64, {}, c.stride, c.kernel / 2);
    const at::Tensor direction = at::rand(expected.sizes(), at::kDouble) - 0.5;
    (found * direction.to(at::kFloat)).sum().backward();
    (expected * direction).sum().backward();
    CAPTURE(c.in);
    CAPTURE(c.stride);
    // Sums of up to 1,024 terms of at most ¼ in float32.
    CHECK(largest(found.detach() - expected.detach()) < 2e-5);
    CHECK(largest(x32.grad() - x64.grad()) < 2e-5);
    CHECK(largest(w32.grad() - w64.grad()) < 2e-4);
    const at::Tensor bias = at::rand({c.out}),
                     residual = at::rand(expected.sizes()).contiguous(at::MemoryFormat::ChannelsLast);
    const FrozenConvolution frozen(weight, bias, c.stride, c.kernel / 2);
    const at::Tensor sum = expected.detach() + bias.view({1, -1, 1, 1});
    CHECK(largest(frozen.forward(x, Activation::relu) - sum.relu()) < 2e-5);
    CHECK(largest(frozen.forward_and_add(x, residual, Activation::leaky_relu) - at::leaky_relu(sum + residual)) < 2e-5);
  }
}

}  // namespace ood
