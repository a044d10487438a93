// What is set in libtorch, once per process.
#pragma once

namespace ood {

// Before any tensor is made. Later calls do nothing.
void prepare_libtorch();

}  // namespace ood
