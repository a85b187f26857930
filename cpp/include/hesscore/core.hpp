// Vocabulary shared by every part: dtypes, shapes, borrowed views, and the exception hierarchy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#define HESSCORE_API __attribute__((visibility("default")))

namespace hesscore {

enum class DType : std::uint8_t { f32, f64, i64 };

HESSCORE_API std::size_t size_of(DType dtype);
HESSCORE_API std::string_view name_of(DType dtype);  // "float32", "float64", "int64"

using Shape = std::vector<std::int64_t>;

HESSCORE_API std::int64_t element_count(const Shape& shape);  // throws SizeError on overflow
HESSCORE_API std::string to_string(const Shape& shape);       // "(3, 4)", "(3,)", "()"

// A dense row-major array that somebody else owns. A null `data` means "not given".
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  View() = default;
  View(const void* d, DType t, Shape s)
      : data(const_cast<void*>(d)), dtype(t), shape(std::move(s)) {}
  explicit operator bool() const { return data != nullptr; }
};

// Base of everything the library throws on purpose. Bad arguments carry which argument it was,
// what was expected and what came; other errors leave the three empty.
class HESSCORE_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
  Error(std::string arg, std::string expected, std::string got);
  ~Error() override;

  const std::string& arg() const { return arg_; }
  const std::string& expected() const { return expected_; }
  const std::string& got() const { return got_; }

 private:
  std::string arg_, expected_, got_;
};

#define HESSCORE_ERROR(Name)               \
  class HESSCORE_API Name : public Error { \
   public:                                 \
    using Error::Error;                    \
    ~Name() override;                      \
  }
HESSCORE_ERROR(ShapeError);
HESSCORE_ERROR(DTypeError);
HESSCORE_ERROR(DeviceError);
HESSCORE_ERROR(LabelError);
HESSCORE_ERROR(IndexRangeError);
HESSCORE_ERROR(LayoutError);
HESSCORE_ERROR(OutputError);
HESSCORE_ERROR(SizeError);
HESSCORE_ERROR(UnsupportedError);
HESSCORE_ERROR(GraphError);
HESSCORE_ERROR(NonFiniteError);
HESSCORE_ERROR(OptionError);
HESSCORE_ERROR(StateError);
HESSCORE_ERROR(OutOfMemoryError);
HESSCORE_ERROR(CheckpointError);
#undef HESSCORE_ERROR

}  // namespace hesscore
