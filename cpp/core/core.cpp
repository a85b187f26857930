// Names of dtypes, shapes as text, overflow-checked sizes, and the exception hierarchy.
#include "hesscore/core.hpp"

#include <limits>

namespace hesscore {

std::size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 8; }

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::i64:
      return "int64";
  }
  return "unknown";
}

// The limit leaves room for eight bytes an element, so that byte counts do not overflow either.
std::int64_t element_count(const Shape& shape) {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int64_t>::max() / 8;
  std::int64_t count = 1;
  bool empty = false, overflow = false;
  for (const std::int64_t n : shape) {
    if (n < 0) throw SizeError("shape " + to_string(shape) + " has a negative dimension");
    if (n == 0) {
      empty = true;
    } else if (overflow || count > kLimit / n) {
      overflow = true;
    } else {
      count *= n;
    }
  }
  if (empty) return 0;
  if (overflow) throw SizeError("shape " + to_string(shape) + " has too many elements");
  return count;
}

std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

Error::Error(std::string arg, std::string expected, std::string got)
    : std::runtime_error(arg + ": expected " + expected + ", got " + got),
      arg_(std::move(arg)),
      expected_(std::move(expected)),
      got_(std::move(got)) {}

// The destructors live here so that each type has one home: its type information is then the same
// on both sides of a dlopen, and a catch clause recognises it.
Error::~Error() = default;
ShapeError::~ShapeError() = default;
DTypeError::~DTypeError() = default;
DeviceError::~DeviceError() = default;
LabelError::~LabelError() = default;
IndexRangeError::~IndexRangeError() = default;
LayoutError::~LayoutError() = default;
OutputError::~OutputError() = default;
SizeError::~SizeError() = default;
UnsupportedError::~UnsupportedError() = default;
GraphError::~GraphError() = default;
NonFiniteError::~NonFiniteError() = default;
OptionError::~OptionError() = default;
StateError::~StateError() = default;
OutOfMemoryError::~OutOfMemoryError() = default;
CheckpointError::~CheckpointError() = default;

}  // namespace hesscore
