// Loops over strided memory.
#include "raw_array.hpp"

#include <bit>
#include <cstring>
#include <new>

namespace hesscore::python {
namespace {

// Visits the elements in row-major order: visit(address).
template <class Visit>
void for_each_element(const RawArray& raw, const Visit& visit) {
  const std::size_t ndim = raw.shape.size();
  const std::int64_t count = element_count(raw.shape);
  Shape index(ndim, 0);
  const std::byte* at = raw.data;
  for (std::int64_t k = 0; k < count; ++k) {
    visit(at);
    for (std::size_t i = ndim; i-- > 0;) {
      at += raw.strides[i];
      if (++index[i] < raw.shape[i]) break;
      at -= raw.strides[i] * raw.shape[i];
      index[i] = 0;
    }
  }
}

Bytes allocate(std::int64_t bytes, const std::string& name) {
  auto* p = new (std::nothrow) std::byte[static_cast<std::size_t>(bytes > 0 ? bytes : 1)];
  if (p == nullptr) {
    throw OutOfMemoryError(name, "memory for a contiguous copy",
                           "none for its " + std::to_string(bytes) + " bytes");
  }
  return Bytes(p);
}

// Exponent bits all ones: adding the lowest of them then carries into the sign bit.
template <class T, class Bits, Bits kExponent, Bits kLowest>
std::int64_t first_exponent_of_ones(const T* x, std::int64_t n) {
  constexpr std::int64_t kBlock = 4096;
  constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = begin + kBlock < n ? begin + kBlock : n;
    Bits carry = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      carry |= (std::bit_cast<Bits>(x[i]) & kExponent) + kLowest;
    }
    if ((carry & kSign) == 0) continue;
    for (std::int64_t i = begin; i < end; ++i) {
      if ((std::bit_cast<Bits>(x[i]) & kExponent) == kExponent) return i;
    }
  }
  return -1;
}

}  // namespace

bool in_place(const RawArray& raw) {
  if (reinterpret_cast<std::uintptr_t>(raw.data) % static_cast<std::size_t>(raw.itemsize) != 0) {
    return false;
  }
  std::int64_t stride = raw.itemsize;
  for (std::size_t i = raw.shape.size(); i-- > 0;) {
    if (raw.shape[i] == 0) return true;
    if (raw.shape[i] != 1 && raw.strides[i] != stride) return false;
    stride *= raw.shape[i];
  }
  return true;
}

Bytes gather(const RawArray& raw, const std::string& name) {
  Bytes copy = allocate(element_count(raw.shape) * raw.itemsize, name);
  std::byte* to = copy.get();
  for_each_element(raw, [&](const std::byte* from) {
    std::memcpy(to, from, static_cast<std::size_t>(raw.itemsize));
    to += raw.itemsize;
  });
  return copy;
}

Bytes gather_labels(const RawArray& raw, const std::string& name) {
  Bytes copy = allocate(element_count(raw.shape) * 8, name);
  auto* to = reinterpret_cast<std::int64_t*>(copy.get());
  const std::int64_t bits = 8 * raw.itemsize, shift = 64 - bits;
  std::int64_t k = 0;
  for_each_element(raw, [&](const std::byte* from) {
    std::uint64_t u = 0;
    std::memcpy(&u, from, static_cast<std::size_t>(raw.itemsize));
    const auto value = static_cast<std::int64_t>(u << shift);
    if (raw.kind == Kind::signed_integer) {
      to[k++] = value >> shift;
    } else if (bits == 64 && value < 0) {
      throw LabelError(name, "class labels",
                       std::to_string(u) + " at index " + index_text(raw.shape, k));
    } else {
      to[k++] = static_cast<std::int64_t>(u);
    }
  });
  return copy;
}

std::int64_t first_non_finite(const void* x, DType dtype, std::int64_t n) {
  return dtype == DType::f32
             ? first_exponent_of_ones<float, std::uint32_t, 0x7f800000U, 0x00800000U>(
                   static_cast<const float*>(x), n)
             : first_exponent_of_ones<double, std::uint64_t, 0x7ff0000000000000U,
                                      0x0010000000000000U>(static_cast<const double*>(x), n);
}

std::string index_text(const Shape& shape, std::int64_t flat) {
  Shape index(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; flat /= shape[i]) index[i] = flat % shape[i];
  return index.size() == 1 ? std::to_string(index[0]) : to_string(index);
}

}  // namespace hesscore::python
