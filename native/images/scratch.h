// Memory that a thread uses for one image after the other. Fresh memory costs more than decoding into it.
#pragma once

#include <cstdint>
#include <memory>

namespace ood {

class Scratch {
 public:
  // At least so many bytes, whose content is undefined; what was given before is invalid.
  uint8_t* at_least(int64_t bytes) {
    if (bytes > size_) {
      memory_.reset();  // first: not both at once
      size_ = 0;
      memory_ = std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(bytes));
      size_ = bytes;
    }
    return memory_.get();
  }

  void release() {
    memory_.reset();
    size_ = 0;
  }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  int64_t size_ = 0;
};

}  // namespace ood
