// Reads whole files.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace ood {

// Reads a regular file of at most `limit` bytes into the memory that `memory_of` gives for its size. False where it is
// anything else, cannot be read, or changes meanwhile: the caller finds out why.
bool read_regular_file(const std::string& path, int64_t limit, const std::function<uint8_t*(int64_t)>& memory_of);

}  // namespace ood
