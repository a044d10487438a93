// What any exception is called.
#include "core/errors.h"

#include <c10/util/Exception.h>

#include <new>
#include <string_view>

namespace ood {

namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// libtorch reports most failures as c10::Error; its CPU allocator has no type of its own for exhausted memory.
const char* code_of_libtorch_error(std::string_view message) {
  if (contains(message, "can't allocate memory") || contains(message, "not enough memory") ||
      contains(message, "out of memory")) {
    return "ERR_OUT_OF_MEMORY";
  }
  if (contains(message, "CUDA") || contains(message, "cuDNN") || contains(message, "cublas")) return "ERR_DEVICE";
  return "ERR_INTERNAL";
}

}  // namespace

std::pair<const char*, std::string> describe_exception(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Error& error) {
    return {error.code(), error.what()};
  } catch (const c10::OutOfMemoryError& error) {
    return {"ERR_OUT_OF_MEMORY", error.what_without_backtrace()};
  } catch (const c10::LinAlgError& error) {
    return {"ERR_NOT_POSITIVE_DEFINITE", error.what_without_backtrace()};
  } catch (const c10::Error& error) {
    return {code_of_libtorch_error(error.what_without_backtrace()), error.what_without_backtrace()};
  } catch (const std::bad_alloc&) {
    return {"ERR_OUT_OF_MEMORY", "out of memory"};
  } catch (const std::exception& error) {
    return {code_of_libtorch_error(error.what()), error.what()};
  } catch (...) {
    return {"ERR_INTERNAL", "an unknown native exception"};
  }
}

}  // namespace ood
