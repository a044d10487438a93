// The names of dtypes.
#pragma once

#include <c10/core/ScalarType.h>

namespace ood {

// "float32" … as lib/native/tensor.ts names them; libtorch's own name for a dtype that JavaScript has no form for.
const char* dtype_name(at::ScalarType dtype);

}  // namespace ood
