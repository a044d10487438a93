// Large blocks of host memory for tensors, straight from the system and in huge pages where it has them. What a compute
// thread frees it keeps, since the next batch needs the same sizes again: a fresh block costs a page fault and a
// cleared page for every 4 KiB, which is a large part of a training step. An idle compute thread gives everything back.
#pragma once

#include <cstddef>

namespace ood {

// Has libtorch take its large CPU blocks from here; once per process, before any tensor is made.
void install_host_allocator();

// While one of these lives, blocks that its thread frees are kept for reuse; other threads keep a few only.
class KeepHostBlocks {
 public:
  KeepHostBlocks();
  ~KeepHostBlocks();
  KeepHostBlocks(const KeepHostBlocks&) = delete;
  KeepHostBlocks& operator=(const KeepHostBlocks&) = delete;
};

// Gives every block that is kept back to the system.
void release_host_blocks() noexcept;

// Bytes of large blocks: in use by tensors, and kept.
struct HostMemory {
  size_t used = 0;
  size_t kept = 0;
};
HostMemory host_memory();

}  // namespace ood
