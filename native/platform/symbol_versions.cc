// Our own __libc_single_threaded, which the headers of newer libstdc++ read to leave out atomics and which glibc has
// from 2.32 on. Hidden in the addon, and never true: a process with a compute thread has more than one.
#include "platform/symbol_versions.h"

#if defined(__GLIBC__) && __has_include(<sys/single_threaded.h>)

extern "C" {
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;  // NOLINT(bugprone-reserved-identifier)
}

#endif
