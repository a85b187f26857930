// Mini-batches of a data set, gathered into memory of our own.
#pragma once

#include <optional>

#include "backend/kernels.hpp"
#include "hesscore/optim.hpp"
#include "optim/epoch_rows.hpp"

namespace hesscore {

// Samples first .. first + rows - 1 of a batch.
Batch stretch(const Batch& batch, std::int64_t first, std::int64_t rows);

class MiniBatches {
 public:
  explicit MiniBatches(Device& device);

  // Chooses the data, which must stay where it is, and the order of one epoch.
  void select(const Batch& data, const RunOptions& options, std::int64_t epoch);
  std::int64_t count() const { return (rows_ + batch_size_ - 1) / batch_size_; }
  std::int64_t rows(std::int64_t index) const;
  std::int64_t equal(std::int64_t index) const;  // batches from this one on with as many rows

  // Batch `index` of the epoch, valid until the next call; the last one may be smaller.
  Batch batch(std::int64_t index);

  // For steps that gather batches themselves: from where, and to where. There is room for that many
  // consecutive ones.
  EpochRows& source() { return source_; }
  Batch target(std::int64_t index);
  std::int64_t room() const { return room_; }
  // While the device is busy with batch `index`: prepares what will be asked for next.
  void anticipate(std::int64_t index);

 private:
  struct Order {
    bool shuffle = false;
    std::uint64_t seed = 0, epoch = 0;
    std::int64_t rows = 0;
    bool operator==(const Order&) const = default;
  };
  static std::vector<std::int64_t> make(const Order& order);
  void choose_order(const Order& order);

  Device& device_;
  Kernel<kernels::Gather> gather_;
  Buffer first_step_;  // the record of a step that begins at row 0
  Batch data_;
  std::int64_t rows_ = 0, batch_size_ = 1, room_ = 1;
  bool in_place_ = false;  // is a batch a stretch of the data itself?
  Order order_, next_order_;
  std::vector<std::int64_t> numbers_, next_numbers_;  // rows in these orders
  EpochRows source_;
  std::vector<Buffer> staging_;  // one for each array
};

}  // namespace hesscore
