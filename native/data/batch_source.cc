// What training learns from, batch by batch.
#include "data/batch_source.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <utility>

#include "core/checks.h"

namespace ood {

uint64_t epoch_seed(uint64_t seed, int64_t epoch) {
  // SplitMix64 (Steele, Lea, Flood 2014): neighbouring seeds and epochs give unrelated streams.
  uint64_t z = seed + 0x9e3779b97f4a7c15ULL * (static_cast<uint64_t>(epoch) + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

MemoryBatches::MemoryBatches(const at::Tensor& images, const at::Tensor& labels, MemoryOrder order, c10::Device device)
    : images_(images.to(device)), labels_(labels.to(at::kLong)), order_(std::move(order)) {
  if (images.is_floating_point()) require_finite(images, "images");
}

int64_t MemoryBatches::batches() const { return (images_.size(0) + order_.batch_size - 1) / order_.batch_size; }

void MemoryBatches::begin_epoch(int64_t epoch, int64_t first) {
  next_ = first;
  at::Generator generator = at::detail::createCPUGenerator(epoch_seed(order_.seed, epoch));
  const int64_t count = images_.size(0);
  if (order_.shuffle) members_ = at::randperm(count, generator, at::TensorOptions(at::kLong));
  if (!order_.augmentation.none()) draws_ = draw_augmentation(order_.augmentation, count, generator);
}

BatchSource::Next MemoryBatches::next(Batch& batch) {
  const int64_t start = next_ * order_.batch_size;
  if (start >= images_.size(0)) return Next::end;
  ++next_;
  const int64_t end = std::min(start + order_.batch_size, images_.size(0));
  if (members_.defined()) {
    const at::Tensor members = members_.slice(0, start, end);
    batch.images = images_.index_select(0, members.to(images_.device()));
    batch.host_labels = labels_.index_select(0, members);
  } else {
    batch.images = images_.slice(0, start, end);
    batch.host_labels = labels_.slice(0, start, end);
  }
  if (!order_.augmentation.none()) {
    // Draws are by place in the epoch's order, not by image.
    const AugmentationDraws draws{draws_.offset_y.slice(0, start, end), draws_.offset_x.slice(0, start, end),
                                  draws_.flip.slice(0, start, end)};
    batch.images = augment(batch.images, order_.augmentation, draws);
  }
  batch.labels = batch.host_labels.to(images_.device());
  return Next::batch;
}

void BatchQueue::push(at::Tensor images, at::Tensor labels) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({std::move(images), std::move(labels)});
}

void BatchQueue::push_end() { push({}, {}); }

int64_t BatchQueue::length() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(entries_.size());
}

bool BatchQueue::pop(Entry& entry) {
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return false;
  entry = std::move(entries_.front());
  entries_.pop_front();
  return true;
}

void BatchQueue::clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
}

QueuedBatches::QueuedBatches(std::shared_ptr<BatchQueue> queue, int64_t batches, c10::Device device,
                             std::function<void()> wait, std::function<void()> taken)
    : queue_(std::move(queue)), batches_(batches), device_(device), wait_(std::move(wait)), taken_(std::move(taken)) {}

void QueuedBatches::begin_epoch(int64_t /*epoch*/, int64_t /*first*/) {}  // whoever fills the queue knows

BatchSource::Next QueuedBatches::next(Batch& batch) {
  BatchQueue::Entry entry;
  if (!queue_->pop(entry)) {
    wait_();
    return Next::later;
  }
  taken_();
  if (!entry.images.defined()) return Next::end;
  batch.images = entry.images.to(device_);
  batch.host_labels = entry.labels.to(at::kLong);
  batch.labels = batch.host_labels.to(device_);
  return Next::batch;
}

}  // namespace ood
