// Matrix products.
#include "kernels/matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "core/parallel.h"
#include "kernels/tile_product.h"

namespace ood {

namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                   std::string_view, Scalars, std::optional<std::string_view>);

// oneDNN's inner product, an operator of libtorch's CPU build on x86; absent elsewhere. It has kernels for every x86
// processor, while the BLAS behind at::linear takes a generic one where the vendor is not its own: 345 against 157
// GFLOP/s on two cores of an EPYC 9005.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> inner_product() {
  const auto schema = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!schema || !at::hasMKLDNN()) return std::nullopt;
  try {
    return schema->typed<LinearPointwise>();
  } catch (const c10::Error&) {  // another libtorch, another signature: do without
    return std::nullopt;
  }
}

// Blocks of the tiled product: `depth` x one tile's columns in the first-level cache, rows x depth in the second-level
// one, the rest further out.
constexpr int64_t block_depth = 256;
constexpr int64_t block_rows = 96;
constexpr int64_t block_columns = 3072;

// Below about this many multiplications packing costs more than the tiles save.
constexpr int64_t least_work = int64_t{1} << 18;

// Below this many numbers to pack, waking other threads takes longer.
constexpr int64_t least_shared_packing = int64_t{1} << 15;

int64_t round_up(int64_t size, int64_t multiple) { return (size + multiple - 1) / multiple * multiple; }

template <typename T>
tile_product::View<T> part_of(const at::Tensor& matrix, int64_t row, int64_t column) {
  return {matrix.const_data_ptr<T>() + row * matrix.stride(0) + column * matrix.stride(1), matrix.stride(0),
          matrix.stride(1)};
}

// A block of the right factor: [height, width] from (layer, column) on.
struct Block {
  int64_t layer, column, height, width;
};

// Calls body(block) for the blocks of a matrix [depth, columns], those of one column of blocks in turn.
template <typename Body>
void for_each_block(int64_t depth, int64_t columns, const Body& body) {
  for (int64_t column = 0; column < columns; column += block_columns) {
    for (int64_t layer = 0; layer < depth; layer += block_depth) {
      body(Block{layer, column, std::min(block_depth, depth - layer), std::min(block_columns, columns - column)});
    }
  }
}

template <typename T>
int64_t packed_columns(int64_t columns) {
  return round_up(columns, tile_product::shape_of<T>(tile_instructions()).columns);
}

// A block of b as panels, height x packed_columns(width).
template <typename T>
void pack_block(const at::Tensor& b, const Block& block, T* packed) {
  const tile_product::Instructions tiles = tile_instructions();
  const int64_t tile_columns = tile_product::shape_of<T>(tiles).columns;
  const auto pack_panel = [&](int64_t panel) {
    const int64_t first = panel * tile_columns;
    tile_product::pack_columns(tiles, part_of<T>(b, block.layer, block.column + first), block.height,
                               std::min(tile_columns, block.width - first), packed + first * block.height);
  };
  const int64_t panels = (block.width + tile_columns - 1) / tile_columns;
  if (block.width * block.height < least_shared_packing) {
    for (int64_t panel = 0; panel < panels; ++panel) pack_panel(panel);
  } else {
    in_parallel(panels, pack_panel);
  }
}

// Where the panels of a block lie among those of all blocks of a matrix of that depth.
float* panels_of(const at::Tensor& packed, int64_t depth, const Block& block) {
  return packed.mutable_data_ptr<float>() + block.column * depth + block.layer * packed_columns<float>(block.width);
}

// Adds what a packed block of b contributes to scale·a·b.
template <typename T>
void add_block(const at::Tensor& target, const at::Tensor& a, const T* packed, const Block& block, double scale,
               Wanted wanted) {
  const tile_product::Instructions tiles = tile_instructions();
  const int64_t rows = target.size(0);
  // Parts of one size, so that threads end together.
  const int64_t parts = (rows + block_rows - 1) / block_rows;
  const int64_t part_rows = round_up((rows + parts - 1) / parts, tile_product::shape_of<T>(tiles).rows);
  T* const to = target.mutable_data_ptr<T>() + block.column;
  in_parallel((rows + part_rows - 1) / part_rows, [&](int64_t i) {
    const int64_t row = i * part_rows;
    const int64_t held = std::min(part_rows, rows - row);
    if (wanted == Wanted::lower_triangle && row + held <= block.column) return;
    alignas(64) thread_local static T packed_a[block_rows * block_depth];
    tile_product::pack_rows(tiles, part_of<T>(a, row, block.layer), held, block.height, static_cast<T>(scale),
                            packed_a);
    const int64_t below = wanted == Wanted::lower_triangle ? row - block.column : std::numeric_limits<int32_t>::max();
    tile_product::add_product(tiles, packed_a, packed, held, block.width, block.height, to + row * target.stride(0),
                              target.stride(0), below);
  });
}

void add_tiled_product(const at::Tensor& target, const at::Tensor& a, const at::Tensor& b, double scale,
                       Wanted wanted) {
  const int64_t depth = a.size(1), columns = target.size(1);
  const at::Tensor packed = at::empty(
      {std::min(depth, block_depth) * packed_columns<double>(std::min(columns, block_columns))}, target.options());
  double* const panels = packed.mutable_data_ptr<double>();
  for_each_block(depth, columns, [&](const Block& block) {
    pack_block(b, block, panels);
    add_block(target, a, panels, block, scale, wanted);
  });
}

// oneDNN's kernels reach 113 to 135 GFLOP/s where AVX2 is all there is, these tiles 157.
bool has_float32_tiles(c10::Device device) {
  return device.is_cpu() && tile_instructions() == tile_product::Instructions::avx2;
}

}  // namespace

// Those of the processor, unless ATEN_CPU_CAPABILITY, the variable that chooses libtorch's own kernels, asks for less.
tile_product::Instructions tile_instructions() {
  using tile_product::Instructions;
  static const Instructions instructions = [] {
    const std::string capability = at::get_cpu_capability();
    const Instructions allowed = capability == "AVX512" ? Instructions::avx512
                                 : capability == "AVX2" ? Instructions::avx2
                                                        : Instructions::none;
    return std::min(allowed, tile_product::best());
  }();
  return instructions;
}

void set_product(at::Tensor& target, const at::Tensor& a, const at::Tensor& b) {
  if (!has_tiles(target) || target.numel() * a.size(1) < least_work) {
    at::mm_out(target, a, b);
    return;
  }
  target.zero_();
  add_product(target, a, b);
}

bool has_tiles(const at::Tensor& target) {
  return target.is_cpu() && tile_instructions() != tile_product::Instructions::none;
}

void add_product(const at::Tensor& target, const at::Tensor& a, const at::Tensor& b, double scale, Wanted wanted) {
  if (has_tiles(target) && target.numel() * a.size(1) >= least_work) {
    if (target.stride(1) == 1) return add_tiled_product(target, a, b, scale, wanted);
    if (target.stride(0) == 1 && wanted == Wanted::all)
      return add_tiled_product(target.t(), b.t(), a.t(), scale, wanted);
  }
  target.addmm_(a, b, 1, scale);
}

void solve_right_by_tiles(const at::Tensor& lower, const at::Tensor& target) {
  constexpr int64_t rows_at_a_time = 64;
  const int64_t rows = target.size(0), row_stride = target.stride(0);
  const double* const triangle = lower.const_data_ptr<double>();
  double* const to = target.mutable_data_ptr<double>();
  in_parallel((rows + rows_at_a_time - 1) / rows_at_a_time, [&](int64_t part) {
    const int64_t first = part * rows_at_a_time;
    tile_product::solve_right(tile_instructions(), triangle, lower.stride(0), lower.size(0), to + first * row_stride,
                              std::min(rows_at_a_time, rows - first), row_stride);
  });
}

int64_t longest_sum_float32(c10::Device device, int64_t depth) {
  if (!has_float32_tiles(device)) return depth;
  return std::min(depth, block_depth) + (depth + block_depth - 1) / block_depth;  // of a block, and of blocks
}

Float32Linear::Float32Linear(const at::Tensor& weight, const at::Tensor& bias)
    : inputs_(weight.size(1)), outputs_(weight.size(0)), bias_(bias) {
  if (!has_float32_tiles(weight.device())) {
    weight_ = weight;
    return;
  }
  weight_ = at::empty({inputs_ * packed_columns<float>(outputs_)}, weight.options());
  const at::Tensor columns = weight.t();
  for_each_block(inputs_, outputs_,
                 [&](const Block& block) { pack_block(columns, block, panels_of(weight_, inputs_, block)); });
}

at::Tensor Float32Linear::operator()(const at::Tensor& x) const {
  if (has_float32_tiles(x.device())) {
    const at::Tensor y = at::empty({x.size(0), outputs_}, x.options());
    if (bias_.defined()) {
      y.copy_(bias_);
    } else {
      y.zero_();
    }
    for_each_block(inputs_, outputs_, [&](const Block& block) {
      add_block(y, x, panels_of(weight_, inputs_, block), block, 1, Wanted::all);
    });
    return y;
  }
  static const auto fused = inner_product();
  if (!x.is_cpu() || !fused) return at::linear(x, weight_, bias_);
  return fused->call(x, weight_, bias_.defined() ? std::optional(bias_) : std::nullopt, "none", Scalars(), "");
}

int64_t Float32Linear::nbytes() const {
  return static_cast<int64_t>(weight_.nbytes() + (bias_.defined() ? bias_.nbytes() : 0));
}

}  // namespace ood
