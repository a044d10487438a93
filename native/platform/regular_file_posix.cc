// Whole files by open and read.
#include "platform/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace ood {

namespace {

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

// Bytes of a regular file; −1 for anything else.
int64_t size_of(int file) {
#ifdef STATX_SIZE  // glibc 2.28 has it; fstat is a symbol of 2.33 there
  struct statx status {};
  if (statx(file, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &status) != 0 || !S_ISREG(status.stx_mode)) return -1;
  return static_cast<int64_t>(status.stx_size);
#else
  struct stat status {};
  return fstat(file, &status) == 0 && S_ISREG(status.st_mode) ? static_cast<int64_t>(status.st_size) : -1;
#endif
}

}  // namespace

bool read_regular_file(const std::string& path, int64_t limit, const std::function<uint8_t*(int64_t)>& memory_of) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe would block
  const int64_t size = file.number < 0 ? -1 : size_of(file.number);
  if (size < 0 || size > limit) return false;
  uint8_t* const bytes = memory_of(size);
  for (int64_t at = 0; at < size;) {
    const ssize_t got = read(file.number, bytes + at, static_cast<size_t>(size - at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
  }
  return true;
}

}  // namespace ood
