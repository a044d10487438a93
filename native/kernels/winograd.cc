// Convolutions of 3 x 3 by Winograd's minimal filtering.
#include "kernels/winograd.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>

#include "kernels/tile_product.h"
#include "platform/cpu_features.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define OOD_AVX2 __attribute__((target("avx2,fma")))
#define OOD_AVX2_INLINE __attribute__((target("avx2,fma"), always_inline)) inline
#define OOD_WINOGRAD 1
#endif

namespace ood::winograd {

namespace {

constexpr auto tiles_of_avx2 = tile_product::Instructions::avx2;
constexpr int64_t widest_tile = 24;

int64_t tile_columns() { return tile_product::shape_of<float>(tiles_of_avx2).columns; }

// Channels of a right factor, whose last panel is filled up by zeros.
int64_t padded(int64_t channels) { return (channels + tile_columns() - 1) / tile_columns() * tile_columns(); }

// Numbers of one point's matrix, and a line of the cache, lest those of all points are of one set of it.
int64_t outputs_stride(int64_t out, int64_t count) { return out * count + 16; }
int64_t inputs_stride(int64_t in, int64_t count) { return padded(in) * count + 16; }

}  // namespace

bool available() { return cpu::has_avx2(); }

int64_t weight_size(int64_t in, int64_t out) { return points * in * padded(out); }

int64_t weight_pieces(int64_t in, int64_t out) {
  return (in + piece_depth - 1) / piece_depth * (padded(out) / tile_columns());
}

int64_t outputs_size(int64_t out) { return points * outputs_stride(out, gradient_tiles); }
int64_t inputs_size(int64_t in) { return points * inputs_stride(in, gradient_tiles); }

int64_t workspace_size(int64_t out) { return points * block_tiles * (piece_depth + out); }

// G·g·Gᵀ of each 3 x 3 kernel, G = [1 0 0; ½ ½ ½; ½ −½ ½; 0 0 1]. Laid out by part of the input channels, then by
// point, each as the right factor of a product.
void transform_weight(const float* weight, const int64_t (&strides)[4], int64_t in, int64_t out, int64_t piece,
                      float* packed) {
  const int64_t width = tile_columns(), padded_out = padded(out), panels = padded_out / width;
  const int64_t channel = piece / panels * piece_depth, column = piece % panels * width;
  const int64_t depth = std::min(piece_depth, in - channel);
  // Here first: the places of one kernel in `packed` are of one set of the cache where channels are a power of two.
  thread_local static float transformed[points][piece_depth * widest_tile + 16];
  for (int64_t c = 0; c < depth; ++c) {
    for (int64_t k = 0; k < width; ++k) {
      float rows[4][3] = {};
      if (column + k < out) {
        const float* const g = weight + (column + k) * strides[0] + (channel + c) * strides[1];
        for (int j = 0; j < 3; ++j) {
          const float top = g[j * strides[3]], middle = g[strides[2] + j * strides[3]];
          const float bottom = g[2 * strides[2] + j * strides[3]];
          rows[0][j] = top;
          rows[1][j] = 0.5F * (top + middle + bottom);
          rows[2][j] = 0.5F * (top - middle + bottom);
          rows[3][j] = bottom;
        }
      }
      for (int i = 0; i < 4; ++i) {
        float* const to = transformed[4 * i] + c * width + k;
        constexpr size_t next = std::size(transformed[0]);
        to[0] = rows[i][0];
        to[next] = 0.5F * (rows[i][0] + rows[i][1] + rows[i][2]);
        to[2 * next] = 0.5F * (rows[i][0] - rows[i][1] + rows[i][2]);
        to[3 * next] = rows[i][2];
      }
    }
  }
  for (int64_t p = 0; p < points; ++p) {
    float* const panel = packed + (points * channel + p * depth) * padded_out + column * depth;
    std::copy_n(transformed[p], depth * width, panel);
  }
}

#ifdef OOD_WINOGRAD

namespace {

// Bᵀ·d·B of 4 x 4 vectors, in place: Bᵀ = [1 0 −1 0; 0 1 1 0; 0 −1 1 0; 0 1 0 −1].
OOD_AVX2_INLINE void transform_input(__m256 (&d)[4][4]) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m256 d0 = d[0][j], d1 = d[1][j], d2 = d[2][j], d3 = d[3][j];
    d[0][j] = d0 - d2;
    d[1][j] = d1 + d2;
    d[2][j] = d2 - d1;
    d[3][j] = d1 - d3;
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m256 d0 = d[i][0], d1 = d[i][1], d2 = d[i][2], d3 = d[i][3];
    d[i][0] = d0 - d2;
    d[i][1] = d1 + d2;
    d[i][2] = d2 - d1;
    d[i][3] = d1 - d3;
  }
}

// Four vectors of eight to eight of four, one after the other: what a panel of the left factor is made of.
OOD_AVX2_INLINE void store_transposed(const float* rows, float* to) {
  const __m256 a = _mm256_load_ps(rows), b = _mm256_load_ps(rows + 8), c = _mm256_load_ps(rows + 16),
               d = _mm256_load_ps(rows + 24);
  const __m256 ab_low = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
  const __m256 cd_low = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);
  const __m256 k04 = _mm256_shuffle_ps(ab_low, cd_low, 0x44), k15 = _mm256_shuffle_ps(ab_low, cd_low, 0xee);
  const __m256 k26 = _mm256_shuffle_ps(ab_high, cd_high, 0x44), k37 = _mm256_shuffle_ps(ab_high, cd_high, 0xee);
  _mm256_storeu_ps(to, _mm256_permute2f128_ps(k04, k15, 0x20));
  _mm256_storeu_ps(to + 8, _mm256_permute2f128_ps(k26, k37, 0x20));
  _mm256_storeu_ps(to + 16, _mm256_permute2f128_ps(k04, k15, 0x31));
  _mm256_storeu_ps(to + 24, _mm256_permute2f128_ps(k26, k37, 0x31));
}

// Where the outputs of a tile are, and which of the pixels around them the image has.
struct Place {
  int64_t image, y, x;
};

Place place_of(const Shape& shape, int64_t tile) {
  const int64_t of_image = tile % shape.tiles();
  return {tile / shape.tiles(), of_image / shape.tiles_across() * 2, of_image % shape.tiles_across() * 2};
}

constexpr int panel = 4;  // tiles of one panel of the left factor

// The left factors of all points for `depth` channels from `channel` on: [points, tiles in panels, depth].
OOD_AVX2 void transform_inputs(const Shape& shape, const float* input, int64_t channel, int64_t depth, int64_t first,
                               int64_t count, float* packed) {
  const int64_t panels = (count + panel - 1) / panel;
  alignas(32) static constexpr float zeros[piece_depth] = {};
  for (int64_t group = 0; group < panels; ++group) {
    const float* pixels[panel][points];
    for (int r = 0; r < panel; ++r) {
      const int64_t tile = group * panel + r;
      const Place place = place_of(shape, first + std::min(tile, count - 1));
      for (int64_t p = 0; p < points; ++p) {
        const int64_t y = place.y - 1 + p / 4, x = place.x - 1 + p % 4;
        const bool inside = tile < count && y >= 0 && y < shape.height && x >= 0 && x < shape.width;
        pixels[r][p] =
            inside ? input + ((place.image * shape.height + y) * shape.width + x) * shape.in + channel : zeros;
      }
    }
    for (int64_t c = 0; c < depth; c += 8) {
      alignas(32) float transformed[points][panel][8];
      for (int r = 0; r < panel; ++r) {
        __m256 d[4][4];
#pragma GCC unroll 16
        for (int p = 0; p < points; ++p) d[p / 4][p % 4] = _mm256_loadu_ps(pixels[r][p] + c);
        transform_input(d);
#pragma GCC unroll 16
        for (int p = 0; p < points; ++p) _mm256_store_ps(transformed[p][r], d[p / 4][p % 4]);
      }
      for (int64_t p = 0; p < points; ++p)
        store_transposed(transformed[p][0], packed + ((p * panels + group) * depth + c) * panel);
    }
  }
}

// Aᵀ·m·A of the products of each tile, Aᵀ = [1 1 1 0; 0 1 −1 −1], with what is added.
OOD_AVX2 void transform_outputs(const Shape& shape, const float* products, const Epilogue& epilogue, int64_t first,
                                int64_t count, float* output) {
  const __m256 slope = _mm256_set1_ps(epilogue.slope), zero = _mm256_setzero_ps();
  const bool rectified = epilogue.slope == 0;  // where −∞ becomes 0 too; NaN stays
  for (int64_t tile = 0; tile < count; ++tile) {
    const Place place = place_of(shape, first + tile);
    const int64_t pixel = (place.image * shape.height + place.y) * shape.width + place.x;
    const bool below = place.y + 1 < shape.height, right = place.x + 1 < shape.width;
    for (int64_t k = 0; k < shape.out; k += 8) {
      __m256 rows[2][4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const float* const m = products + (j * count + tile) * shape.out + k;
        const int64_t row = 4 * count * shape.out;
        const __m256 m0 = _mm256_loadu_ps(m), m1 = _mm256_loadu_ps(m + row), m2 = _mm256_loadu_ps(m + 2 * row),
                     m3 = _mm256_loadu_ps(m + 3 * row);
        rows[0][j] = m0 + m1 + m2;
        rows[1][j] = m1 - m2 - m3;
      }
      const __m256 bias = epilogue.bias != nullptr ? _mm256_loadu_ps(epilogue.bias + k) : zero;
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        if (i == 1 && !below) break;
        const __m256 sums[2] = {rows[i][0] + rows[i][1] + rows[i][2], rows[i][1] - rows[i][2] - rows[i][3]};
#pragma GCC unroll 2
        for (int j = 0; j < 2; ++j) {
          if (j == 1 && !right) break;
          const int64_t at = (pixel + i * shape.width + j) * shape.out + k;
          __m256 y = sums[j] + bias;
          if (epilogue.residual != nullptr) y += _mm256_loadu_ps(epilogue.residual + at);
          y = _mm256_blendv_ps(y, rectified ? zero : y * slope, _mm256_cmp_ps(y, zero, _CMP_LT_OQ));
          _mm256_storeu_ps(output + at, y);
        }
      }
    }
  }
}

}  // namespace

void convolve(const Shape& shape, const float* input, const float* packed, const Epilogue& epilogue, int64_t first,
              int64_t count, float* workspace, float* output) {
  const int64_t padded_out = padded(shape.out), panels = (count + panel - 1) / panel;
  float* const products = workspace + points * block_tiles * piece_depth;
  std::memset(products, 0, sizeof(float) * static_cast<size_t>(points * count * shape.out));
  for (int64_t channel = 0; channel < shape.in; channel += piece_depth) {
    const int64_t depth = std::min(piece_depth, shape.in - channel);
    transform_inputs(shape, input, channel, depth, first, count, workspace);
    for (int64_t p = 0; p < points; ++p) {
      tile_product::add_product<float>(
          tiles_of_avx2, workspace + p * panels * panel * depth, packed + (points * channel + p * depth) * padded_out,
          count, shape.out, depth, products + p * count * shape.out, shape.out, std::numeric_limits<int32_t>::max());
    }
  }
  transform_outputs(shape, products, epilogue, first, count, output);
}

// A·y·Aᵀ of each tile's 2 x 2 gradients, as the left factor: by panels of channels, of each of them all tiles.
OOD_AVX2 void transform_output_gradients(const Shape& shape, const float* gradient, int64_t first, int64_t count,
                                         int64_t begin, int64_t end, float* packed) {
  const int64_t stride = outputs_stride(shape.out, count);
  const __m256 zero = _mm256_setzero_ps();
  for (int64_t tile = begin; tile < end; ++tile) {
    const Place place = place_of(shape, first + tile);
    const float* const pixel = gradient + ((place.image * shape.height + place.y) * shape.width + place.x) * shape.out;
    const bool below = place.y + 1 < shape.height, right = place.x + 1 < shape.width;
    for (int64_t k = 0; k < shape.out; k += 8) {
      const float* const from = pixel + k;
      const __m256 y00 = _mm256_loadu_ps(from), y01 = right ? _mm256_loadu_ps(from + shape.out) : zero;
      const __m256 y10 = below ? _mm256_loadu_ps(from + shape.width * shape.out) : zero;
      const __m256 y11 = below && right ? _mm256_loadu_ps(from + (shape.width + 1) * shape.out) : zero;
      const __m256 rows[4][2] = {{y00, y01}, {y00 + y10, y01 + y11}, {y00 - y10, y01 - y11}, {-y10, -y11}};
      float* const to = packed + k * count + tile * panel;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const __m256 row[4] = {rows[i][0], rows[i][0] + rows[i][1], rows[i][0] - rows[i][1], -rows[i][1]};
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) {
          float* const low = to + (4 * i + j) * stride;
          _mm_storeu_ps(low, _mm256_castps256_ps128(row[j]));
          _mm_storeu_ps(low + panel * count, _mm256_extractf128_ps(row[j], 1));
        }
      }
    }
  }
}

// Bᵀ·d·B of each tile's inputs, as the right factor: by panels of channels, of all tiles each of them.
OOD_AVX2 void transform_gradient_inputs(const Shape& shape, const float* input, int64_t first, int64_t count,
                                        int64_t begin, int64_t end, float* packed) {
  const int64_t stride = inputs_stride(shape.in, count), width = tile_columns();
  alignas(32) static constexpr float zeros[8] = {};
  for (int64_t tile = begin; tile < end; ++tile) {
    const Place place = place_of(shape, first + tile);
    const float* pixels[points];
    int64_t steps[points];
    for (int64_t p = 0; p < points; ++p) {
      const int64_t y = place.y - 1 + p / 4, x = place.x - 1 + p % 4;
      const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
      pixels[p] = inside ? input + ((place.image * shape.height + y) * shape.width + x) * shape.in : zeros;
      steps[p] = inside ? 1 : 0;
    }
    for (int64_t c = 0; c < shape.in; c += 8) {
      __m256 d[4][4];
#pragma GCC unroll 16
      for (int p = 0; p < points; ++p) d[p / 4][p % 4] = _mm256_loadu_ps(pixels[p] + steps[p] * c);
      transform_input(d);
      float* const to = packed + c / width * width * count + tile * width + c % width;
#pragma GCC unroll 16
      for (int p = 0; p < points; ++p) _mm256_storeu_ps(to + p * stride, d[p / 4][p % 4]);
    }
    for (int64_t c = shape.in; c < padded(shape.in); c += 8) {
      float* const to = packed + c / width * width * count + tile * width + c % width;
      for (int64_t p = 0; p < points; ++p) _mm256_storeu_ps(to + p * stride, _mm256_setzero_ps());
    }
  }
}

void add_weight_products(const Shape& shape, const float* outputs, const float* inputs, int64_t count, int64_t point,
                         int64_t first, int64_t last, float* products) {
  tile_product::add_product<float>(tiles_of_avx2, outputs + point * outputs_stride(shape.out, count) + first * count,
                                   inputs + point * inputs_stride(shape.in, count), last - first, shape.in, count,
                                   products + (point * shape.out + first) * shape.in, shape.in,
                                   std::numeric_limits<int32_t>::max());
}

// Gᵀ·m·G of the sums of each pair of channels.
OOD_AVX2 void weight_gradient(const Shape& shape, const float* products, int64_t channel, float* gradient) {
  const __m256 half = _mm256_set1_ps(0.5F);
  for (int64_t c = 0; c < shape.in; c += 8) {
    __m256 rows[3][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const float* const m = products + (j * shape.out + channel) * shape.in + c;
      const int64_t row = 4 * shape.out * shape.in;
      const __m256 m0 = _mm256_loadu_ps(m), m1 = _mm256_loadu_ps(m + row), m2 = _mm256_loadu_ps(m + 2 * row),
                   m3 = _mm256_loadu_ps(m + 3 * row);
      const __m256 sum = half * (m1 + m2);
      rows[0][j] = m0 + sum;
      rows[1][j] = half * (m1 - m2);
      rows[2][j] = sum + m3;
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const __m256 sum = half * (rows[i][1] + rows[i][2]);
      float* const to = gradient + 3 * i * shape.in + c;
      _mm256_storeu_ps(to, rows[i][0] + sum);
      _mm256_storeu_ps(to + shape.in, half * (rows[i][1] - rows[i][2]));
      _mm256_storeu_ps(to + 2 * shape.in, sum + rows[i][3]);
    }
  }
}

#else

void transform_output_gradients(const Shape&, const float*, int64_t, int64_t, int64_t, int64_t, float*) {}
void transform_gradient_inputs(const Shape&, const float*, int64_t, int64_t, int64_t, int64_t, float*) {}
void add_weight_products(const Shape&, const float*, const float*, int64_t, int64_t, int64_t, int64_t, float*) {}
void weight_gradient(const Shape&, const float*, int64_t, float*) {}
void convolve(const Shape&, const float*, const float*, const Epilogue&, int64_t, int64_t, float*, float*) {}

#endif

}  // namespace ood::winograd
