// The allocator of large host blocks.
#include "runtime/host_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

#include "core/errors.h"
#include "platform/pages.h"

namespace ood {

namespace {

constexpr size_t huge_page = size_t{1} << 21;

// Smaller blocks are malloc's, which would have the system map these anew each time.
constexpr size_t smallest_block = size_t{1} << 17;

// What a block's size and address are multiples of: huge pages where it fills half of one, else what malloc's own
// addresses hardly ever are multiples of.
constexpr size_t small_unit = size_t{1} << 16;
size_t unit_of(size_t bytes) { return bytes >= huge_page / 2 ? huge_page : small_unit; }

// What may be kept beyond that, and of what threads free that keep nothing: results that a program disposes of one
// after the other.
constexpr size_t slack = size_t{1} << 26;

thread_local int keeping = 0;

class HostAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* const data = bytes < smallest_block ? c10::alloc_cpu(bytes) : take(bytes);
    return {data, data, &HostAllocator::free, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &HostAllocator::free; }
  void copy_data(void* target, const void* source, size_t bytes) const override { std::memcpy(target, source, bytes); }

  void release_kept() noexcept {
    const std::lock_guard lock(mutex_);
    while (!kept_.empty()) release_oldest();
    peak_bytes_ = used_bytes_;
  }

  HostMemory memory() {
    const std::lock_guard lock(mutex_);
    return {used_bytes_, kept_bytes_};
  }

 private:
  struct Kept {
    void* data;
    size_t bytes;
    bool foreign;  // freed by a thread that keeps nothing
  };
  using Place = std::list<Kept>::iterator;

  static void free(void* data);

  // A kept block of about the size, else a new one.
  void* take(size_t wanted) {
    if (wanted > SIZE_MAX - 2 * huge_page) out_of_memory(wanted);
    const size_t unit = unit_of(wanted);
    const size_t bytes = (wanted + unit - 1) / unit * unit;
    const std::lock_guard lock(mutex_);
    const auto found = by_size_.lower_bound(bytes);
    if (found != by_size_.end() && found->first <= bytes + bytes / 8) {
      const Kept reused = *found->second;
      forget(found->second, found);
      return hand_out(reused.data, reused.bytes);
    }
    // In all, little more than the most that was in use at one time: otherwise work of changing sizes would pile up
    // blocks.
    const size_t most = std::max(peak_bytes_, used_bytes_ + bytes);
    while (!kept_.empty() && used_bytes_ + bytes + kept_bytes_ > most + most / 8 + slack) release_oldest();
    void* data = map(bytes);
    if (data == nullptr && !kept_.empty()) {
      while (!kept_.empty()) release_oldest();
      data = map(bytes);
    }
    if (data == nullptr) out_of_memory(wanted);
    return hand_out(data, bytes);
  }

  void* hand_out(void* data, size_t bytes) {
    used_.emplace(data, bytes);
    used_bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, used_bytes_);
    return data;
  }

  // False where the block is not one of these.
  bool give(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = used_.find(data);
    if (found == used_.end()) return false;
    const size_t bytes = found->second;
    used_.erase(found);
    used_bytes_ -= bytes;
    const bool foreign = keeping == 0;
    if (foreign && foreign_bytes_ + bytes > slack) {
      pages::unmap(data, bytes);
      return true;
    }
    kept_.push_back({data, bytes, foreign});
    by_size_.emplace(bytes, std::prev(kept_.end()));
    kept_bytes_ += bytes;
    if (foreign) foreign_bytes_ += bytes;
    return true;
  }

  void release_oldest() noexcept {
    const Kept oldest = kept_.front();
    auto entry = by_size_.lower_bound(oldest.bytes);
    while (entry->second != kept_.begin()) ++entry;
    forget(kept_.begin(), entry);
    pages::unmap(oldest.data, oldest.bytes);
  }

  void forget(Place place, std::multimap<size_t, Place>::iterator entry) noexcept {
    kept_bytes_ -= place->bytes;
    if (place->foreign) foreign_bytes_ -= place->bytes;
    by_size_.erase(entry);
    kept_.erase(place);
  }

  // Aligned to its unit; nullptr where the system refuses.
  static void* map(size_t bytes) {
    const size_t unit = unit_of(bytes);
    return pages::map(bytes, unit, unit == huge_page);
  }

  [[noreturn]] static void out_of_memory(size_t bytes) {
    fail("ERR_OUT_OF_MEMORY", "not enough memory: expected room for ", bytes, " more bytes");
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  std::list<Kept> kept_;  // oldest first
  std::multimap<size_t, Place> by_size_;
  size_t used_bytes_ = 0, kept_bytes_ = 0;
  size_t foreign_bytes_ = 0;  // of kept_bytes_
  size_t peak_bytes_ = 0;     // the most in use since nothing was kept
};

// Leaked on purpose: tensors outlive static objects.
HostAllocator& allocator() {
  static HostAllocator* const instance = new HostAllocator;
  return *instance;
}

void HostAllocator::free(void* data) {
  if (data == nullptr) return;
  if (reinterpret_cast<uintptr_t>(data) % small_unit == 0 && allocator().give(data)) return;
  c10::free_cpu(data);
}

}  // namespace

void install_host_allocator() {
  static const bool installed = [] {
    if (pages::serve()) c10::SetCPUAllocator(&allocator(), /*priority=*/1);
    return true;
  }();
  (void)installed;
}

KeepHostBlocks::KeepHostBlocks() { ++keeping; }
KeepHostBlocks::~KeepHostBlocks() { --keeping; }

void release_host_blocks() noexcept { allocator().release_kept(); }

HostMemory host_memory() { return allocator().memory(); }

}  // namespace ood
