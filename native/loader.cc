// loader.node: opens libtorch's shared libraries by absolute path, so that the real addon, which names them only by
// SONAME, finds them already loaded. It has no libtorch in it and therefore loads everywhere.
//
// Nothing is ever closed: libtorch's libraries hold unique symbols and cannot be unloaded.

#include <dlfcn.h>
#include <napi.h>

#ifdef __linux__
#include <link.h>
#endif

#include <mutex>
#include <string>

#include "symbol_versions.h"

namespace {

// What this process has loaded; workers share it.
std::mutex mutex;

void open_library(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(info.Env(), "open: expected the path of a shared library");
  }
  const std::string path = info[0].As<Napi::String>();
  const std::scoped_lock lock(mutex);
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
