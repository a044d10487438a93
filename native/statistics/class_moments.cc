// Counts, means and scatters per class.
#include "statistics/class_moments.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/errors.h"
#include "statistics/covariance.h"

namespace ood {

namespace {

// Rows of one product: enough for the matrix kernel, few enough to bound memory (in float64 entries).
constexpr int64_t largest_part = int64_t{1} << 23;

// Float64 entries that stay in the cache from one look to the next.
constexpr int64_t cached_entries = int64_t{1} << 16;

// Below this a sum of squares has lost digits.
constexpr double smallest_square = 0x1p-960;

at::Tensor squared_length(const at::Tensor& vector) { return vector.dot(vector); }

// √trace, or 1 where nothing varies: third and fourth moments are kept in powers of it.
at::Tensor length_unit(const at::Tensor& trace) { return at::where(trace > 0, trace.sqrt(), at::ones_like(trace)); }

// ERR_RANGE where the squares of `deviations`, whose sum is given, do not fit in float64. What is small beside the
// rounding of `mean` is no deviation.
void require_squares(const at::Tensor& sum, const at::Tensor& deviations, const at::Tensor& mean) {
  const double value = sum.item<double>();
  if (value >= smallest_square && std::isfinite(value)) return;
  const double largest = at::linalg_vector_norm(deviations, std::numeric_limits<double>::infinity()).item<double>();
  if (!std::isfinite(value)) {
    fail("ERR_RANGE", "features: expected values of at most about 1e150, whose squares float64 holds; found one ",
         largest, " from the mean of its class");
  }
  const double reach = at::linalg_vector_norm(mean, std::numeric_limits<double>::infinity()).item<double>();
  if (largest > std::ldexp(reach, -40)) {
    fail("ERR_RANGE",
         "features: expected values that vary by at least about 1e-140, so that float64 holds the squares;",
         " found a class whose values differ by ", largest, " at most");
  }
}

// Adds `step` to the double-double (high, low): afterwards high is the rounded sum and low what was rounded off. In
// place, since a row may be megabytes.
void add_to_mean(const at::Tensor& high, const at::Tensor& low, const at::Tensor& step) {
  low.add_(step);
  const at::Tensor sum = high + low;
  const at::Tensor kept = sum - high;
  low.sub_(kept);
  kept.sub_(sum).add_(high);  // Knuth's two-sum: high − (sum − kept)
  low.add_(kept);
  high.copy_(sum);
}

}  // namespace

ClassMoments::ClassMoments(int64_t classes, int64_t dim, ScatterKind kind, c10::Device device)
    : dim_(dim), kind_(kind), device_(device), counts_(static_cast<size_t>(classes), 0) {
  const auto options = at::TensorOptions(at::kDouble).device(device);
  mean_ = at::zeros({classes, dim}, options);
  mean_low_ = at::zeros({classes, dim}, options);
  trace_ = at::zeros({classes}, options);
  switch (kind) {
    case ScatterKind::full:
      scatter_.resize(static_cast<size_t>(classes));  // made when a class gets its first row
      cube_ = at::zeros({classes, dim}, options);
      fourth_ = at::zeros({classes}, options);
      break;
    case ScatterKind::matrices:
      scatter_.resize(static_cast<size_t>(classes));
      break;
    case ScatterKind::pooled:
      scatter_ = {at::zeros({dim, dim}, options)};
      break;
    case ScatterKind::diagonal:
      scatter_ = {at::zeros({classes, dim}, options)};
      break;
  }
}

int64_t ClassMoments::total() const { return std::accumulate(counts_.begin(), counts_.end(), int64_t{0}); }

std::vector<int64_t> ClassMoments::present() const {
  std::vector<int64_t> classes;
  for (int64_t c = 0; c < this->classes(); ++c) {
    if (counts_[static_cast<size_t>(c)] > 0) classes.push_back(c);
  }
  return classes;
}

at::Tensor& ClassMoments::class_scatter(int64_t c) {
  if (!has_matrices()) return scatter_[0];
  at::Tensor& scatter = scatter_[static_cast<size_t>(c)];
  if (!scatter.defined()) scatter = at::zeros({dim_, dim_}, mean_.options());
  return scatter;
}

std::vector<ClassMoments::Part> ClassMoments::cut(const at::Tensor& labels) const {
  // A counting sort keeps the order of the rows within a class.
  const auto label = labels.accessor<int64_t, 1>();
  std::vector<int64_t> next(counts_.size() + 1, 0);
  for (int64_t i = 0; i < labels.size(0); ++i) ++next[static_cast<size_t>(label[i]) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  const std::vector<int64_t> starts = next;
  const at::Tensor order = at::empty({labels.size(0)}, at::kLong);
  auto ordered = order.accessor<int64_t, 1>();
  for (int64_t i = 0; i < labels.size(0); ++i) ordered[next[static_cast<size_t>(label[i])]++] = i;
  const int64_t longest = std::max<int64_t>(256, largest_part / dim_);
  std::vector<Part> parts;
  for (int64_t c = 0; c < classes(); ++c) {
    const int64_t end = starts[static_cast<size_t>(c) + 1];
    for (int64_t start = starts[static_cast<size_t>(c)]; start < end; start += longest) {
      parts.push_back({c, order.slice(0, start, std::min(start + longest, end))});
    }
  }
  return parts;
}

void ClassMoments::add(const Part& part, const at::Tensor& features) {
  const int64_t c = part.label;
  const int64_t count = part.rows.size(0);
  const bool full = kind_ == ScatterKind::full;
  // One row more than there are samples: the last one carries the distance between the two means into the product.
  const at::Tensor buffer = at::empty({count + 1, dim_}, mean_.options());
  const at::Tensor rows = buffer.slice(0, 0, count);
  const int64_t block = device_.is_cpu() ? std::max<int64_t>(1, cached_entries / dim_) : count;
  const auto in_blocks = [&](const auto& visit) {
    for (int64_t start = 0; start < count; start += block) visit(start, std::min(start + block, count));
  };

  // Centred twice: the first mean is rounded, by as much as the rows' distance from zero calls for.
  at::Tensor high;
  const at::Tensor low = at::zeros({dim_}, mean_.options()), step = at::zeros_like(low), rest = at::zeros_like(low);
  in_blocks([&](int64_t start, int64_t end) {
    const at::Tensor some = rows.slice(0, start, end);
    some.copy_(features.index_select(0, part.rows.slice(0, start, end).to(features.device())));
    if (!high.defined()) high = some.mean(0);
    step.add_(some.sub_(high).sum(0));
  });
  step.div_(static_cast<double>(count));
  at::Tensor trace = at::zeros({}, mean_.options());
  const at::Tensor lengths = full ? at::empty({count}, mean_.options()) : at::Tensor();
  in_blocks([&](int64_t start, int64_t end) {
    const at::Tensor some = rows.slice(0, start, end);
    rest.add_(some.sub_(step).sum(0));
    if (full) {
      lengths.slice(0, start, end).copy_(at::linalg_vector_norm(some, 2, 1).square_());
    } else {
      trace.add_(at::linalg_vector_norm(some).square_());
    }
  });
  if (full) trace = lengths.sum();
  require_squares(trace, rows, high);
  add_to_mean(high, low, step);
  add_to_mean(high, low, rest.div_(static_cast<double>(count)));

  Joining joining{
      count, high, low, trace, {}, {}, [&rows](const at::Tensor& vector) { return rows.t().mv(rows.mv(vector)); }};
  if (full) {
    const at::Tensor unit = length_unit(trace);
    lengths.div_(unit).div_(unit);
    joining.cube = rows.t().mv(lengths).div_(unit);
    joining.fourth = lengths.dot(lengths);
  }
  const at::Tensor link = join(c, joining);
  const bool first = !link.defined();
  if (!first) buffer[count].copy_(link);
  const at::Tensor all = first ? rows : buffer;
  if (kind_ == ScatterKind::diagonal) {
    scatter_[0][c].add_(all.square().sum(0));
  } else {
    add_lower_gram(class_scatter(c), all);
  }
}

at::Tensor ClassMoments::shift_to(int64_t c, const Joining& other) const {
  return (other.mean - mean_[c]) + (other.mean_low - mean_low_[c]);
}

at::Tensor ClassMoments::joint_trace(int64_t c, const Joining& other, const at::Tensor& shift) const {
  const auto n1 = static_cast<double>(counts_[static_cast<size_t>(c)]);
  const auto n2 = static_cast<double>(other.count);
  const at::Tensor trace = trace_[c] + other.trace + n1 * n2 / (n1 + n2) * squared_length(shift);
  require_squares(trace, shift, mean_[c]);  // a shift whose square vanishes beside the rest is nothing
  return trace;
}

at::Tensor ClassMoments::join(int64_t c, const Joining& other) {
  const auto n1 = static_cast<double>(counts_[static_cast<size_t>(c)]);
  const auto n2 = static_cast<double>(other.count);
  const double n = n1 + n2;
  if (n1 == 0) {
    counts_[static_cast<size_t>(c)] = other.count;
    mean_[c].copy_(other.mean);
    mean_low_[c].copy_(other.mean_low);
    trace_[c].copy_(other.trace);
    if (kind_ == ScatterKind::full) {
      cube_[c].copy_(other.cube);
      fourth_[c].copy_(other.fourth);
    }
    return {};
  }
  const double weight = n1 * n2 / n;
  const at::Tensor shift = shift_to(c, other);
  const at::Tensor trace = joint_trace(c, other, shift);
  counts_[static_cast<size_t>(c)] += other.count;
  if (kind_ == ScatterKind::full) {
    // Σ‖y−a‖²(y−a) and Σ‖y−a‖⁴ expanded, with a = part·shift the move to the joint mean; Σy = 0. All in units of the
    // joint length, so that nothing overflows.
    const at::Tensor unit = length_unit(trace);
    const at::Tensor move = shift / unit;
    const at::Tensor square_length = squared_length(move);
    const auto moved = [&](const at::Tensor& cube, const at::Tensor& fourth, const at::Tensor& own_trace,
                           const at::Tensor& scatter_move, double count, double part) {
      const at::Tensor share = own_trace / unit / unit, scattered = scatter_move / unit / unit;
      const at::Tensor own_cube = cube * share.pow(1.5), own_fourth = fourth * share.square();
      const double square = part * part;
      return std::pair{own_cube - 2 * part * scattered - (part * share + count * square * part * square_length) * move,
                       own_fourth - 4 * part * move.dot(own_cube) + 4 * square * move.dot(scattered) +
                           2 * square * square_length * share +
                           count * square * square * square_length * square_length};
    };
    const auto [cube1, fourth1] =
        moved(cube_[c], fourth_[c], trace_[c], lower_times_vector(class_scatter(c), move), n1, n2 / n);
    const auto [cube2, fourth2] = moved(other.cube, other.fourth, other.trace, other.scatter_times(move), n2, -n1 / n);
    cube_[c].copy_(cube1 + cube2);
    fourth_[c].copy_(fourth1 + fourth2);
  }
  trace_[c].copy_(trace);
  add_to_mean(mean_[c], mean_low_[c], shift * (n2 / n));
  return shift * std::sqrt(weight);
}

void ClassMoments::merge(const ClassMoments& other) {
  if (other.classes() != classes() || other.dim_ != dim_) {
    fail("ERR_SHAPE", "other: expected ", classes(), " classes of ", dim_, " dimensions, found ", other.classes(),
         " of ", other.dim_);
  }
  if (other.kind_ != kind_) fail("ERR_OPTION", "other: expected the same kind of scatter");
  const auto joining_of = [&](int64_t c) {
    return Joining{other.counts_[static_cast<size_t>(c)],
                   other.mean_[c].to(device_),
                   other.mean_low_[c].to(device_),
                   other.trace_[c].to(device_),
                   {},
                   {},
                   {}};
  };
  // All that joining refuses, before anything is changed.
  for (const int64_t c : other.present()) {
    if (counts_[static_cast<size_t>(c)] == 0) continue;
    const Joining joining = joining_of(c);
    joint_trace(c, joining, shift_to(c, joining));
  }
  std::vector<at::Tensor> links;
  for (const int64_t c : other.present()) {
    at::Tensor scatter;
    Joining joining = joining_of(c);
    joining.scatter_times = [&scatter](const at::Tensor& vector) { return lower_times_vector(scatter, vector); };
    if (has_matrices()) scatter = other.scatter(c).to(device_);
    if (kind_ == ScatterKind::full) {
      joining.cube = other.cube_[c].to(device_);
      joining.fourth = other.fourth_[c].to(device_);
    }
    const at::Tensor link = join(c, joining);
    switch (kind_) {
      case ScatterKind::full:
      case ScatterKind::matrices:
        class_scatter(c).add_(scatter);
        if (link.defined()) add_lower_gram(class_scatter(c), link.unsqueeze(0));
        break;
      case ScatterKind::pooled:
        if (link.defined()) links.push_back(link);
        break;
      case ScatterKind::diagonal:
        scatter_[0][c].add_(other.scatter_[0][c].to(device_));
        if (link.defined()) scatter_[0][c].add_(link.square());
        break;
    }
  }
  if (kind_ == ScatterKind::pooled) {
    scatter_[0].add_(other.scatter_[0].to(device_));
    if (!links.empty()) add_lower_gram(scatter_[0], at::stack(links));
  }
}

at::Tensor ClassMoments::pooled_scatter() const {
  if (kind_ == ScatterKind::pooled) return scatter_[0];
  if (kind_ == ScatterKind::diagonal)
    fail("ERR_OPTION", "statistics: expected scatter \"full\" or \"pooled\", found \"diagonal\"");
  at::Tensor sum = at::zeros({dim_, dim_}, mean_.options());
  for (const int64_t c : present()) sum.add_(scatter(c));
  return sum;
}

at::Tensor ClassMoments::scatter_diagonals() const {
  if (kind_ == ScatterKind::diagonal) return scatter_[0];
  if (kind_ == ScatterKind::pooled)
    fail("ERR_OPTION", "statistics: expected scatter \"full\" or \"diagonal\", found \"pooled\"");
  const at::Tensor diagonals = at::zeros({classes(), dim_}, mean_.options());
  for (const int64_t c : present()) diagonals[c].copy_(scatter(c).diagonal());
  return diagonals;
}

int64_t ClassMoments::nbytes() const {
  int64_t bytes = 0;
  const auto add = [&bytes](const at::Tensor& tensor) {
    if (tensor.defined()) bytes += static_cast<int64_t>(tensor.nbytes());
  };
  for (const at::Tensor* tensor : {&mean_, &mean_low_, &trace_, &cube_, &fourth_}) add(*tensor);
  std::for_each(scatter_.begin(), scatter_.end(), add);
  return bytes;
}

NamedTensors ClassMoments::state() const {
  NamedTensors state{{"count", at::tensor(counts_, at::kLong)},
                     {"mean", mean_.clone()},
                     {"mean_low", mean_low_.clone()},
                     {"trace", trace_.clone()}};
  if (kind_ == ScatterKind::full) {
    state.emplace_back("cube_ratio", cube_.clone());
    state.emplace_back("fourth_ratio", fourth_.clone());
  }
  if (has_matrices()) {
    for (const int64_t c : present()) state.emplace_back("scatter." + std::to_string(c), pack_lower(scatter(c)));
  } else {
    state.emplace_back("scatter", kind_ == ScatterKind::pooled ? pack_lower(scatter_[0]) : scatter_[0].clone());
  }
  return state;
}

ClassMoments ClassMoments::from_state(int64_t classes, int64_t dim, ScatterKind kind, c10::Device device,
                                      const NamedTensors& state) {
  const auto find = [&](const std::string& name, at::ScalarType dtype, at::IntArrayRef shape) {
    return saved_tensor(state, name, dtype, shape).to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
  };
  ClassMoments moments(classes, dim, kind, device);
  moments.counts_ = saved_counts(state, classes);
  moments.mean_ = find("mean", at::kDouble, {classes, dim});
  moments.mean_low_ = find("mean_low", at::kDouble, {classes, dim});
  moments.trace_ = find("trace", at::kDouble, {classes});
  const int64_t packed = dim * (dim + 1) / 2;
  if (kind == ScatterKind::full) {
    // Version 0.1 wrote the moments themselves.
    const bool raw = std::any_of(state.begin(), state.end(), [](const auto& entry) { return entry.first == "fourth"; });
    moments.cube_ = find(raw ? "cube" : "cube_ratio", at::kDouble, {classes, dim});
    moments.fourth_ = find(raw ? "fourth" : "fourth_ratio", at::kDouble, {classes});
    if (raw) {
      const at::Tensor unit = length_unit(moments.trace_);
      for (int power = 0; power < 3; ++power) moments.cube_.div_(unit.unsqueeze(1));
      for (int power = 0; power < 4; ++power) moments.fourth_.div_(unit);
    }
  }
  if (moments.has_matrices()) {
    for (const int64_t c : moments.present()) {
      moments.scatter_[static_cast<size_t>(c)] =
          unpack_lower(find("scatter." + std::to_string(c), at::kDouble, {packed}), dim);
    }
  } else if (kind == ScatterKind::pooled) {
    moments.scatter_[0] = unpack_lower(find("scatter", at::kDouble, {packed}), dim);
  } else {
    moments.scatter_[0] = find("scatter", at::kDouble, {classes, dim});
  }
  return moments;
}

}  // namespace ood
