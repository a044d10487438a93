// Checks of what JavaScript passed to a native function. lib/ has checked options already; these keep the process safe
// whoever calls, and check what only the data can tell. Each failure names the argument, the value expected and found.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

namespace ood {

int64_t integer_argument(const Napi::Value& value, const char* name, int64_t minimum = 0,
                         int64_t maximum = std::numeric_limits<int64_t>::max());
double number_argument(const Napi::Value& value, const char* name,
                       double minimum = -std::numeric_limits<double>::infinity(),
                       double maximum = std::numeric_limits<double>::infinity());
bool boolean_argument(const Napi::Value& value, const char* name);
std::string string_argument(const Napi::Value& value, const char* name);
Napi::Object object_argument(const Napi::Value& value, const char* name);
std::vector<int64_t> integers_argument(const Napi::Value& value, const char* name, int64_t minimum = 0);
std::vector<double> numbers_argument(const Napi::Value& value, const char* name);

// "cpu", "cuda" or "cuda:N"; ERR_DEVICE where that device is not to be had.
c10::Device device_argument(const Napi::Value& value, const char* name);

// The tensor of a native Tensor that is not disposed, of one of the dtypes (any where the list is empty), with
// `dimensions` dimensions (any number where negative).
at::Tensor tensor_argument(const Napi::Value& value, const char* name,
                           std::initializer_list<at::ScalarType> dtypes = {}, int64_t dimensions = -1);

// As tensor_argument, or an undefined tensor where the value is undefined or null.
at::Tensor optional_tensor_argument(const Napi::Value& value, const char* name,
                                    std::initializer_list<at::ScalarType> dtypes = {}, int64_t dimensions = -1);

// Throws ERR_NON_FINITE naming the first row (index along dimension 0) of a floating tensor that holds a NaN or
// infinity.
void require_finite(const at::Tensor& tensor, const char* name);

// Throws ERR_RANGE naming the first label (a 1-D integer tensor) outside 0 … classes − 1.
void require_labels(const at::Tensor& labels, int64_t classes, const char* name);

}  // namespace ood
