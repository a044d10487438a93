// The native functions that make pixels into what a network reads.
#pragma once

#include <napi.h>

namespace ood {

// Defines preprocessImages, decodeImages and normalizeImages on `exports`.
void define_preprocessing(Napi::Env env, Napi::Object exports);

}  // namespace ood
