// Matrix products.
#include "matrix_product.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "parallel.h"
#include "tile_product.h"

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

tile_product::View part_of(const at::Tensor& matrix, int64_t row, int64_t column) {
  return {matrix.const_data_ptr<double>() + row * matrix.stride(0) + column * matrix.stride(1), matrix.stride(0),
          matrix.stride(1)};
}

void add_tiled_product(const at::Tensor& target, const at::Tensor& a, const at::Tensor& b, double scale,
                       Wanted wanted) {
  const tile_product::Instructions tiles = tile_instructions();
  const int64_t tile_columns = tile_product::shape_of(tiles).columns;
  const int64_t rows = target.size(0), columns = target.size(1), depth = a.size(1);
  const at::Tensor packed_columns = at::empty(
      {std::min(depth, block_depth) * std::min(round_up(columns, tile_columns), block_columns)}, target.options());
  double* const packed_b = packed_columns.mutable_data_ptr<double>();
  double* const to = target.mutable_data_ptr<double>();
  for (int64_t column = 0; column < columns; column += block_columns) {
    const int64_t width = std::min(block_columns, columns - column);
    for (int64_t layer = 0; layer < depth; layer += block_depth) {
      const int64_t height = std::min(block_depth, depth - layer);
      const auto pack_panel = [&](int64_t panel) {
        const int64_t first = panel * tile_columns;
        tile_product::pack_columns(tiles, part_of(b, layer, column + first), height,
                                   std::min(tile_columns, width - first), packed_b + first * height);
      };
      const int64_t panels = (width + tile_columns - 1) / tile_columns;
      if (width * height < least_shared_packing) {
        for (int64_t panel = 0; panel < panels; ++panel) pack_panel(panel);
      } else {
        in_parallel(panels, pack_panel);
      }
      in_parallel((rows + block_rows - 1) / block_rows, [&](int64_t i) {
        const int64_t row = i * block_rows;
        const int64_t held = std::min(block_rows, rows - row);
        if (wanted == Wanted::lower_triangle && row + held <= column) return;
        alignas(64) thread_local static double packed_a[block_rows * block_depth];
        tile_product::pack_rows(tiles, part_of(a, row, layer), held, height, scale, packed_a);
        const int64_t below = wanted == Wanted::lower_triangle ? row - column : std::numeric_limits<int32_t>::max();
        tile_product::add_product(tiles, packed_a, packed_b, held, width, height, to + row * target.stride(0) + column,
                                  target.stride(0), below);
      });
    }
  }
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

at::Tensor linear_float32(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto fused = inner_product();
  if (!x.is_cpu() || !fused) return at::linear(x, weight, bias);
  return fused->call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none", Scalars(), "");
}

}  // namespace ood
