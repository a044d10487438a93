// Resizing of uint8 pixels, of which only a part is wanted.
#include "data/resampling.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace ood {

namespace {

// A byte, a sign and a carry leave 22 of 32 bits for a weight.
constexpr int weight_bits = 32 - 8 - 2;
constexpr int32_t half = 1 << (weight_bits - 1);

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> weight_bits, 0, 255)); }

// Of each wanted pixel, the source pixels that it is made of: `counts[i]` from `first[i]` on, with their weights in row
// i of [n, width].
struct Taps {
  std::vector<int64_t> first;
  std::vector<int64_t> counts;
  int64_t width;
  std::vector<int32_t> weights;

  size_t size() const { return first.size(); }
  const int32_t* row(size_t i) const { return weights.data() + i * static_cast<size_t>(width); }
};

double kernel_at(ResizeKernel kernel, double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (kernel == ResizeKernel::bilinear) return x < 1 ? 1 - x : 0;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// Operation by operation as Pillow's precompute_coeffs: another order would round other weights.
Taps taps_of(int64_t source, const ResizeAxis& axis, ResizeKernel kernel) {
  const double scale = static_cast<double>(source) / static_cast<double>(axis.scaled);
  const double filter_scale = std::max(scale, 1.0);
  const double support = (kernel == ResizeKernel::bilinear ? 1.0 : 2.0) * filter_scale;
  Taps taps;
  taps.width = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  taps.weights.resize(static_cast<size_t>(axis.count * taps.width));
  std::vector<double> exact(static_cast<size_t>(taps.width));
  for (int64_t i = 0; i < axis.count; ++i) {
    const double center = (static_cast<double>(axis.start + i) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(center - support + 0.5));
    const int64_t count = std::min(source, static_cast<int64_t>(center + support + 0.5)) - first;
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) {
      const double weight = kernel_at(kernel, (static_cast<double>(k + first) - center + 0.5) * (1.0 / filter_scale));
      exact[static_cast<size_t>(k)] = weight;
      sum += weight;
    }
    int32_t* const weights = taps.weights.data() + i * taps.width;
    for (int64_t k = 0; k < count; ++k) {
      const double weight = (sum != 0 ? exact[static_cast<size_t>(k)] / sum : exact[static_cast<size_t>(k)]);
      weights[k] = static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << weight_bits));
    }
    taps.first.push_back(first);
    taps.counts.push_back(count);
  }
  return taps;
}

template <int channels>
void resample_row(const uint8_t* row, const Taps& taps, uint8_t* out) {
  for (size_t i = 0; i < taps.size(); ++i) {
    const uint8_t* from = row + taps.first[i] * channels;
    const int32_t* const weights = taps.row(i);
    std::array<int32_t, channels> sums;
    sums.fill(half);
    for (int64_t k = 0; k < taps.counts[i]; ++k, from += channels) {
      for (int c = 0; c < channels; ++c) sums[c] += from[c] * weights[k];
    }
    for (int c = 0; c < channels; ++c) *out++ = to_byte(sums[c]);
  }
}

// `count` bytes, each the weighted sum of one byte of every row; rows are `stride` bytes apart.
void resample_down(const uint8_t* rows, int64_t stride, const int32_t* weights, int64_t taps, int64_t count,
                   uint8_t* out) {
  constexpr int64_t block = 16;  // a fixed number, for which the compiler makes vectors
  int64_t at = 0;
  for (; at + block <= count; at += block) {
    std::array<int32_t, block> sums;
    sums.fill(half);
    for (int64_t k = 0; k < taps; ++k) {
      const uint8_t* const row = rows + k * stride + at;
      for (int64_t j = 0; j < block; ++j) sums[j] += row[j] * weights[k];
    }
    for (int64_t j = 0; j < block; ++j) out[at + j] = to_byte(sums[j]);
  }
  for (; at < count; ++at) {
    int32_t sum = half;
    for (int64_t k = 0; k < taps; ++k) sum += rows[k * stride + at] * weights[k];
    out[at] = to_byte(sum);
  }
}

// Of each wanted pixel, the source pixels on both sides and their weights, as libtorch's upsample kernels have them.
template <int taps>
struct Neighbours {
  std::array<int64_t, taps> index;
  std::array<double, taps> weight;
};

template <int taps>
std::vector<Neighbours<taps>> neighbours_of(int64_t source, const ResizeAxis& axis) {
  std::vector<Neighbours<taps>> all(static_cast<size_t>(axis.count));
  for (int64_t i = 0; i < axis.count; ++i) {
    Neighbours<taps>& wanted = all[static_cast<size_t>(i)];
    const double scale = static_cast<double>(source) / static_cast<double>(axis.scaled);
    double at = scale * (static_cast<double>(axis.start + i) + 0.5) - 0.5;
    if (taps == 2) at = std::max(at, 0.0);
    const double below = std::floor(at), t = at - below;
    for (int k = 0; k < taps; ++k) {
      wanted.index[k] = std::clamp<int64_t>(static_cast<int64_t>(below) + k - (taps / 2 - 1), 0, source - 1);
    }
    if constexpr (taps == 2) {
      wanted.weight = {1 - t, t};
    } else {
      constexpr double a = -0.75;
      const auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
      const auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
      wanted.weight = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    }
  }
  return all;
}

template <int taps>
void interpolate_by(PixelRows& rows, const ResizeAxis& x, const ResizeAxis& y, const Poll& poll, uint8_t* out) {
  const auto columns = neighbours_of<taps>(rows.width(), x), lines = neighbours_of<taps>(rows.height(), y);
  const int64_t channels = rows.channels(), row_bytes = rows.stride();
  for (const Neighbours<taps>& line : lines) {
    poll();
    const int64_t first = line.index.front();
    const uint8_t* const source = rows.read(first, line.index.back() - first + 1);
    for (const Neighbours<taps>& column : columns) {
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (int i = 0; i < taps; ++i) {
          const uint8_t* const row = source + (line.index[i] - first) * row_bytes + c;
          double across = 0;
          for (int j = 0; j < taps; ++j) across += column.weight[j] * row[column.index[j] * channels];
          sum += line.weight[i] * across;
        }
        *out++ = static_cast<uint8_t>(std::clamp(std::nearbyint(sum), 0.0, 255.0));
      }
    }
  }
}

}  // namespace

void resample(PixelRows& rows, const ResizeAxis& x, const ResizeAxis& y, ResizeKernel kernel, const Poll& poll,
              uint8_t* out) {
  const int64_t channels = rows.channels(), source_bytes = rows.stride(), row_bytes = x.count * channels;
  // An axis that keeps its length is only cut: Pillow leaves its pass out.
  const bool across = x.scaled != rows.width(), down = y.scaled != rows.height();
  const Taps columns = across ? taps_of(rows.width(), x, kernel) : Taps{};
  const Taps lines = down ? taps_of(rows.height(), y, kernel) : Taps{};
  const int64_t first = down ? lines.first.front() : y.start;
  const int64_t last = down ? lines.first.back() + lines.counts.back() : y.start + y.count;
  std::vector<uint8_t> narrowed(down ? static_cast<size_t>((last - first) * row_bytes) : 0);
  uint8_t* const narrow = down ? narrowed.data() : out;
  for (int64_t start = first; start < last; start += PixelRows::at_once) {
    poll();
    const int64_t count = std::min(PixelRows::at_once, last - start);
    const uint8_t* const source = rows.read(start, count);
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* const row = source + i * source_bytes;
      uint8_t* const to = narrow + (start - first + i) * row_bytes;
      if (!across) {
        std::memcpy(to, row + x.start * channels, static_cast<size_t>(row_bytes));
      } else if (channels == 1) {
        resample_row<1>(row, columns, to);
      } else {
        resample_row<3>(row, columns, to);
      }
    }
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i % PixelRows::at_once == 0) poll();
    resample_down(narrow + (lines.first[i] - first) * row_bytes, row_bytes, lines.row(i), lines.counts[i], row_bytes,
                  out + static_cast<int64_t>(i) * row_bytes);
  }
}

void interpolate(PixelRows& rows, const ResizeAxis& x, const ResizeAxis& y, ResizeKernel kernel, const Poll& poll,
                 uint8_t* out) {
  if (kernel == ResizeKernel::bilinear) {
    interpolate_by<2>(rows, x, y, poll, out);
  } else {
    interpolate_by<4>(rows, x, y, poll, out);
  }
}

}  // namespace ood
