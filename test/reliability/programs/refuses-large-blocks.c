// A host whose malloc ends the process when it is asked for a large block, as Electron's does: to be preloaded. LARGEST_BLOCK is in bytes.
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static void check(size_t bytes) {
  static size_t largest;
  if (largest == 0) {
    const char *const text = getenv("LARGEST_BLOCK");
    largest = text == NULL ? (size_t)-1 : strtoull(text, NULL, 10);
  }
  if (bytes <= largest) return;
  static const char message[] = "the host's malloc was asked for a large block\n";
  if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(98);
  _exit(97);
}

void *malloc(size_t bytes) {
  check(bytes);
  return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t size) {
  if (size != 0 && count > (size_t)-1 / size) return NULL;
  check(count * size);
  return __libc_calloc(count, size);
}

void *realloc(void *block, size_t bytes) {
  check(bytes);
  return __libc_realloc(block, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  check(bytes);
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **block, size_t alignment, size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block == NULL ? ENOMEM : 0;
}
