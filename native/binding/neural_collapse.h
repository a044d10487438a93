// The native functions of the neural-collapse numbers.
#pragma once

#include <napi.h>

namespace ood {

// Defines measureCollapse and measureCollapseOfStatistics on `exports`.
void define_neural_collapse(Napi::Env env, Napi::Object exports);

}  // namespace ood
