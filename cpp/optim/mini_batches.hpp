// Mini-batches of a data set, gathered into memory of our own.
#pragma once

#include <optional>

#include "hesscore/optim.hpp"

namespace hesscore {

class MiniBatches {
 public:
  explicit MiniBatches(Device& device) : device_(device) {}

  // Chooses the data, which must stay where it is, and the order of one epoch.
  void select(const Batch& data, const RunOptions& options, std::int64_t epoch);
  std::int64_t count() const { return (rows_ + batch_size_ - 1) / batch_size_; }

  // Batch `index` of the epoch, valid until the next call; the last one may be smaller.
  Batch batch(std::int64_t index);

 private:
  View take(const View& array, std::size_t slot, std::int64_t first, std::int64_t rows);

  Device& device_;
  Batch data_;
  std::int64_t rows_ = 0, batch_size_ = 1;
  bool shuffle_ = true;
  std::uint64_t seed_ = 0, epoch_ = 0;
  std::vector<std::int64_t> order_;  // of (seed, epoch), a permutation of the rows
  std::vector<Buffer> staging_;      // one for each array
};

}  // namespace hesscore
