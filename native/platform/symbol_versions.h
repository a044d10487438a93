// Keeps the addons loadable wherever libtorch is: on glibc 2.28 and the libstdc++ of GCC 8.
//
// A newer toolchain binds these functions to the newest version of each symbol, though the old one, which it still has,
// does what we need. Included where they are used; the tests of the packages compare the addons' needs with libtorch's.
#pragma once

#include <cstddef>  // defines __GLIBC__ and __GLIBCXX__, where they are

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#ifdef __x86_64__
#define OOD_OLDEST "GLIBC_2.2.5"
#define OOD_OLDEST_DLINFO "GLIBC_2.3.3"
#else
#define OOD_OLDEST "GLIBC_2.17"
#define OOD_OLDEST_DLINFO "GLIBC_2.17"
#endif

// In libdl until glibc 2.34, which Node has loaded; in libc since.
__asm__(".symver dlopen,dlopen@" OOD_OLDEST);
__asm__(".symver dlclose,dlclose@" OOD_OLDEST);
__asm__(".symver dlerror,dlerror@" OOD_OLDEST);
__asm__(".symver dlinfo,dlinfo@" OOD_OLDEST_DLINFO);

// glibc 2.29, and 2.35 for hypot, took the old error handling of SVID out of these; they compute the same.
__asm__(".symver exp,exp@" OOD_OLDEST);
__asm__(".symver exp2,exp2@" OOD_OLDEST);
__asm__(".symver hypot,hypot@" OOD_OLDEST);
__asm__(".symver log,log@" OOD_OLDEST);
__asm__(".symver pow,pow@" OOD_OLDEST);

#if defined(__GLIBCXX__) && _GLIBCXX_RELEASE >= 12
// std::condition_variable::wait: GCC 12 made it noexcept and gave it a new version for that.
__asm__(
    ".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
    "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
#endif

#endif
