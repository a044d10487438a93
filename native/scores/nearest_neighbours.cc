// The distance to the k-th nearest of some points.
#include "scores/nearest_neighbours.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "core/checks.h"
#include "core/errors.h"
#include "core/magnitude.h"
#include "core/parallel.h"
#include "kernels/matrix_product.h"
#include "platform/symbol_versions.h"

namespace ood {

namespace {

// Queries and points whose distances are formed together, in one step: 32 MB of float32, which take some milliseconds.
constexpr int64_t chunk_rows = 1024;
constexpr int64_t tile_rows = 8192;

// What a step takes on at most where rows are long: elements that are prepared, and by the kind of bound the products
// or differences that are summed, each some ten milliseconds' worth on two cores.
constexpr int64_t step_elements = int64_t{1} << 23;
constexpr int64_t step_products = int64_t{1} << 32;
constexpr int64_t step_double_products = int64_t{1} << 30;
constexpr int64_t step_differences = int64_t{1} << 26;

// Queries that go through the points together, so that a tile of points is prepared once for all of them.
constexpr int64_t block_rows = 8 * chunk_rows;

// So few queries are compared by differences at once: preparing the points would take longer.
constexpr int64_t few_queries = 2;

// Candidates beyond k: so many distances may lie too near the k-th for the bound to tell them apart.
constexpr int64_t spare = 16;

// Rows as they are compared: float64, of unit length where that is asked for. May share the memory of `rows`.
at::Tensor exact_rows(const at::Tensor& rows, const at::Tensor& inverse) {
  const at::Tensor exact = rows.to(at::kDouble);
  return inverse.defined() ? exact * inverse : exact;
}

[[noreturn]] void fail_too_long() {
  fail("ERR_RANGE",
       "features: expected rows shorter than 1e154, and than 1e154 times the spread of the training features, found a "
       "longer one");
}

// Lengths of float64 rows, [n]; ERR_RANGE where one is too long to be squared.
at::Tensor lengths(const at::Tensor& rows) {
  at::Tensor length = row_lengths(rows);
  if (!length.lt(1e154).all().item<bool>()) fail_too_long();
  return length;
}

// 1/‖row‖, [n, 1]; 1 for a row of zeros, which stays one. ERR_RANGE for a length that is beyond float64, or whose
// reciprocal is.
at::Tensor inverse_lengths(const at::Tensor& rows) {
  const at::Tensor length = row_lengths(rows.to(at::kDouble)).unsqueeze(1);
  const at::Tensor zero = length.eq(0);
  const at::Tensor found = length.ge(std::numeric_limits<double>::min()).logical_and_(length.isfinite());
  if (!found.logical_or_(zero).all().item<bool>()) {
    fail("ERR_RANGE",
         "features: expected rows of zeros, or longer than 2.3e-308 and shorter than 1.8e308, found one whose "
         "direction is lost");
  }
  return at::where(zero, at::ones_like(length), length.reciprocal());
}

// The `wanted` least of each row and where they are, in no order, or all that are below the row's `limit` [n, 1] and at
// most some more if they are fewer. They lie in the groups of columns with the least minima, which are found in fewer
// steps than the values themselves.
std::tuple<at::Tensor, at::Tensor> least(const at::Tensor& values, int64_t wanted, const at::Tensor& limit) {
  constexpr int64_t group = 16;
  const int64_t rows = values.size(0);
  const int64_t columns = values.size(1);
  const int64_t whole = columns / group * group;
  if (2 * group * wanted > whole) return values.topk(std::min(wanted, columns), 1, /*largest=*/false, /*sorted=*/false);
  const at::Tensor minima = values.slice(1, 0, whole).unflatten(1, {whole / group, group}).amin(2);
  const int64_t kept = std::min(wanted, minima.lt(limit).sum(1).max().item<int64_t>());
  at::Tensor index = at::arange(whole, columns, minima.options().dtype(at::kLong)).expand({rows, columns - whole});
  if (kept > 0) {
    const at::Tensor groups = std::get<1>(minima.topk(kept, 1, /*largest=*/false, /*sorted=*/false));
    const at::Tensor inside = groups.unsqueeze(2) * group + at::arange(group, groups.options());
    index = at::cat({inside.view({rows, kept * group}), index}, 1);
  }
  const at::Tensor some = values.gather(1, index);
  if (some.size(1) <= wanted) return {some, index};
  const auto [chosen, where] = some.topk(wanted, 1, /*largest=*/false, /*sorted=*/false);
  return {chosen, index.gather(1, where)};
}

// How distances are bounded before they are measured. The first two by matrix product, which cancels where points are
// close together; the last by differences.
enum class Pruning { single_product, double_product, differences };

Pruning finer(Pruning pruning) {
  return pruning == Pruning::single_product ? Pruning::double_product : Pruning::differences;
}

// What a squared distance by a product differs by from the exact one at most, where the longest point has
// length P and the query the length |q|. With u the unit of rounding, the product of two vectors of d entries, each
// rounded a few times itself, is wrong by (d + 10)·u·|q|·P at most; squared lengths and the sum of the terms add 4·u
// (P² + |q|·P); the distance that is called exact is rounded, too.
at::Tensor product_error(Pruning pruning, int64_t dim, double longest, const at::Tensor& query_length) {
  const auto d = static_cast<double>(dim);
  const double half_double = 0.5 * std::numeric_limits<double>::epsilon();
  const double unit = pruning == Pruning::single_product ? 0.5 * std::numeric_limits<float>::epsilon() : half_double;
  const at::Tensor rounding = (query_length + longest).square_().mul_(4 * (d + 4) * half_double);
  return query_length.mul(2 * (d + 12) * longest).add_(4 * longest * longest).mul_(1.01 * unit).add_(rounding);
}

// (point − centre)·scale of points [begin, end) in float32, and its squared length; in one pass, which memory alone
// limits.
template <class T>
void prepare_points(const NeighbourPoints& from, int64_t begin, int64_t end, at::Tensor& rows, at::Tensor& squares) {
  const int64_t dim = from.points.size(1);
  const T* points = from.points.const_data_ptr<T>() + begin * dim;
  const double* inverse = from.inverse.defined() ? from.inverse.const_data_ptr<double>() + begin : nullptr;
  const double* centre = from.centre.const_data_ptr<double>();
  float* prepared = rows.mutable_data_ptr<float>();
  double* squared_length = squares.mutable_data_ptr<double>();
  in_parallel_ranges(end - begin, 64, [&, scale = from.scale](int64_t first, int64_t last) {
    constexpr int64_t lanes = 8;  // partial sums, so that the compiler may vectorise
    for (int64_t row = first; row < last; ++row) {
      const T* point = points + row * dim;
      float* out = prepared + row * dim;
      const double unit = inverse != nullptr ? inverse[row] : 1;
      double sums[lanes] = {};
      const auto take = [&](int64_t j, int64_t lane) {
        const double value = (static_cast<double>(point[j]) * unit - centre[j]) * scale;
        out[j] = static_cast<float>(value);
        sums[lane] += value * value;
      };
      int64_t j = 0;
      for (; j + lanes <= dim; j += lanes) {
        for (int64_t lane = 0; lane < lanes; ++lane) take(j + lane, lane);
      }
      for (; j < dim; ++j) take(j, 0);
      squared_length[row] = std::accumulate(sums, sums + lanes, 0.0);
    }
  });
}

// The points, and a centre and a scale for the pruning bounds. Any centre near the points' own serves, and any scale at
// which squares are far from the limits of float32; so a sample of them is enough.
NeighbourPoints pruning_points(const at::Tensor& features, int64_t k, bool normalize, c10::Device device) {
  const int64_t count = features.size(0);
  NeighbourPoints made(device);
  made.k = k;
  made.points = features.to(device).contiguous();
  if (normalize) made.inverse = at::empty({count, 1}, made.points.options().dtype(at::kDouble));
  constexpr int64_t sampled = 1024;
  const at::Tensor some = made.points.slice(0, 0, count, (count + sampled - 1) / sampled);
  const at::Tensor rows = exact_rows(some, normalize ? inverse_lengths(some) : at::Tensor());
  made.centre = rows.mean(0);
  const double length = lengths(rows - made.centre).max().item<double>();
  if (length > 0 && (length < 1e-3 || length > 1e3)) {
    made.scale = std::exp2(-std::clamp(std::ilogb(length), -1022, 1000));
  }
  return made;
}

void measure_lengths(NeighbourPoints& points, int64_t start, int64_t stop) {
  constexpr int64_t at_once = 512;  // few enough that their float64 copy stays in a cache
  for (; start < stop; start += at_once) {
    const int64_t end = std::min(start + at_once, stop);
    points.inverse.slice(0, start, end).copy_(inverse_lengths(points.points.slice(0, start, end)));
  }
}

// What a search works with.
struct Search {
  Search(std::shared_ptr<NeighbourPoints> searched, at::Tensor rows)
      : shared(std::move(searched)), queries(std::move(rows)), result(at::empty({queries.size(0)}, at::kDouble)) {}

  std::shared_ptr<NeighbourPoints> shared;
  at::Tensor queries, result;
  Pruning first = Pruning::single_product;  // what the next block begins with: learnt from the ones before

  int64_t block = 0;                 // its first row
  at::Tensor exact, scaled, length;  // the block's rows: as compared, centred and scaled; the latter's lengths [n]
  Pruning pruning = Pruning::single_product;
  at::Tensor pending;                    // which rows of the block, int64
  at::Tensor operand;                    // those rows, as the bound takes them
  at::Tensor best, candidate;            // the least of what distances() gives, and their points [n, k + spare]
  int64_t tile = 0;                      // its first point
  at::Tensor points, squares;            // the tile's, as the bound takes them, and their squared lengths
  std::optional<Float32Linear> product;  // by them, in float32
  double longest = 0;                    // of the points of the tiles so far
  at::Tensor certain;                    // which pending rows the bound is certain of, bool [n]
  at::Tensor candidates;                 // their candidates' points, nearest first [n, k + spare]
  at::Tensor measured;  // the candidates' distances: −∞ certainly nearer than the k-th, ∞ certainly farther
  at::Tensor pairs;     // row and column of those that lie between, [m, 2]

  // Fewer where k is large, since every query keeps k + spare candidates: 4 million in all.
  int64_t rows_of_block() const {
    const int64_t kept = std::min(shared->k + spare, shared->points.size(0));
    const int64_t most = std::min((int64_t{1} << 22) / kept, 2 * step_elements / queries.size(1));
    return std::clamp<int64_t>(most, 1, block_rows);
  }

  int64_t rows_of_tile() const { return std::clamp<int64_t>(step_elements / queries.size(1), 64, tile_rows); }

  int64_t rows_of_chunk() const {
    const int64_t most = pruning == Pruning::single_product   ? step_products
                         : pruning == Pruning::double_product ? step_double_products
                                                              : step_differences;
    return std::clamp<int64_t>(most / (rows_of_tile() * queries.size(1)), 1, chunk_rows);
  }

  void begin_block() {
    const at::Tensor rows = queries.slice(0, block, std::min(block + rows_of_block(), queries.size(0))).to(shared->on);
    exact = exact_rows(rows, shared->inverse.defined() ? inverse_lengths(rows) : at::Tensor());
    scaled = (exact - shared->centre).mul_(shared->scale);
    length = lengths(scaled);
    pending = at::arange(rows.size(0), at::TensorOptions().dtype(at::kLong).device(shared->on));
  }

  void begin_pruning(Pruning with) {
    pruning = with;
    operand = (pruning == Pruning::differences ? exact : scaled).index_select(0, pending);
    if (pruning == Pruning::differences) operand.mul_(shared->scale);
    if (pruning == Pruning::single_product) operand = operand.to(at::kFloat);
    const int64_t kept = std::min(shared->k + spare, shared->points.size(0));
    best = at::full({pending.size(0), kept}, std::numeric_limits<double>::infinity(), operand.options());
    candidate = at::zeros({pending.size(0), kept}, pending.options());
    longest = 0;
  }

  void prepare_tile() {
    const int64_t end = std::min(tile + rows_of_tile(), shared->points.size(0));
    const at::Tensor given = shared->points.slice(0, tile, end);
    if (pruning == Pruning::single_product && shared->on.is_cpu()) {
      if (!points.defined() || points.scalar_type() != at::kFloat || points.size(0) != end - tile) {
        points = at::empty({end - tile, given.size(1)}, operand.options());
        squares = at::empty({end - tile}, operand.options().dtype(at::kDouble));
      }
      if (given.scalar_type() == at::kFloat) {
        prepare_points<float>(*shared, tile, end, points, squares);
      } else {
        prepare_points<double>(*shared, tile, end, points, squares);
      }
    } else {
      points = exact_rows(given, shared->inverse.defined() ? shared->inverse.slice(0, tile, end) : at::Tensor());
      if (pruning == Pruning::differences) {
        if (shared->scale != 1) points = points * shared->scale;
        return;
      }
      points = (points - shared->centre).mul_(shared->scale);
      squares = points.square().sum(1);
      if (pruning == Pruning::single_product) points = points.to(at::kFloat);
    }
    if (pruning == Pruning::single_product) product.emplace(points, squares.to(at::kFloat));
    longest = std::max(longest, std::sqrt(squares.max().item<double>()));
    if (!std::isfinite(longest)) fail_too_long();
  }

  // Of some pending rows to the tile. By a product: squared distances in the bound's scale less the rows' own squared
  // lengths, which orders them alike. By differences: distances in the bound's scale.
  at::Tensor distances(const at::Tensor& rows) {
    if (pruning == Pruning::differences) {
      constexpr int64_t without_product = 2;
      return at::cdist(rows, points, 2, without_product);
    }
    if (pruning == Pruning::single_product) return (*product)(rows.mul(-2));
    return at::addmm(squares.unsqueeze(0), rows, points.t(), 1, -2);
  }

  void search_chunk(int64_t chunk, int64_t end) {
    at::Tensor values = best.slice(0, chunk, end);
    at::Tensor index = candidate.slice(0, chunk, end);
    const int64_t kept = values.size(1);
    const auto [nearer, where] = least(distances(operand.slice(0, chunk, end)), kept, values.amax(1, /*keepdim=*/true));
    const at::Tensor all = at::cat({values, nearer}, 1);
    const auto [least_of_all, place] = all.topk(kept, 1, /*largest=*/false, /*sorted=*/false);
    index.copy_(at::cat({index, where + tile}, 1).gather(1, place));
    values.copy_(least_of_all);
  }

  // Which rows the bound is certain of, and what remains to be measured for them. With e the bound's error and s the
  // k-th bound, a candidate below s − 2e is certainly among the k nearest, one above s + 2e is certainly not:
  // what lies between is measured exactly. Points that are no candidates are all beyond s + 2e where the last
  // candidate is.
  void judge() {
    const auto [values, order] = best.to(at::kDouble).sort(1);
    candidates = candidate.gather(1, order);
    const at::Tensor kth = values.select(1, shared->k - 1).unsqueeze(1);
    const at::Tensor own = length.index_select(0, pending);
    const bool differences = pruning == Pruning::differences;
    const double rounding = 4 * (static_cast<double>(exact.size(1)) + 4) * std::numeric_limits<double>::epsilon();
    const at::Tensor margin =
        differences ? kth * rounding : product_error(pruning, exact.size(1), longest, own).mul_(2).unsqueeze(1);
    const at::Tensor inside = values.lt(kth - margin);
    const at::Tensor between = values.le(kth + margin).logical_and_(inside.logical_not());
    certain = at::ones_like(own, at::kBool);
    if (!differences) {  // by differences, what is left out equals the k-th but for rounding
      if (values.size(1) < shared->points.size(0)) certain = values.select(1, -1).gt((kth + margin).squeeze(1));
      // No sum has overflowed.
      const double limit = pruning == Pruning::single_product ? 1e15 : 1e75;
      certain.logical_and_(own.lt(longest < limit ? limit : 0));
    }

    const double none = std::numeric_limits<double>::infinity();
    measured = at::where(inside, at::full_like(values, -none), at::full_like(values, none));
    pairs = between.logical_and(certain.unsqueeze(1)).nonzero();
  }

  int64_t pairs_at_once() const { return std::clamp<int64_t>(step_elements / exact.size(1), 64, 4096); }

  void measure_pairs(int64_t first_pair, int64_t end) {
    const at::Tensor part = pairs.slice(0, first_pair, end);
    const at::Tensor row = part.select(1, 0);
    const at::Tensor column = part.select(1, 1);
    const at::Tensor point = candidates.index({row, column});
    const at::Tensor inverse = shared->inverse.defined() ? shared->inverse.index_select(0, point) : at::Tensor();
    const at::Tensor difference = exact.index_select(0, pending.index_select(0, row))
                                      .sub_(exact_rows(shared->points.index_select(0, point), inverse));
    measured.index_put_({row, column}, lengths(difference));
  }

  // The k-th exact distance of the rows that the bound is certain of; the others remain pending.
  void settle() {
    const at::Tensor distance = std::get<0>(measured.sort(1)).select(1, shared->k - 1);
    const at::Tensor which = certain.nonzero().squeeze(1);
    const at::Tensor rows = pending.index_select(0, which).add_(block).to(at::kCPU);
    result.index_copy_(0, rows, distance.index_select(0, which).to(at::kCPU));

    const int64_t all = pending.size(0);
    pending = pending.index_select(0, certain.logical_not().nonzero().squeeze(1));
    if (pruning == first && 2 * pending.size(0) > all) {
      first = finer(pruning);
    }
  }
};

}  // namespace

Task<> fit_neighbours(std::shared_ptr<NeighbourPoints> shared, at::Tensor features, int64_t k, bool normalize) {
  require_finite(features, "features");
  NeighbourPoints made = pruning_points(features, k, normalize, shared->on);
  for (int64_t start = 0; normalize && start < features.size(0); start += tile_rows) {
    co_await next_turn;
    measure_lengths(made, start, std::min(start + tile_rows, features.size(0)));
  }
  *shared = std::move(made);  // all at once: an aborted fit leaves nothing half made
}

// Block of queries by block, for each block tile of points by tile, for each tile chunk of queries by chunk. A block is
// bounded, and what the bounds leave open is measured piece by piece; the rows whose k-th distance it cannot tell for
// certain go through the next, finer one.
Task<at::Tensor> neighbour_distances(std::shared_ptr<NeighbourPoints> shared, at::Tensor queries) {
  if (!shared->points.defined()) fail("ERR_OPTION", "neighbours: expected points that have been fitted");
  if (queries.size(1) != shared->points.size(1)) {
    fail("ERR_SHAPE", "features: expected ", shared->points.size(1), " columns, found ", queries.size(1));
  }
  require_finite(queries, "features");
  const int64_t count = queries.size(0), points = shared->points.size(0);
  Search search(shared, queries);
  if (count <= few_queries) search.first = Pruning::differences;
  for (search.block = 0; search.block < count; search.block += search.rows_of_block()) {
    search.begin_block();
    for (Pruning pruning = search.first; search.pending.size(0) > 0; pruning = finer(pruning)) {
      search.begin_pruning(pruning);
      const int64_t rows = search.pending.size(0);
      for (search.tile = 0; search.tile < points; search.tile += search.rows_of_tile()) {
        search.prepare_tile();
        for (int64_t chunk = 0; chunk < rows; chunk += search.rows_of_chunk()) {
          search.search_chunk(chunk, std::min(chunk + search.rows_of_chunk(), rows));
          co_await next_turn;
        }
      }
      search.judge();
      const int64_t pairs = search.pairs.size(0), at_once = search.pairs_at_once();
      for (int64_t pair = 0; pair < pairs; pair += at_once) {
        search.measure_pairs(pair, std::min(pair + at_once, pairs));
        co_await next_turn;
      }
      search.settle();
    }
  }
  co_return search.result;
}

at::Tensor fitted_points(const NeighbourPoints& shared) {
  if (!shared.points.defined()) fail("ERR_OPTION", "neighbours: expected points that have been fitted");
  return shared.points.to(at::kCPU);
}

}  // namespace ood
