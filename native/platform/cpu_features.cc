// What the processor can do, by the compiler's own question.
#include "platform/cpu_features.h"

namespace ood::cpu {

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() { return __builtin_cpu_supports("avx512f") != 0; }
bool has_bfloat16() { return __builtin_cpu_supports("avx512bf16") != 0; }
bool is_intel() { return __builtin_cpu_is("intel") != 0; }

#else

bool has_avx2() { return false; }
bool has_avx512() { return false; }
bool has_bfloat16() { return false; }
bool is_intel() { return false; }

#endif

}  // namespace ood::cpu
