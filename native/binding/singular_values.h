// The native functions of singular values.
#pragma once

#include <napi.h>

namespace ood {

// Defines singularValues and projectedSingularValues on `exports`.
void define_singular_values(Napi::Env env, Napi::Object exports);

}  // namespace ood
