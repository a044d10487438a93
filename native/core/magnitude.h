// Arithmetic at any magnitude: lengths whose squares overflow or vanish, and exact changes of units.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace ood {

// ‖row‖₂ of float64 rows [n, d], [n].
at::Tensor row_lengths(const at::Tensor& rows);

// The same of all entries together.
double total_length(const at::Tensor& values);

// values·2^exponent, exact but where the result overflows or is denormal. The power itself may be beyond the dtype.
at::Tensor times_power(const at::Tensor& values, int exponent);
at::Tensor times_power(const at::Tensor& values, const at::Tensor& exponents);  // int32, by broadcasting

// The exponent e with 2^e near a magnitude, or 0 for one whose products with its like neither overflow nor vanish.
int extreme_exponent(double magnitude);

// The same for the largest magnitude of each matrix of a batch, by the range of its dtype: int32 [..., 1, 1].
at::Tensor extreme_exponents(const at::Tensor& batch);

// A result; ERR_RANGE where it is beyond its dtype: "<what> overflows float64".
at::Tensor within_range(const at::Tensor& result, const char* what);

}  // namespace ood
