// The native functions on whole matrices or batches of them.
#pragma once

#include <napi.h>

namespace ood {

// Defines the object linalg { covariance, pinv, cholesky, logdet, eigh, svdvals } on `exports`.
void define_linalg(Napi::Env env, Napi::Object exports);

}  // namespace ood
