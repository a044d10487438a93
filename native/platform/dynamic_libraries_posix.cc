// Shared libraries by dlopen.
#include "platform/dynamic_libraries.h"

#include <dlfcn.h>

#ifdef __linux__
#include <link.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>
#include <cstdint>
#include <cstdlib>

#include "platform/symbol_versions.h"

namespace ood::dynamic_libraries {

namespace {

#ifdef __GLIBC__

// Has the system back a block of the heap now: in huge pages where it has them, and in one call instead of a page fault
// for every 4 KiB. Both are wishes; where they are not granted, the memory comes as it always does.
void back_with_memory(void* block, size_t bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t start = (reinterpret_cast<uintptr_t>(block) + page - 1) / page * page;
  const size_t whole = (reinterpret_cast<uintptr_t>(block) + bytes) / page * page - start;
  madvise(reinterpret_cast<void*>(start), whole, MADV_HUGEPAGE);
#ifdef MADV_POPULATE_WRITE
  madvise(reinterpret_cast<void*>(start), whole, MADV_POPULATE_WRITE);
#endif
}

// libtorch registers some thousand operators while it is opened: 50 MiB in small blocks, for which malloc would grow
// the heap 132 KiB at a time, and fault it in page by page. That is 40 % of the time that opening takes, so the heap is
// grown once before.
//
// malloc takes a block from the heap, not from a mapping of its own, once it has been given back a mapping as large
// (mallopt(3), M_MMAP_THRESHOLD), as any program does that drops an array of 8 MiB. It returns the heap's end when that
// is free: the last block stays.
void grow_heap() {
  if (syscall(SYS_gettid) != getpid()) return;  // a worker's heap is another one, and cannot grow so far
  constexpr size_t mebibyte = size_t{1} << 20, size = 8 * mebibyte;
  void* volatile mapping = std::malloc(size + 4096);  // volatile: a compiler may leave out what is only freed
  std::free(mapping);
  std::array<void*, 7> blocks{};
  for (void*& block : blocks) block = std::malloc(size);
  static void* volatile last = std::malloc(mebibyte);
  (void)last;
  for (void* const block : blocks) {
    const bool in_heap = block != nullptr && static_cast<char*>(block) + size <= static_cast<char*>(sbrk(0));
    if (in_heap) back_with_memory(block, size);  // not so where another allocator has taken malloc's place
  }
  for (void* const block : blocks) std::free(block);
}

#else

void grow_heap() {}

#endif

}  // namespace

std::optional<std::string> open(const std::string& path) {
  static bool grown = false;
  // Node may have unmapped this addon with its last worker, and `grown` with it, while libtorch has stayed.
  if (!grown && dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD) == nullptr) grow_heap();
  grown = true;
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) != nullptr) return std::nullopt;
  return dlerror();  // NOLINT(concurrency-mt-unsafe): its text is per thread
}

std::optional<std::string> loaded(const std::string& soname) {
#ifdef __linux__
  void* const handle = dlopen(soname.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
  if (handle == nullptr) return std::nullopt;
  link_map* entry = nullptr;
  const bool known = dlinfo(handle, RTLD_DI_LINKMAP, &entry) == 0;
  std::string path = known ? entry->l_name : soname;
  dlclose(handle);
  return path;
#else
  (void)soname;
  return std::nullopt;
#endif
}

}  // namespace ood::dynamic_libraries
