// How long work learns that nobody wants it any more.
#pragma once

#include <functional>

namespace ood {

// Throws ERR_ABORTED once the call has been cancelled or the process is exiting. Cheap: call it often.
using Poll = std::function<void()>;

}  // namespace ood
