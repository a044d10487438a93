// Translation of C++ exceptions into coded JavaScript errors.
#pragma once

#include <napi.h>

#include <exception>

namespace ood {

// A JavaScript Error with `code`, for a rejection or a throw.
Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& exception);

// Runs `body` and turns any C++ exception into a JavaScript one: no C++ exception may reach Node.
template <class Body>
auto guarded(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw to_js_error(env, std::current_exception());
  }
}

}  // namespace ood
