// Convolutions of 3 x 3 by Winograd's minimal filtering, F(2 x 2, 3 x 3) of Lavin and Gray 2016: 16 multiplications
// for 2 x 2 outputs in place of 36, in float32 by the tiles for AVX2. No libtorch in it.
#pragma once

#include <cstdint>

namespace ood::winograd {

// Whether this processor has the instructions; nothing below runs without.
bool available();

// Images [height, width, in], channels last, to [height, width, out], with a border of one zero. Channels are
// multiples of `channel_unit`.
struct Shape {
  int64_t height, width, in, out;
  int64_t tiles_down() const { return (height + 1) / 2; }
  int64_t tiles_across() const { return (width + 1) / 2; }
  int64_t tiles() const { return tiles_down() * tiles_across(); }  // of one image
};
constexpr int64_t channel_unit = 8;

// A transformed weight is made of pieces: of so many input channels, for the columns of one tile of the output's.
constexpr int64_t piece_depth = 64;
int64_t weight_size(int64_t in, int64_t out);  // in numbers
int64_t weight_pieces(int64_t in, int64_t out);

// Transforms one piece of the weight [out, in, 3, 3], given by its strides, and lays it out for `convolve`. `packed` is
// aligned to 64 bytes.
void transform_weight(const float* weight, const int64_t (&strides)[4], int64_t in, int64_t out, int64_t piece,
                      float* packed);

// What is added to a product: a bias [out] and a residual like the output, both or either null; then numbers below
// zero are multiplied by `slope`.
struct Epilogue {
  const float* bias = nullptr;
  const float* residual = nullptr;
  float slope = 1;
};

// Tiles of 2 x 2 outputs that are best taken at a time.
constexpr int64_t block_tiles = 96;

// Numbers of the workspace of one block, aligned to 64 bytes.
int64_t workspace_size(int64_t out);

// The outputs of `count` ≤ block_tiles tiles, counted over all images, from `first` on.
void convolve(const Shape& shape, const float* input, const float* packed, const Epilogue& epilogue, int64_t first,
              int64_t count, float* workspace, float* output);

// The gradient of the weight, Σ over tiles of what `convolve` multiplies: for so many tiles at a time the transformed
// gradients of the outputs and the inputs, [points, channels, tiles] each, then their products, [points, out, in],
// added up over all tiles, and from those the gradient.
constexpr int64_t points = 16;
constexpr int64_t gradient_tiles = 256;

// Numbers of the transformed outputs' gradients and inputs, for up to gradient_tiles tiles; all aligned to 64 bytes.
int64_t outputs_size(int64_t out);
int64_t inputs_size(int64_t in);

// Those of the tiles [begin, end) among the `count` from `first` on.
void transform_output_gradients(const Shape& shape, const float* gradient, int64_t first, int64_t count, int64_t begin,
                                int64_t end, float* packed);
void transform_gradient_inputs(const Shape& shape, const float* input, int64_t first, int64_t count, int64_t begin,
                               int64_t end, float* packed);

// products += for one point, and output channels [first, last), multiples of channel_unit.
void add_weight_products(const Shape& shape, const float* outputs, const float* inputs, int64_t count, int64_t point,
                         int64_t first, int64_t last, float* products);

// The gradient [out, 3, 3, in] of one output channel.
void weight_gradient(const Shape& shape, const float* products, int64_t channel, float* gradient);

}  // namespace ood::winograd
