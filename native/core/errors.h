// Errors: the one C++ exception that carries a code, and what any exception is called.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <c10/util/StringUtil.h>

namespace ood {

// Thrown by checks; `code` is one of lib/core/errors.ts.
class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const noexcept { return code_; }

 private:
  const char* code_;
};

// Raises an Error whose message is the parts joined, as a stream would print them.
template <class... Parts>
[[noreturn]] void fail(const char* code, const Parts&... parts) {
  throw Error(code, c10::str(parts...));
}

// The code and message of an exception: ours, libtorch's or the standard library's.
std::pair<const char*, std::string> describe_exception(const std::exception_ptr& exception);

}  // namespace ood
