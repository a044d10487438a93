// The threads that decode images.
#include "images/decode_threads.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>

#include "platform/symbol_versions.h"

namespace ood {

namespace {

// After so long without an image a thread gives its memory back.
constexpr auto idle_time = std::chrono::seconds(5);
// Of pixels, and of what decoding them takes: an image of 12 million pixels has 66 MB.
constexpr int64_t bytes_per_thread = 96 << 20;

}  // namespace

DecodeThreads& DecodeThreads::shared() {
  // Leaked on purpose: at exit its threads wait, and nothing joins or destroys them.
  static auto* const threads = new DecodeThreads(std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, 256));
  return *threads;
}

DecodeThreads::DecodeThreads(int64_t count) : limit_(bytes_per_thread * count) {
  for (int64_t i = 0; i < count; ++i) {
    try {
      threads_.emplace_back([this] { serve(); });
    } catch (const std::system_error& error) {
      if (!threads_.empty()) return;  // fewer do as well
      // The words "not enough memory" make it ERR_OUT_OF_MEMORY (errors.cc).
      throw std::runtime_error(std::string("cannot start a thread to decode images on: ") + error.what() +
                               ". There is not enough memory for it, or the number of threads is limited");
    }
  }
}

void DecodeThreads::run(int64_t count, const std::function<void(int64_t, ImageDecoder&)>& body) {
  std::unique_lock lock(mutex_);
  body_ = &body;
  next_ = 0;
  count_ = count;
  failure_ = nullptr;
  work_.notify_all();
  done_.wait(lock, [this] { return next_ >= count_ && running_ == 0; });
  body_ = nullptr;
  count_ = 0;
  if (failure_) std::rethrow_exception(failure_);
}

void DecodeThreads::reserve(int64_t bytes) {
  std::unique_lock lock(mutex_);
  memory_.wait(lock, [&] { return reserved_ == 0 || reserved_ + bytes <= limit_; });
  reserved_ += bytes;
}

void DecodeThreads::give_back(int64_t bytes) {
  if (bytes == 0) return;
  {
    const std::lock_guard lock(mutex_);
    reserved_ -= bytes;
  }
  memory_.notify_all();
}

void DecodeThreads::serve() {
  ImageDecoder decoder;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto woken = [this] { return next_ < count_; };
    // By the wall clock, since to wait by the steady one takes glibc 2.30; a jump of it only moves the moment.
    if (!work_.wait_until(lock, std::chrono::system_clock::now() + idle_time, woken)) {
      decoder.release();
      work_.wait(lock, woken);
    }
    while (next_ < count_) {
      const int64_t index = next_++;
      ++running_;
      const auto& body = *body_;
      lock.unlock();
      std::exception_ptr failure;
      try {
        body(index, decoder);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      --running_;
      if (failure) {
        if (!failure_) failure_ = failure;
        next_ = count_;
      }
    }
    if (running_ == 0) done_.notify_all();
  }
}

}  // namespace ood
