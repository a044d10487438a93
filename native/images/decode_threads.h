// The threads that decode images, beside the compute threads: as many as the process may use processors.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "images/decoder.h"

namespace ood {

class DecodeThreads {
 public:
  // Those of the process, started on first use. They live as long as it.
  static DecodeThreads& shared();

  // Calls body(i, decoder) for every i in [0, count), each thread taking the next one when it is free, and waits for
  // all. After an exception no further one begins; the first is rethrown. For one caller at a time.
  void run(int64_t count, const std::function<void(int64_t, ImageDecoder&)>& body);

  // Waits until so much memory more for pixels is within bounds. One image may take more, when it is alone.
  void reserve(int64_t bytes);
  void give_back(int64_t bytes);

 private:
  explicit DecodeThreads(int64_t count);
  void serve();

  std::mutex mutex_;
  std::condition_variable work_, done_, memory_;
  std::vector<std::thread> threads_;
  const std::function<void(int64_t, ImageDecoder&)>* body_ = nullptr;
  int64_t next_ = 0, count_ = 0, running_ = 0;
  int64_t reserved_ = 0, limit_;
  std::exception_ptr failure_;
};

}  // namespace ood
