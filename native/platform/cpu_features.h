// What the processor can do, asked once each time; false for all on processors that are not x86-64.
#pragma once

namespace ood::cpu {

// AVX2 with fused multiplication and addition.
bool has_avx2();
bool has_avx512();

// Native multiplication of bfloat16: avx512_bf16, which every AMX processor has too.
bool has_bfloat16();

bool is_intel();

}  // namespace ood::cpu
