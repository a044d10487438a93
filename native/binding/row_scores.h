// The native function of scores that a row's own numbers give.
#pragma once

#include <napi.h>

namespace ood {

// Defines rowScores on `exports`.
void define_row_scores(Napi::Env env, Napi::Object exports);

}  // namespace ood
