// Shuffling and gathering of mini-batches.
#include "optim/mini_batches.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>

#include "math/rng.hpp"
#include "optim/training_step.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kRoomBytes = 64 << 20;  // for batches that are gathered together

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

// The batch of what `f` makes of each array, which it gets with its number.
template <class F>
Batch map_arrays(const Batch& from, const F& f) {
  Batch to;
  std::size_t number = 0;
  for (const auto& [name, x] : from.x.arrays) to.x.arrays.emplace_back(name, f(x, number++));
  to.y = f(from.y, number++);
  if (from.sample_weight) to.sample_weight = f(from.sample_weight, number);
  return to;
}

View stretch(const View& array, std::int64_t first, std::int64_t rows) {
  Shape shape = array.shape;
  shape[0] = rows;
  const auto* begin = static_cast<const std::byte*>(array.data);
  return View(begin + static_cast<std::size_t>(first) * row_bytes(array), array.dtype,
              std::move(shape));
}

}  // namespace

Batch stretch(const Batch& batch, std::int64_t first, std::int64_t rows) {
  return map_arrays(batch, [&](const View& a, std::size_t) { return stretch(a, first, rows); });
}

MiniBatches::MiniBatches(Device& device)
    : device_(device),
      gather_(device.kernels().get<kernels::Gather>(DType::f32)),
      first_step_(device, sizeof(math::StepRecord)),
      source_(device) {
  const math::StepRecord record;
  device.from_host(first_step_.data(), &record, sizeof record);
}

// Row numbers in the order of an epoch.
std::vector<std::int64_t> MiniBatches::make(const Order& order) {
  if (order.shuffle) return permutation(order.rows, order.seed, order.epoch);
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(order.rows));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

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

  data_ = data;
  rows_ = rows;
  batch_size_ = std::min(options.batch_size, rows);
  staging_.resize(data.x.arrays.size() + 2);
  const bool upload = options.host_data && !device_.is_host();
  in_place_ = !options.shuffle && !upload;
  if (in_place_ && device_.is_host()) return;
  choose_order(options.shuffle
                   ? Order{true, options.shuffle_seed, static_cast<std::uint64_t>(epoch), rows}
                   : Order{.rows = rows});
  source_.set_data(data, upload, batch_size_);
  room_ = device_.is_host() ? 1 : source_.batches_in(kRoomBytes, TrainingStep::kTogether);
}

void MiniBatches::choose_order(const Order& order) {
  if (order == order_) return;
  order_ = {};  // until the device has it
  if (order == next_order_) {
    std::swap(numbers_, next_numbers_);
    next_order_ = {};
  } else {
    numbers_ = make(order);
  }
  source_.set_order(numbers_);
  order_ = order;
}

void MiniBatches::anticipate(std::int64_t index) {
  source_.anticipate(index);
  Order next = order_;
  ++next.epoch;
  if (!order_.shuffle || next == next_order_) return;
  next_numbers_ = make(next);
  next_order_ = next;
}

std::int64_t MiniBatches::rows(std::int64_t index) const {
  return std::min(batch_size_, rows_ - index * batch_size_);
}

std::int64_t MiniBatches::equal(std::int64_t index) const {
  return std::max<std::int64_t>(1, rows_ / batch_size_ - index);
}

Batch MiniBatches::batch(std::int64_t index) {
  if (in_place_) return stretch(data_, index * batch_size_, rows(index));
  source_.need(index);
  const std::int64_t* order = source_.order() + source_.first_row(index);
  const Batch to = target(index);
  const auto gather = [&](const View& from, const View& room) {
    if (!from) return;
    const std::lock_guard lock(device_);
    gather_(device_.stream(), {In(from.data), In(order), In(first_step_.data()), Out(room.data),
                               rows(index), static_cast<std::int64_t>(row_bytes(from))});
  };
  const Batch& from = source_.data();
  for (std::size_t i = 0; i < to.x.arrays.size(); ++i) {
    gather(from.x.arrays[i].second, to.x.arrays[i].second);
  }
  gather(from.y, to.y);
  gather(from.sample_weight, to.sample_weight);
  return to;
}

Batch MiniBatches::target(std::int64_t index) {
  return map_arrays(data_, [&](const View& array, std::size_t slot) {
    Buffer& staging = staging_[slot];
    const std::size_t bytes =
        std::max<std::size_t>(1, static_cast<std::size_t>(room_ * batch_size_) * row_bytes(array));
    if (staging.bytes() < bytes) staging = Buffer(device_, bytes);
    Shape shape = array.shape;
    shape[0] = rows(index);
    return View(staging.data(), array.dtype, std::move(shape));
  });
}

}  // namespace hesscore
