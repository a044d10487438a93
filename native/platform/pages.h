// Memory in pages, from the system itself.
#pragma once

#include <cstddef>

namespace ood::pages {

// Whether large blocks are to come from here: false where a sanitizer watches malloc.
bool serve();

// Readable and writable, zero, at a multiple of `alignment`, in huge pages where `huge` and the system has them; nullptr
// where the system refuses.
void* map(size_t bytes, size_t alignment, bool huge) noexcept;

// The same block, whole.
void unmap(void* data, size_t bytes) noexcept;

}  // namespace ood::pages
