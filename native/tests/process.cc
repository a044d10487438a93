// The process of the tests is set up as the addon sets up its own.
#include "runtime/prepare_libtorch.h"

namespace {

[[maybe_unused]] const bool prepared = [] {
  ood::prepare_libtorch();
  return true;
}();

}  // namespace
