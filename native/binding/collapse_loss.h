// The native function of the neural-collapse loss.
#pragma once

#include <napi.h>

namespace ood {

// Defines collapseLoss on `exports`.
void define_collapse_loss(Napi::Env env, Napi::Object exports);

}  // namespace ood
