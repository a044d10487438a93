// Checks of what JavaScript passed to a native function. lib/ has checked options already; these keep the process safe
// whoever calls. Each failure names the argument, the value expected and found.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <napi.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.h"

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
std::vector<std::string> strings_argument(const Napi::Value& value, const char* name);

// One of several words, each with what it stands for; ERR_OPTION for any other.
template <class Choice>
Choice choice_argument(const Napi::Value& value, const char* name,
                       std::initializer_list<std::pair<const char*, Choice>> choices) {
  const std::string text = string_argument(value, name);
  std::string expected;
  for (const auto& [choice, result] : choices) {
    if (text == choice) return result;
    expected += (expected.empty() ? "\"" : ", \"") + std::string(choice) + "\"";
  }
  fail("ERR_OPTION", name, ": expected one of ", expected, ", found \"", text, "\"");
}

// "cpu", "cuda" or "cuda:N"; ERR_DEVICE where that device is unavailable.
c10::Device device_argument(const Napi::Value& value, const char* name);

// The tensor of a native Tensor that is not disposed, of one of the dtypes (any where the list is empty), with
// `dimensions` dimensions (any number where negative).
at::Tensor tensor_argument(const Napi::Value& value, const char* name,
                           std::initializer_list<at::ScalarType> dtypes = {}, int64_t dimensions = -1);

// As tensor_argument, or an undefined tensor where the value is undefined or null.
at::Tensor optional_tensor_argument(const Napi::Value& value, const char* name,
                                    std::initializer_list<at::ScalarType> dtypes = {}, int64_t dimensions = -1);

// Features [n, d] of a floating dtype.
at::Tensor features_argument(const Napi::Value& value, const char* name);

// Labels [n] of any integer dtype, as int64.
at::Tensor labels_argument(const Napi::Value& value, const char* name);

}  // namespace ood
