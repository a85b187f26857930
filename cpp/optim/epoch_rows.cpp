// EpochRows: orders, and the ring of rows that come from the host.
#include "optim/epoch_rows.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "backend/kernels.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kChunkBytes = 16 << 20, kMaxChunk = 64;

// After a failure there is the old buffer, whose size says that it is too small, or none.
void upload_numbers(Device& device, Buffer& to, const std::vector<std::int64_t>& numbers) {
  const std::size_t bytes = numbers.size() * sizeof(std::int64_t);
  const bool fits = to.bytes() >= bytes;
  Buffer room = fits ? std::move(to) : Buffer(device, bytes);
  device.from_host(room.data(), numbers.data(), bytes);
  to = std::move(room);
}

}  // namespace

std::size_t row_bytes(const View& array) {
  Shape row = array.shape;
  row[0] = 1;
  return static_cast<std::size_t>(element_count(row)) * size_of(array.dtype);
}

void EpochRows::set_order(const std::vector<std::int64_t>& order) {
  host_order_ = &order;
  if (!device_.is_host()) upload_numbers(device_, order_, order);
}

void EpochRows::set_data(const Batch& data, bool in_host_memory, std::int64_t batch_size) {
  batch_size_ = batch_size;
  data_ = data;
  chunk_ = 0;
  if (in_host_memory && !device_.is_host()) open_ring(data);
}

std::int64_t EpochRows::batches_in(std::int64_t bytes, std::int64_t most) const {
  std::size_t row = 0;
  for (const auto& [name, x] : data_.x.arrays) row += row_bytes(x);
  row += row_bytes(data_.y) + (data_.sample_weight ? row_bytes(data_.sample_weight) : 0);
  const std::int64_t batch = static_cast<std::int64_t>(row) * batch_size_;
  return std::clamp<std::int64_t>(bytes / std::max<std::int64_t>(batch, 1), 1, most);
}

void EpochRows::open_ring(const Batch& data) {
  chunk_ = batches_in(kChunkBytes, kMaxChunk);

  // A run that stopped early may have left uploads on their way: the second call waits for them.
  device_.wait_uploads();
  device_.wait_uploads();
  staged_ = {-1, -1};
  channels_.resize(data.x.arrays.size() + 2);
  std::size_t number = 0;
  for (auto& [name, x] : data_.x.arrays) x = open_channel(x, number++);
  data_.y = open_channel(data.y, number++);
  if (data.sample_weight) data_.sample_weight = open_channel(data.sample_weight, number++);
  channels_.resize(number);

  std::vector<std::int64_t> numbers(static_cast<std::size_t>(2 * chunk_rows()));
  if (ring_order_.bytes() >= numbers.size() * sizeof(std::int64_t)) return;
  std::iota(numbers.begin(), numbers.end(), 0);
  upload_numbers(device_, ring_order_, numbers);
}

// Returns the view of the ring.
View EpochRows::open_channel(const View& from, std::size_t number) {
  Channel& c = channels_[number];
  c.from = from;
  c.row = row_bytes(from);
  const std::size_t bytes =
      std::max<std::size_t>(c.row, 1) * static_cast<std::size_t>(2 * chunk_rows());
  if (c.ring.bytes() < bytes) {
    c.pinned = HostBuffer(device_, bytes);
    c.ring = Buffer(device_, bytes);
  }
  View ring = from;
  ring.data = c.ring.data();
  return ring;
}

void EpochRows::need(std::int64_t batch) {
  if (chunk_ == 0) return;
  stage(batch / chunk_);
  device_.wait_uploads();
}

void EpochRows::anticipate(std::int64_t batch) {
  if (chunk_ > 0) stage(batch / chunk_ + 1);
}

// Puts a chunk in order with the CPU's Gather and sends it on its way.
void EpochRows::stage(std::int64_t chunk) {
  const auto half = static_cast<std::size_t>(chunk % 2);
  const std::int64_t first = chunk * chunk_rows();
  const std::int64_t rows =
      std::min(chunk_rows(), static_cast<std::int64_t>(host_order_->size()) - first);
  if (staged_[half] == chunk || rows <= 0) return;
  const auto gather = device("cpu").kernels().get<kernels::Gather>(DType::f32);
  const math::StepRecord record{.first_row = first};
  for (const Channel& c : channels_) {
    const std::size_t begin = half * static_cast<std::size_t>(chunk_rows()) * c.row;
    std::byte* pinned = static_cast<std::byte*>(c.pinned.data()) + begin;
    gather(nullptr, {In(c.from.data), In(host_order_->data()), In(&record), Out(pinned), rows,
                     static_cast<std::int64_t>(c.row)});
    device_.upload(static_cast<std::byte*>(c.ring.data()) + begin, pinned,
                   static_cast<std::size_t>(rows) * c.row);
  }
  staged_[half] = chunk;
}

std::int64_t EpochRows::together(std::int64_t batch) const {
  return chunk_ > 0 ? chunk_ - batch % chunk_ : 1 << 30;
}

const std::int64_t* EpochRows::order() const {
  if (chunk_ > 0) return static_cast<const std::int64_t*>(ring_order_.data());
  if (device_.is_host()) return host_order_->data();
  return static_cast<const std::int64_t*>(order_.data());
}

std::int64_t EpochRows::first_row(std::int64_t batch) const {
  if (chunk_ == 0) return batch * batch_size_;
  return batch / chunk_ % 2 * chunk_rows() + batch % chunk_ * batch_size_;
}

}  // namespace hesscore
