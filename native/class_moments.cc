// Counts, means and scatters per class.
#include "class_moments.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "covariance.h"
#include "errors.h"

namespace ood {

namespace {

// Rows of one product: enough for the matrix kernel, few enough to bound memory (in float64 entries).
constexpr int64_t largest_part = int64_t{1} << 23;

at::Tensor squared_length(const at::Tensor& vector) { return vector.dot(vector); }

// Adds `step` to the double-double (high, low): afterwards high is the rounded sum and low what was rounded off.
void add_to_mean(const at::Tensor& high, const at::Tensor& low, const at::Tensor& step) {
  const at::Tensor small = low + step;
  const at::Tensor sum = high + small;
  const at::Tensor kept = sum - high;
  low.copy_((high - (sum - kept)) + (small - kept));  // Knuth's two-sum
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
  // One row more than there are samples: the last one carries the distance between the two means into the product.
  const at::Tensor buffer = at::empty({count + 1, dim_}, mean_.options());
  const at::Tensor rows = buffer.slice(0, 0, count);
  rows.copy_(features.index_select(0, part.rows.to(features.device())));
  const at::Tensor high = rows.mean(0);
  rows.sub_(high);
  const at::Tensor low = rows.mean(0);             // what the first mean lost to rounding
  if (kind_ == ScatterKind::full) rows.sub_(low);  // a scatter has it squared, which no double can tell from nothing
  add_to_mean(high, low, at::zeros_like(low));

  Joining joining{
      count, high, low, {}, {}, {}, [&rows](const at::Tensor& vector) { return rows.t().mv(rows.mv(vector)); }};
  if (kind_ == ScatterKind::full) {
    const at::Tensor lengths = at::linalg_vector_norm(rows, 2, 1).square_();
    joining.trace = lengths.sum();
    joining.cube = rows.t().mv(lengths);
    joining.fourth = lengths.dot(lengths);
  } else {
    joining.trace = at::linalg_vector_norm(rows).square_();
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

at::Tensor ClassMoments::join(int64_t c, const Joining& other) {
  const auto n1 = static_cast<double>(counts_[static_cast<size_t>(c)]);
  const auto n2 = static_cast<double>(other.count);
  const double n = n1 + n2;
  counts_[static_cast<size_t>(c)] += other.count;
  if (n1 == 0) {
    mean_[c].copy_(other.mean);
    mean_low_[c].copy_(other.mean_low);
    trace_[c].copy_(other.trace);
    if (kind_ == ScatterKind::full) {
      cube_[c].copy_(other.cube);
      fourth_[c].copy_(other.fourth);
    }
    return {};
  }
  const at::Tensor shift = (other.mean - mean_[c]) + (other.mean_low - mean_low_[c]);
  const at::Tensor length = squared_length(shift);
  if (kind_ == ScatterKind::full) {
    // Σ‖y−a‖²(y−a) and Σ‖y−a‖⁴ expanded, with a = part·shift the move to the joint mean; Σy = 0.
    const auto moved = [&](const at::Tensor& cube, const at::Tensor& fourth, const at::Tensor& trace,
                           const at::Tensor& scatter_shift, double count, double part) {
      const double square = part * part;
      return std::pair{cube - 2 * part * scatter_shift - (part * trace + count * square * part * length) * shift,
                       fourth - 4 * part * shift.dot(cube) + 4 * square * shift.dot(scatter_shift) +
                           2 * square * length * trace + count * square * square * length * length};
    };
    const auto [cube1, fourth1] =
        moved(cube_[c], fourth_[c], trace_[c], lower_times_vector(class_scatter(c), shift), n1, n2 / n);
    const auto [cube2, fourth2] = moved(other.cube, other.fourth, other.trace, other.scatter_times(shift), n2, -n1 / n);
    cube_[c].copy_(cube1 + cube2);
    fourth_[c].copy_(fourth1 + fourth2);
  }
  const double weight = n1 * n2 / n;
  trace_[c].add_(other.trace + weight * length);
  add_to_mean(mean_[c], mean_low_[c], shift * (n2 / n));
  return shift * std::sqrt(weight);
}

void ClassMoments::merge(const ClassMoments& other) {
  if (other.classes() != classes() || other.dim_ != dim_) {
    fail("ERR_SHAPE", "other: expected ", classes(), " classes of ", dim_, " dimensions, found ", other.classes(),
         " of ", other.dim_);
  }
  if (other.kind_ != kind_) fail("ERR_OPTION", "other: expected the same kind of scatter");
  std::vector<at::Tensor> links;
  for (const int64_t c : other.present()) {
    at::Tensor scatter;
    Joining joining{other.counts_[static_cast<size_t>(c)],
                    other.mean_[c].to(device_),
                    other.mean_low_[c].to(device_),
                    other.trace_[c].to(device_),
                    {},
                    {},
                    [&scatter](const at::Tensor& vector) { return lower_times_vector(scatter, vector); }};
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

NamedState ClassMoments::state() const {
  NamedState state{{"count", at::tensor(counts_, at::kLong)},
                   {"mean", mean_.clone()},
                   {"mean_low", mean_low_.clone()},
                   {"trace", trace_.clone()}};
  if (kind_ == ScatterKind::full) {
    state.emplace_back("cube", cube_.clone());
    state.emplace_back("fourth", fourth_.clone());
  }
  if (has_matrices()) {
    for (const int64_t c : present()) state.emplace_back("scatter." + std::to_string(c), pack_lower(scatter(c)));
  } else {
    state.emplace_back("scatter", kind_ == ScatterKind::pooled ? pack_lower(scatter_[0]) : scatter_[0].clone());
  }
  return state;
}

ClassMoments ClassMoments::from_state(int64_t classes, int64_t dim, ScatterKind kind, c10::Device device,
                                      const NamedState& state) {
  const auto find = [&](const std::string& name, at::ScalarType dtype, at::IntArrayRef shape) {
    return state_tensor(state, name, dtype, shape).to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
  };
  ClassMoments moments(classes, dim, kind, device);
  moments.counts_ = state_counts(state, classes);
  moments.mean_ = find("mean", at::kDouble, {classes, dim});
  moments.mean_low_ = find("mean_low", at::kDouble, {classes, dim});
  moments.trace_ = find("trace", at::kDouble, {classes});
  const int64_t packed = dim * (dim + 1) / 2;
  if (kind == ScatterKind::full) {
    moments.cube_ = find("cube", at::kDouble, {classes, dim});
    moments.fourth_ = find("fourth", at::kDouble, {classes});
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
