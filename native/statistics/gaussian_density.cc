// Gaussian class densities.
#include "statistics/gaussian_density.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>

#include "core/errors.h"
#include "kernels/matrix_product.h"
#include "kernels/triangular.h"
#include "platform/symbol_versions.h"
#include "statistics/class_parallel.h"

namespace ood {

namespace {

// Width of the diagonal blocks of forward substitution: wide enough for the matrix kernel, narrow enough that little is
// computed above the diagonal.
int64_t solve_block(int64_t dim) { return dim <= 512 ? 128 : 256; }

// Columns of one product of a pruning bound, over all its classes, and rows: they limit its memory, and keep a product
// of a few classes in the cache until its norms are taken.
constexpr int64_t bound_columns = int64_t{1} << 14;
constexpr int64_t bound_rows = 512;

// Dimensions that a bound is made of.
int64_t leading_dimensions(int64_t dim) { return std::min(dim, std::max<int64_t>(64, dim / 8)); }

// Squared distance over squared length below which a difference of whitened vectors is taken anew from the rows: above
// it, rounding of both ends costs less than 1e-10 of the distance.
constexpr double squared_closeness = 1e-11;

// Classes are left out whose terms together are below half a unit in the last place of what is returned: below 2^-53 of
// the largest term, and of that what the logarithm's own magnitude allows. The share covers rounding of the log
// densities themselves, which under collapse reach -1e14 and more.
const double negligible_gap = 53 * std::numbers::ln2;
constexpr double negligible_share = 1e-6;

const double log_two_pi = std::log(2 * std::numbers::pi);

double log_determinant_half(const at::Tensor& positive) { return positive.log().sum().item<double>(); }

}  // namespace

GaussianDensity::Factor GaussianDensity::keep_factor(const at::Tensor& lower) {
  Factor factor;
  factor.lower = lower;
  factor.half_log_determinant = log_determinant_half(lower.diagonal());
  return factor;
}

void GaussianDensity::make_ready(const Poll& poll) {
  const int64_t width = solve_block(dim());
  for_each_class(device(), static_cast<int64_t>(factors_.size()), [&](int64_t i) {
    Factor& factor = factors_[static_cast<size_t>(i)];
    if (!factor.lower.defined() || !factor.inverse_blocks.empty()) return;
    poll();
    const int64_t leading = leading_dimensions(dim());
    factor.leading_inverse = inverse_of_lower(factor.lower.slice(0, 0, leading).slice(1, 0, leading)).t();
    std::vector<at::Tensor> blocks;
    for (int64_t start = 0; start < dim(); start += width) {
      const int64_t end = std::min(start + width, dim());
      blocks.push_back(inverse_of_lower(factor.lower.slice(0, start, end).slice(1, start, end)).t());
    }
    factor.inverse_blocks = std::move(blocks);
  });
  if (options_.covariance == CovarianceKind::tied && !white_mean_.defined()) whiten_means();
}

// white = rows·L⁻ᵀ, that is L⁻¹y for each row y; overwrites the rows. Left-looking forward substitution over blocks:
// w_k = L_kk⁻¹ (y_k − Σ_{j<k} L_kj w_j).
void GaussianDensity::whiten(const Factor& factor, const at::Tensor& rows, at::Tensor& white) {
  const int64_t dim = rows.size(1);
  const int64_t width = solve_block(dim);
  for (int64_t start = 0; start < dim; start += width) {
    const int64_t end = std::min(start + width, dim);
    const at::Tensor block = rows.slice(1, start, end);
    if (start > 0)
      add_product(block, white.slice(1, 0, start), factor.lower.slice(0, start, end).slice(1, 0, start).t(), -1);
    at::Tensor out = white.slice(1, start, end);
    set_product(out, block, factor.inverse_blocks[static_cast<size_t>(start / width)]);
  }
}

// One covariance for all classes: rows and means are whitened once, about a centre that keeps both small.
void GaussianDensity::whiten_means() {
  centre_ = mean_.sum(0) / static_cast<double>(present());
  at::Tensor centred = (mean_ - centre_).add_(mean_low_);
  white_mean_ = at::empty_like(centred);
  whiten(factors_[0], centred, white_mean_);
}

void GaussianDensity::load(Workspace& workspace, const at::Tensor& features) const {
  const int64_t count = features.size(0);
  if (!workspace.first.defined() || workspace.first.size(0) != count) {
    workspace.rows = at::empty({count, dim()}, mean_.options());
    workspace.first = at::empty_like(workspace.rows);
    workspace.second = at::empty_like(workspace.rows);
  }
  workspace.rows.copy_(features);
  if (white_mean_.defined()) {
    at::sub_out(workspace.first, workspace.rows, centre_);
    whiten(factors_[0], workspace.first, workspace.rows);
    workspace.features = features;
    workspace.lengths = at::linalg_vector_norm(workspace.rows, 2, 1).square_();
  }
}

// The first columns of the rows less the mean of class c.
void GaussianDensity::centre(at::Tensor& out, const at::Tensor& rows, int64_t c, int64_t columns) const {
  at::sub_out(out, rows.slice(1, 0, columns), mean_[c].slice(0, 0, columns));
  out.sub_(mean_low_[c].slice(0, 0, columns));
}

// What a log density is besides −‖L⁻¹(x − u)‖²/2.
double GaussianDensity::constant(double half_log_determinant) const {
  return -0.5 * static_cast<double>(dim()) * log_two_pi - half_log_determinant;
}

at::Tensor GaussianDensity::squared_distance(Workspace& workspace, int64_t c, const at::Tensor& index) const {
  const int64_t count = index.defined() ? index.size(0) : workspace.rows.size(0);
  at::Tensor first = workspace.first.slice(0, 0, count);
  at::Tensor white = workspace.second.slice(0, 0, count);
  if (white_mean_.defined()) {
    const auto chosen = [&](const at::Tensor& all) { return index.defined() ? all.index_select(0, index) : all; };
    at::sub_out(white, chosen(workspace.rows), white_mean_[c]);
    at::Tensor distance = at::linalg_vector_norm(white, 2, 1).square_();
    // Under collapse a row is so close to its mean that the difference of two whitened vectors has few digits left.
    const at::Tensor close = distance.lt(chosen(workspace.lengths) * squared_closeness).nonzero().squeeze(1);
    if (close.size(0) > 0) {
      const at::Tensor place = index.defined() ? index.index_select(0, close) : close;
      const at::Tensor& features = workspace.features;
      at::Tensor rows = features.index_select(0, place.to(features.device())).to(device(), at::kDouble);
      at::Tensor centred = at::empty_like(rows);
      centre(centred, rows, c, dim());
      whiten(factors_[0], centred, rows);
      distance.index_copy_(0, close, at::linalg_vector_norm(rows, 2, 1).square_());
    }
    return distance;
  }
  if (index.defined()) at::index_select_out(white, workspace.rows, 0, index);
  centre(first, index.defined() ? white : workspace.rows, c, dim());
  if (deviation_.defined()) {
    at::div_out(white, first, deviation_[c]);
  } else {
    whiten(factors_[static_cast<size_t>(c)], first, white);
  }
  return at::linalg_vector_norm(white, 2, 1).square_();
}

at::Tensor GaussianDensity::log_density(Workspace& workspace, int64_t c, const at::Tensor& index) const {
  return squared_distance(workspace, c, index)
      .mul_(-0.5)
      .add_(constant(deviation_.defined() ? log_determinant_half(deviation_[c]) : factor_of(c).half_log_determinant));
}

void GaussianDensity::make_pruning_bounds(const Poll& poll) {
  pruning_bounds_.clear();  // an aborted call may have left some
  bound_centre_ = mean_.mean(0);
  const at::Tensor offset = (mean_ - bound_centre_).add_(mean_low_);
  bound_reach_ = at::linalg_vector_norm(offset, 2, 1);
  const int64_t width = solve_block(dim());
  const auto group = static_cast<size_t>(std::max<int64_t>(1, bound_columns / width));
  for (size_t first = 0; first < factors_.size(); first += group) {
    PruningBound pruning;
    pruning.classes.resize(std::min(group, factors_.size() - first));
    std::iota(pruning.classes.begin(), pruning.classes.end(), static_cast<int64_t>(first));
    const size_t members = pruning.classes.size();
    const auto blocks = static_cast<size_t>((dim() + width - 1) / width);
    std::vector<std::vector<at::Tensor>> weights(blocks, std::vector<at::Tensor>(members)), biases = weights;
    pruning.norms.resize(members);
    for_each_class(device(), static_cast<int64_t>(members), [&](int64_t i) {
      poll();
      const auto member = static_cast<size_t>(i);
      const int64_t c = pruning.classes[member];
      const at::Tensor inverse = inverse_of_lower(factors_[static_cast<size_t>(c)].lower);
      pruning.norms[member] = at::linalg_vector_norm(inverse).item<double>();
      const at::Tensor shift = inverse.mv(offset[c]).neg_();
      for (size_t block = 0; block < blocks; ++block) {
        const int64_t start = static_cast<int64_t>(block) * width;
        const int64_t end = std::min(start + width, dim());
        weights[block][member] = inverse.slice(0, start, end).slice(1, 0, end).to(at::kFloat);
        biases[block][member] = shift.slice(0, start, end).to(at::kFloat);
      }
    });
    for (size_t block = 0; block < blocks; ++block) {
      pruning.blocks.emplace_back(at::cat(weights[block]), at::cat(biases[block]));
      weights[block].clear();
    }
    // Far from float32's range, so that neither overflow nor underflow comes into the bound.
    for (const double norm : pruning.norms) products_bound_ = products_bound_ && norm > 1e-12 && norm < 1e12;
    pruning_bounds_.push_back(std::move(pruning));
  }
  if (!products_bound_) pruning_bounds_.clear();
}

// Upper bounds of the log densities without prior, [n, P]. ‖L⁻¹y‖² is at least what the leading dimensions contribute
// to it, which tells classes apart that are far from one another.
at::Tensor GaussianDensity::leading_bound(const Workspace& workspace) const {
  const int64_t leading = leading_dimensions(dim());
  const at::Tensor bound = at::empty({workspace.rows.size(0), present()}, mean_.options());
  at::Tensor part = at::empty({workspace.rows.size(0), leading}, mean_.options());
  for (int64_t c = 0; c < present(); ++c) {
    const Factor& factor = factors_[static_cast<size_t>(c)];
    centre(part, workspace.rows, c, leading);
    const at::Tensor length = at::linalg_vector_norm(part.mm(factor.leading_inverse), 2, 1).square_();
    bound.select(1, c).copy_(length.mul_(-0.5).add_(constant(factor.half_log_determinant)));
  }
  return bound;
}

// The same from all dimensions in float32, where L is well conditioned: L⁻¹(x − m) − L⁻¹(u − m) about the mean m of the
// class means, many classes in one product. With v its rounding unit and s the most additions in a row, what is
// computed differs from the true one by (s + 5)·v·‖L⁻¹‖_F·(‖x − m‖ + ‖u − m‖) at most (rounding of L⁻¹, of both
// vectors, and of products and sums), and its norm, of a block at a time, by a factor 1 ± (s + 5)·v. Of a row beyond
// float32 it says nothing.
at::Tensor GaussianDensity::product_bound(const Workspace& workspace, const Poll& poll) const {
  const int64_t count = workspace.rows.size(0);
  const double rounding = static_cast<double>(longest_sum_float32(device(), dim()) + 5) * 0.5 *
                          std::numeric_limits<float>::epsilon() * 1.01;
  const at::Tensor bound = at::empty({count, present()}, mean_.options());
  for (int64_t start = 0; start < count; start += bound_rows) {
    const int64_t end = std::min(start + bound_rows, count);
    const at::Tensor centred = workspace.rows.slice(0, start, end) - bound_centre_;
    const at::Tensor reach = at::linalg_vector_norm(centred, 2, 1);
    const at::Tensor single = centred.to(at::kFloat);
    for (const PruningBound& pruning : pruning_bounds_) {
      const auto members = static_cast<int64_t>(pruning.classes.size());
      at::Tensor square = at::zeros({end - start, members}, mean_.options());
      for (const Float32Linear& product : pruning.blocks) {
        poll();
        const at::Tensor white = product(single.slice(1, 0, product.inputs()));
        square.add_(at::linalg_vector_norm(white.view({end - start, members, -1}), 2, 2).to(at::kDouble).square_());
      }
      const at::Tensor length = square.sqrt_().mul_(1 - rounding);
      const at::Tensor beyond = length.isfinite().logical_not_();
      const bool any_beyond = beyond.any().item<bool>();
      for (int64_t i = 0; i < members; ++i) {
        const int64_t c = pruning.classes[static_cast<size_t>(i)];
        const at::Tensor error = (reach + bound_reach_[c]).mul_(rounding * pruning.norms[static_cast<size_t>(i)]);
        const at::Tensor least = length.select(1, i).sub(error).clamp_min_(0).square_();
        bound.slice(0, start, end)
            .select(1, c)
            .copy_(least.mul_(-0.5).add_(constant(factors_[static_cast<size_t>(c)].half_log_determinant)));
        if (any_beyond) {
          bound.slice(0, start, end)
              .select(1, c)
              .masked_fill_(beyond.select(1, i), std::numeric_limits<double>::infinity());
        }
      }
    }
  }
  return bound;
}

at::Tensor GaussianDensity::joint_log_density(Workspace& workspace, const Poll& poll) {
  const int64_t count = workspace.rows.size(0);
  const at::Tensor prior = log_prior();
  const at::Tensor joint = at::full({count, present()}, -std::numeric_limits<double>::infinity(), mean_.options());
  const bool bounded = !white_mean_.defined() && !deviation_.defined() && leading_dimensions(dim()) < dim();
  if (!bounded) {
    for (int64_t c = 0; c < present(); ++c) {
      poll();
      joint.select(1, c).copy_(log_density(workspace, c));
    }
    return joint.add_(prior);
  }
  const auto evaluate = [&](const at::Tensor& chosen) {  // [n, P], bool
    for_each_class(device(), present(), [&](int64_t c) {
      const at::Tensor index = chosen.select(1, c).nonzero().squeeze(1);
      if (index.size(0) == 0) return;
      poll();
      Workspace own;
      own.rows = workspace.rows;
      own.first = at::empty({index.size(0), dim()}, mean_.options());
      own.second = at::empty_like(own.first);
      joint.select(1, c).index_copy_(0, index, log_density(own, c, index).add_(prior[c]));
    });
  };
  const bool by_products = bound_ == Bound::products;
  const at::Tensor bound = (by_products ? product_bound(workspace, poll) : leading_bound(workspace)).add_(prior);
  // The likeliest class of each row first; then the others whose bound is not below what can matter beside it.
  const at::Tensor likeliest = bound.argmax(1, /*keepdim=*/true);
  const at::Tensor first = at::zeros_like(bound, at::kBool).scatter_(1, likeliest, true);
  evaluate(first);
  const at::Tensor reached = joint.gather(1, likeliest);
  const at::Tensor magnitude = reached.abs();
  const double gap = negligible_gap + std::log(static_cast<double>(present()));
  const at::Tensor needed = reached - gap + magnitude.clamp_min(1).log_() - negligible_share * magnitude;
  const at::Tensor left_out = bound.lt(needed);  // not where the bound is NaN
  const at::Tensor others = left_out.logical_or_(first).logical_not_();
  evaluate(others);

  rows_seen_ += count;
  const double share = others.sum().item<double>() / static_cast<double>(others.numel());
  if (by_products && share > 0.4) {
    bound_ = Bound::leading;  // ill-conditioned: float32 tells nothing
    products_bound_ = false;
  } else if (!by_products && share > 0.3 && products_bound_ && 3 * rows_seen_ >= 2 * dim()) {
    make_pruning_bounds(poll);  // takes as long as the bound would have saved on the rows seen so far
    if (products_bound_) bound_ = Bound::products;
  }
  return joint;
}

at::Tensor GaussianDensity::log_prior() const {
  double total = 0;
  for (const int64_t count : counts_) total += static_cast<double>(count);
  std::vector<double> prior;
  for (int64_t c = 0; c < present(); ++c) {
    const double share = options_.prior == PriorKind::empirical ? static_cast<double>(count_of(c)) / total
                         : options_.prior == PriorKind::uniform ? 1 / static_cast<double>(present())
                                                                : 1;
    prior.push_back(std::log(share));
  }
  return at::tensor(prior, at::kDouble).to(device());
}

int64_t GaussianDensity::place_of(int64_t label) const {
  const auto found = std::lower_bound(labels_.begin(), labels_.end(), label);
  return found != labels_.end() && *found == label ? found - labels_.begin() : -1;
}

at::Tensor GaussianDensity::mean(int64_t c) const { return mean_[c] + mean_low_[c]; }

at::Tensor GaussianDensity::covariance_of(int64_t c) const {
  if (deviation_.defined()) return at::diag(deviation_[c].square());
  const at::Tensor& lower = factor_of(c).lower;
  return lower.mm(lower.t());
}

int64_t GaussianDensity::nbytes() const {
  int64_t bytes = 0;
  const auto add = [&bytes](const at::Tensor& tensor) {
    if (tensor.defined()) bytes += static_cast<int64_t>(tensor.nbytes());
  };
  const auto add_all = [&add](const std::vector<at::Tensor>& tensors) {
    std::for_each(tensors.begin(), tensors.end(), add);
  };
  for (const at::Tensor* tensor :
       {&mean_, &mean_low_, &deviation_, &centre_, &white_mean_, &bound_centre_, &bound_reach_}) {
    add(*tensor);
  }
  for (const Factor& factor : factors_) {
    add(factor.lower);
    add(factor.leading_inverse);
    add_all(factor.inverse_blocks);
  }
  for (const PruningBound& pruning : pruning_bounds_) {
    for (const Float32Linear& product : pruning.blocks) bytes += product.nbytes();
  }
  return bytes;
}

NamedTensors GaussianDensity::state() const {
  NamedTensors state{{"count", at::tensor(counts_, at::kLong)},
                     {"mean", mean_.clone()},
                     {"mean_low", mean_low_.clone()},
                     {"jitter", at::tensor(jitter_, at::kDouble)},
                     {"shrinkage", at::tensor(shrinkage_, at::kDouble)}};
  if (deviation_.defined()) state.emplace_back("deviation", deviation_.clone());
  const bool tied = options_.covariance == CovarianceKind::tied;
  for (size_t i = 0; i < factors_.size(); ++i) {
    state.emplace_back("cholesky." + std::to_string(tied ? 0 : labels_[i]), pack_lower(factors_[i].lower.contiguous()));
  }
  return state;
}

GaussianDensity GaussianDensity::from_state(int64_t classes, int64_t dim, const DensityOptions& options,
                                            c10::Device device, const NamedTensors& state) {
  const auto find = [&](const std::string& name, at::ScalarType dtype, at::IntArrayRef shape) {
    const at::Tensor tensor = saved_tensor(state, name, dtype, shape);
    return tensor.to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
  };
  const auto numbers = [&](const std::string& name) {
    const at::Tensor tensor = find(name, at::kDouble, {classes}).to(at::kCPU);
    return std::vector<double>(tensor.const_data_ptr<double>(), tensor.const_data_ptr<double>() + classes);
  };
  GaussianDensity density;
  density.options_ = options;
  density.counts_ = saved_counts(state, classes);
  for (int64_t label = 0; label < classes; ++label) {
    if (density.counts_[static_cast<size_t>(label)] > 0) density.labels_.push_back(label);
  }
  const int64_t present = density.present();
  if (present == 0) fail("ERR_CORRUPT_FILE", "count: expected at least one sample, found none");
  // A row for each class with samples; version 0.1 wrote one for every class.
  const auto find_rows = [&](const std::string& name) {
    const auto entry = std::find_if(state.begin(), state.end(), [&](const auto& each) { return each.first == name; });
    const bool of_all = entry != state.end() && entry->second.dim() == 2 && entry->second.size(0) == classes;
    if (!of_all) return find(name, at::kDouble, {present, dim});
    return find(name, at::kDouble, {classes, dim}).index_select(0, at::tensor(density.labels_, at::kLong).to(device));
  };
  density.mean_ = find_rows("mean");
  density.mean_low_ = find_rows("mean_low");
  density.jitter_ = numbers("jitter");
  density.shrinkage_ = numbers("shrinkage");
  const auto require_positive = [](const at::Tensor& values, const std::string& name) {
    if (!values.gt(0).all().item<bool>()) fail("ERR_CORRUPT_FILE", name, ": expected positive numbers only");
  };
  if (options.covariance == CovarianceKind::diagonal) {
    density.deviation_ = find_rows("deviation");
    require_positive(density.deviation_, "deviation");
    return density;
  }
  const bool tied = options.covariance == CovarianceKind::tied;
  density.factors_.resize(tied ? 1 : static_cast<size_t>(present));
  for (size_t i = 0; i < density.factors_.size(); ++i) {
    const std::string name = "cholesky." + std::to_string(tied ? 0 : density.labels_[i]);
    const at::Tensor lower = unpack_lower(find(name, at::kDouble, {dim * (dim + 1) / 2}), dim);
    require_positive(lower.diagonal(), name);
    density.factors_[i] = keep_factor(lower);
  }
  return density;
}

}  // namespace ood
