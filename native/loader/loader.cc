// loader.node: opens libtorch's shared libraries by absolute path, so that the real addon, which names them only by
// SONAME, finds them already loaded. It has no libtorch in it and therefore loads everywhere.
//
// Nothing is ever closed: libtorch's libraries hold unique symbols and cannot be unloaded.

#include <dlfcn.h>
#include <napi.h>

#ifdef __linux__
#include <link.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <array>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>

#include "platform/symbol_versions.h"

namespace {

// What this process has loaded; workers share it.
std::mutex mutex;

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

void open_library(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(info.Env(), "open: expected the path of a shared library");
  }
  const std::string path = info[0].As<Napi::String>();
  const std::scoped_lock lock(mutex);
  static bool grown = false;
  // Node may have unmapped this addon with its last worker, and `grown` with it, while libtorch has stayed.
  if (!grown && dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD) == nullptr) grow_heap();
  grown = true;
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) == nullptr) {
    throw Napi::Error::New(info.Env(), dlerror());  // NOLINT(concurrency-mt-unsafe): its text is per thread
  }
}

// The path of the library that this process has loaded under a SONAME, by us or by anyone else; undefined if none.
Napi::Value loaded_library(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(info.Env(), "loaded: expected the SONAME of a shared library");
  }
#ifdef __linux__
  const std::string name = info[0].As<Napi::String>();
  const std::scoped_lock lock(mutex);
  void* const handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
  if (handle == nullptr) return info.Env().Undefined();
  link_map* entry = nullptr;
  const bool known = dlinfo(handle, RTLD_DI_LINKMAP, &entry) == 0;
  const std::string path = known ? entry->l_name : name;
  dlclose(handle);
  return Napi::String::New(info.Env(), path);
#else
  return info.Env().Undefined();
#endif
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports["open"] = Napi::Function::New<open_library>(env, "open");
  exports["loaded"] = Napi::Function::New<loaded_library>(env, "loaded");
  return exports;
}

}  // namespace

NODE_API_MODULE(loader, initialise)
