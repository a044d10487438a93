// What training learns from, batch by batch: images in memory, or a queue that somebody else fills.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "data/augmentation.h"

namespace ood {

// Images [B, C, H, W] on the device that computes, and their labels [B] int64 there and in host memory.
struct Batch {
  at::Tensor images, labels, host_labels;

  int64_t size() const { return host_labels.size(0); }
};

class BatchSource {
 public:
  enum class Next {
    batch,
    end,    // of the epoch
    later,  // none yet; the source has seen to it that its job gets no turn before there is one
  };

  virtual ~BatchSource() = default;
  // Begins an epoch at its batch `first`.
  virtual void begin_epoch(int64_t epoch, int64_t first) = 0;
  virtual Next next(Batch& batch) = 0;
  // Of an epoch; 0 where it is not known.
  virtual int64_t batches() const = 0;
};

struct MemoryOrder {
  int64_t batch_size;
  bool shuffle = false;
  uint64_t seed = 0;
  Augmentation augmentation{};
};

// Everything random in an epoch follows from (seed, epoch) alone: a resumed run needs no generator state.
uint64_t epoch_seed(uint64_t seed, int64_t epoch);

// Images of a data set, which are copied to the device as a whole.
class MemoryBatches : public BatchSource {
 public:
  // Images [N, C, H, W] and labels [N] of any integer dtype, in host memory.
  MemoryBatches(const at::Tensor& images, const at::Tensor& labels, MemoryOrder order, c10::Device device);

  void begin_epoch(int64_t epoch, int64_t first) override;
  Next next(Batch& batch) override;
  int64_t batches() const override;

 private:
  at::Tensor images_, labels_;
  MemoryOrder order_;
  at::Tensor members_;  // the epoch's order; undefined where it is that of the images
  AugmentationDraws draws_;
  int64_t next_ = 0;
};

// Batches that another thread hands over, at its own pace: an epoch's, then its end, and so on.
class BatchQueue {
 public:
  void push(at::Tensor images, at::Tensor labels);
  void push_end();
  int64_t length() const;

  struct Entry {
    at::Tensor images, labels;  // undefined for an end
  };
  // False where there is none.
  bool pop(Entry& entry);
  void clear();

 private:
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
};

// The batches of a queue.
class QueuedBatches : public BatchSource {
 public:
  // `wait` holds the job until there is an entry; `taken` is called after each entry that has been taken.
  QueuedBatches(std::shared_ptr<BatchQueue> queue, int64_t batches, c10::Device device, std::function<void()> wait,
                std::function<void()> taken);

  void begin_epoch(int64_t epoch, int64_t first) override;
  Next next(Batch& batch) override;
  int64_t batches() const override { return batches_; }

 private:
  std::shared_ptr<BatchQueue> queue_;
  int64_t batches_;
  c10::Device device_;
  std::function<void()> wait_, taken_;
};

}  // namespace ood
