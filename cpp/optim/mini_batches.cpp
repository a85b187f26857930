// Shuffling and gathering of mini-batches.
#include "optim/mini_batches.hpp"

#include <algorithm>
#include <numeric>

#include "math/rng.hpp"

namespace hesscore {
namespace {

// A uniformly random permutation (Fisher & Yates), the same for the same seed and epoch.
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i-- > 1;) {
    const math::Random r = math::draw(math::Purpose::shuffle, seed, i, epoch);
    const double u = math::uniform<double>(r.a, r.b);
    std::swap(order[i], order[static_cast<std::size_t>(u * static_cast<double>(i + 1))]);
  }
  return order;
}

std::int64_t rows_of(const char* name, const View& array) {
  if (array.shape.empty()) throw ShapeError(name, "a batch of samples", "shape ()");
  return array.shape[0];
}

void check_rows(const char* name, const View& array, std::int64_t rows) {
  if (array && rows_of(name, array) != rows) {
    throw ShapeError(name, std::to_string(rows) + " samples, as x has",
                     "shape " + to_string(array.shape));
  }
}

}  // namespace

void MiniBatches::select(const Batch& data, const RunOptions& options, std::int64_t epoch) {
  if (options.batch_size < 1) {
    throw OptionError("batch_size", "an integer >= 1", std::to_string(options.batch_size));
  }
  if (epoch < 0) throw OptionError("epoch", "an integer >= 0", std::to_string(epoch));
  if (data.x.arrays.empty()) throw ShapeError("x", "an array", "nothing");
  const std::int64_t rows = rows_of("x", data.x.arrays[0].second);
  if (rows == 0) throw ShapeError("x", "one sample or more", "none");
  for (const auto& [name, x] : data.x.arrays)
    check_rows(name.empty() ? "x" : name.c_str(), x, rows);
  check_rows("y", data.y, rows);
  check_rows("sample_weight", data.sample_weight, rows);

  const auto number = static_cast<std::uint64_t>(epoch);
  const bool same = rows == static_cast<std::int64_t>(order_.size()) &&
                    options.shuffle_seed == seed_ && number == epoch_;
  if (options.shuffle && !same) order_ = permutation(rows, options.shuffle_seed, number);
  if (options.shuffle) seed_ = options.shuffle_seed, epoch_ = number;
  data_ = data;
  rows_ = rows;
  batch_size_ = std::min(options.batch_size, rows);
  shuffle_ = options.shuffle;
  staging_.resize(data.x.arrays.size() + 2);
}

Batch MiniBatches::batch(std::int64_t index) {
  const std::int64_t first = index * batch_size_;
  const std::int64_t rows = std::min(batch_size_, rows_ - first);
  Batch batch;
  std::size_t slot = 0;
  for (const auto& [name, x] : data_.x.arrays) {
    batch.x.arrays.emplace_back(name, take(x, slot++, first, rows));
  }
  batch.y = take(data_.y, slot++, first, rows);
  batch.sample_weight = take(data_.sample_weight, slot, first, rows);
  return batch;
}

// In order, a batch is a stretch of the data itself.
View MiniBatches::take(const View& array, std::size_t slot, std::int64_t first, std::int64_t rows) {
  if (!array) return array;
  Shape shape = array.shape;
  shape[0] = 1;
  const std::size_t row = static_cast<std::size_t>(element_count(shape)) * size_of(array.dtype);
  const auto* source = static_cast<const std::byte*>(array.data);
  shape[0] = rows;
  if (!shuffle_) {
    return View(source + static_cast<std::size_t>(first) * row, array.dtype, std::move(shape));
  }
  Buffer& staging = staging_[slot];
  const std::size_t bytes = static_cast<std::size_t>(batch_size_) * row;
  if (staging.data() == nullptr || staging.bytes() < bytes) staging = Buffer(device_, bytes);
  auto* target = static_cast<std::byte*>(staging.data());
  for (std::int64_t i = 0; i < rows; ++i, target += row) {
    const auto from = static_cast<std::size_t>(order_[static_cast<std::size_t>(first + i)]);
    device_.copy(target, source + from * row, row);
  }
  return View(staging.data(), array.dtype, std::move(shape));
}

}  // namespace hesscore
