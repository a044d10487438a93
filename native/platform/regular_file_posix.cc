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

}  // namespace

bool read_regular_file(const std::string& path, int64_t limit, const std::function<uint8_t*(int64_t)>& memory_of) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe would block
  struct stat status {};
  if (file.number < 0 || fstat(file.number, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const int64_t size = status.st_size;
  if (size > limit) return false;
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
