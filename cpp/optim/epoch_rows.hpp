// EpochRows: the samples of an epoch where kernels of the device can gather them by number.
//
// Data of the device stay where they are. Data in host memory pass through a ring of two chunks,
// each some consecutive batches: while one is in use, the other one is put in order and uploaded.
#pragma once

#include <array>

#include "hesscore/objective.hpp"
#include "optim/host_buffer.hpp"

namespace hesscore {

std::size_t row_bytes(const View& array);  // of one sample

class EpochRows {
 public:
  explicit EpochRows(Device& device) : device_(device) {}

  // Row numbers of the epoch, which stay where they are until the next call.
  void set_order(const std::vector<std::int64_t>& order);
  // Then the data, which must stay where they are.
  void set_data(const Batch& data, bool in_host_memory, std::int64_t batch_size);

  // Work after need(first) finds batches first .. first + together(first) - 1.
  void need(std::int64_t batch);
  std::int64_t together(std::int64_t batch) const;
  // While the device is busy with `batch`: prepares the batches that need the next chunk.
  void anticipate(std::int64_t batch);

  // How many batches, from one to `most`, lie in so many bytes.
  std::int64_t batches_in(std::int64_t bytes, std::int64_t most) const;

  // Batch b is rows order()[first_row(b)], order()[first_row(b) + 1], ... of data().
  const Batch& data() const { return data_; }
  const std::int64_t* order() const;  // in memory of the device
  std::int64_t first_row(std::int64_t batch) const;

 private:
  struct Channel {  // one array on its way
    View from;
    std::size_t row;
    HostBuffer pinned;
    Buffer ring;
  };
  View open_channel(const View& from, std::size_t number);
  void open_ring(const Batch& data);
  void stage(std::int64_t chunk);
  std::int64_t chunk_rows() const { return chunk_ * batch_size_; }

  Device& device_;
  const std::vector<std::int64_t>* host_order_ = nullptr;
  Buffer order_;
  Batch data_;
  std::int64_t batch_size_ = 1;

  std::int64_t chunk_ = 0;  // batches in a chunk; 0: no ring
  std::vector<Channel> channels_;
  Buffer ring_order_;                              // 0, 1, 2, ...
  std::array<std::int64_t, 2> staged_ = {-1, -1};  // chunk in each half
};

}  // namespace hesscore
