// What an exporter says about its memory, and loops over such memory where the host can read it.
#pragma once

#include <memory>
#include <string>

#include "hesscore/core.hpp"

namespace hesscore::python {

enum class Kind { floating, signed_integer, unsigned_integer, other };

struct RawArray {
  const std::byte* data = nullptr;
  Kind kind = Kind::other;
  std::int64_t itemsize = 0;
  Shape shape, strides;  // strides in bytes

  bool is_integer() const { return kind == Kind::signed_integer || kind == Kind::unsigned_integer; }
  bool is_int64() const { return kind == Kind::signed_integer && itemsize == 8; }
};

using Bytes = std::unique_ptr<std::byte[]>;

// Aligned and C-contiguous?
bool in_place(const RawArray& raw);

// A C-contiguous copy, and integers as int64; `name` is the argument in errors.
Bytes gather(const RawArray& raw, const std::string& name);
Bytes gather_labels(const RawArray& raw, const std::string& name);

// The first NaN or Inf among n floats, or -1.
std::int64_t first_non_finite(const void* x, DType dtype, std::int64_t n);

std::string index_text(const Shape& shape, std::int64_t flat);

}  // namespace hesscore::python
