// Memory in pages by mmap.
#include "platform/pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace ood::pages {

bool serve() {
#ifdef __SANITIZE_ADDRESS__
  return false;
#else
  return true;
#endif
}

void* map(size_t bytes, size_t alignment, bool huge) noexcept {
  void* const whole = mmap(nullptr, bytes + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (whole == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<uintptr_t>(whole);
  const uintptr_t aligned = (start + alignment - 1) / alignment * alignment;
  if (aligned > start) munmap(whole, aligned - start);
  void* const data = reinterpret_cast<void*>(aligned);
  if (start + alignment > aligned) munmap(reinterpret_cast<void*>(aligned + bytes), start + alignment - aligned);
#ifdef MADV_HUGEPAGE
  if (huge) madvise(data, bytes, MADV_HUGEPAGE);  // a wish: without huge pages it works as well
#else
  (void)huge;
#endif
  return data;
}

void unmap(void* data, size_t bytes) noexcept { munmap(data, bytes); }

}  // namespace ood::pages
