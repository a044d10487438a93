// Translation of C++ exceptions into coded JavaScript errors.
#include "binding/js_errors.h"

#include "core/errors.h"

namespace ood {

Napi::Error to_js_error(Napi::Env env, const std::exception_ptr& exception) {
  auto [code, message] = describe_exception(exception);
  Napi::Error error = Napi::Error::New(env, message);
  error.Value().Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace ood
