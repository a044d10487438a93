// loader.node: opens libtorch's shared libraries by absolute path, so that the real addon, which names them only by
// SONAME, finds them already loaded. It has no libtorch in it and therefore loads everywhere.
//
// Nothing is ever closed: libtorch's libraries hold unique symbols and cannot be unloaded.

#include <napi.h>

#include <mutex>
#include <optional>
#include <string>

#include "platform/dynamic_libraries.h"

namespace {

// What this process has loaded; workers share it.
std::mutex mutex;

void open_library(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(info.Env(), "open: expected the path of a shared library");
  }
  const std::string path = info[0].As<Napi::String>();
  const std::scoped_lock lock(mutex);
  if (const auto failure = ood::dynamic_libraries::open(path)) throw Napi::Error::New(info.Env(), *failure);
}

// The path of the library that this process has loaded under a SONAME; undefined if none.
Napi::Value loaded_library(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsString()) {
    throw Napi::TypeError::New(info.Env(), "loaded: expected the SONAME of a shared library");
  }
  const std::string name = info[0].As<Napi::String>();
  const std::scoped_lock lock(mutex);
  const auto path = ood::dynamic_libraries::loaded(name);
  return path ? Napi::String::New(info.Env(), *path) : info.Env().Undefined();
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports["open"] = Napi::Function::New<open_library>(env, "open");
  exports["loaded"] = Napi::Function::New<loaded_library>(env, "loaded");
  return exports;
}

}  // namespace

NODE_API_MODULE(loader, initialise)
