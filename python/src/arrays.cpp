// The importer, and every way in which an array can be wrong.
#include "arrays.hpp"

#include <nanobind/stl/string.h>

#include <bit>
#include <cstring>
#include <limits>
#include <new>

#include "errors.hpp"

namespace hesscore::python {

enum class Kind { floating, signed_integer, unsigned_integer, other };

// What an exporter says about its memory.
struct RawArray {
  const std::byte* data = nullptr;
  Kind kind = Kind::other;
  std::int64_t itemsize = 0;
  Shape shape, strides;  // strides in bytes
};

namespace {

std::string text(nb::handle value) { return nb::cast<std::string>(nb::str(value)); }

std::string class_of(nb::handle value) {
  const nb::handle type = value.type();
  const std::string module = text(nb::getattr(type, "__module__", nb::str("builtins")));
  const std::string name = text(nb::getattr(type, "__qualname__", nb::str("object")));
  return module == "builtins" ? name : module.substr(0, module.find('.')) + "." + name;
}

struct Numpy {
  nb::object module = nb::module_::import_("numpy");
  nb::object ndarray = module.attr("ndarray"), empty = module.attr("empty");
  nb::str dtypes[3] = {nb::str("float32"), nb::str("float64"), nb::str("int64")};
};

// Looked up once and never let go, so that nothing is left to do when the interpreter ends.
const Numpy& numpy() {
  static const Numpy* const loaded = new Numpy;
  return *loaded;
}

bool is_native_number(nb::handle array) {
  const nb::object dtype = array.attr("dtype");
  const std::string kind = text(dtype.attr("kind"));
  return nb::cast<bool>(dtype.attr("isnative")) && (kind == "f" || kind == "i" || kind == "u");
}

// "float16" for an array, "list" or "pandas.DataFrame" for something else.
std::string describe(nb::handle value) {
  const nb::object dtype = nb::getattr(value, "dtype", nb::none());
  if (nb::ndarray_check(value) && !dtype.is_none()) return text(dtype);
  if (value.is_none()) return "None";
  return class_of(value) + (nb::hasattr(value, "to_numpy") ? " (pass its to_numpy())" : "");
}

Kind kind_of(nb::dlpack::dtype dtype) {
  using Code = nb::dlpack::dtype_code;
  if (dtype.lanes != 1) return Kind::other;
  switch (static_cast<Code>(dtype.code)) {
    case Code::Float:
      return dtype.bits == 32 || dtype.bits == 64 ? Kind::floating : Kind::other;
    case Code::Int:
      return Kind::signed_integer;
    case Code::UInt:
      return Kind::unsigned_integer;
    default:
      return Kind::other;
  }
}

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

std::unique_ptr<std::byte[]> allocate(std::int64_t bytes, const std::string& name) {
  auto* p = new (std::nothrow) std::byte[static_cast<std::size_t>(bytes > 0 ? bytes : 1)];
  if (p == nullptr) {
    throw OutOfMemoryError(name, "memory for a contiguous copy",
                           "none for its " + std::to_string(bytes) + " bytes");
  }
  return std::unique_ptr<std::byte[]>(p);
}

std::string index_text(const Shape& shape, std::int64_t flat) {
  Shape index(shape.size());
  for (std::size_t i = shape.size(); i-- > 0; flat /= shape[i]) index[i] = flat % shape[i];
  return index.size() == 1 ? std::to_string(index[0]) : to_string(index);
}

// Exponent bits all ones: adding the lowest of them then carries into the sign bit.
template <class T, class Bits, Bits kExponent, Bits kLowest>
std::int64_t first_non_finite(const T* x, std::int64_t n) {
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

std::string float_dtype(const Array* like) {
  if (like == nullptr) return "an array of float32 or float64";
  return std::string(name_of(like->view().dtype)) + " like " + like->name();
}

}  // namespace

void load_numpy() { numpy(); }

bool is_numpy(nb::handle value) { return nb::isinstance(value, numpy().ndarray); }

void Array::refuse_dtype(nb::handle value, const std::string& expected) const {
  throw DTypeError(name_, expected, describe(value));
}

void Array::refuse_device() const {
  throw DeviceError(name_, "an array in host memory", "a device array (" + cuda_status() + ")");
}

// Why nanobind could not import it: no array at all, a dtype without a DLPack code, or a __dlpack__
// that raises.
void Array::refuse_import(nb::handle value) const {
  if (nb::hasattr(value, "__cuda_array_interface__")) refuse_device();
  if (is_numpy(value) || !nb::hasattr(value, "__dlpack__")) {
    refuse_dtype(value, "an array of numbers");
  }
  try {
    if (nb::hasattr(value, "__dlpack_device__")) {
      const nb::object device = value.attr("__dlpack_device__")();
      if (nb::cast<int>(nb::int_(device[0])) != nb::device::cpu::value) refuse_device();
    }
    value.attr("__dlpack__")();
  } catch (nb::python_error& cause) {
    raise_from(DTypeError(name_, "an array", describe(value) + ", whose __dlpack__ raised"), cause);
  }
  throw DTypeError(name_, "an array", class_of(value) + " with an unreadable __dlpack__");
}

RawArray Array::open(nb::handle value) {
  if (!nb::try_cast(value, tensor_)) {
    // NumPy exports no array whose strides are not whole elements; a copy of it has better ones.
    const bool numbers = is_numpy(value) && is_native_number(value);
    if (!numbers || !nb::try_cast(numpy().module.attr("ascontiguousarray")(value), tensor_))
      refuse_import(value);
  }
  if (tensor_.device_type() != nb::device::cpu::value) refuse_device();
  RawArray raw;
  raw.kind = kind_of(tensor_.dtype());
  raw.itemsize = static_cast<std::int64_t>(tensor_.itemsize());
  raw.shape.assign(tensor_.shape_ptr(), tensor_.shape_ptr() + tensor_.ndim());
  for (std::size_t i = 0; i < tensor_.ndim(); ++i) {
    raw.strides.push_back(tensor_.stride(i) * raw.itemsize);
  }
  const bool null = tensor_.data_handle() == nullptr;
  if (element_count(raw.shape) > 0 && null) throw SizeError(name_, "memory", "a null pointer");
  if (!null) raw.data = static_cast<const std::byte*>(tensor_.data());
  return raw;
}

void Array::expect_float(nb::handle value, const RawArray& raw, const Array* like) {
  const auto size = static_cast<std::size_t>(raw.itemsize);
  const bool right = like == nullptr || size == size_of(like->view_.dtype);
  if (raw.kind != Kind::floating || !right) refuse_dtype(value, float_dtype(like));
}

// Memory of an empty array may be null, which a View takes for "not given".
void Array::adopt(const RawArray& raw, DType dtype) {
  static double nothing = 0;
  const std::int64_t count = element_count(raw.shape);
  if (count == 0) {
    view_ = View(&nothing, dtype, raw.shape);
  } else if (in_place(raw)) {
    view_ = View(raw.data, dtype, raw.shape);
  } else {
    copy_ = allocate(count * raw.itemsize, name_);
    std::byte* to = copy_.get();
    for_each_element(raw, [&](const std::byte* from) {
      std::memcpy(to, from, static_cast<std::size_t>(raw.itemsize));
      to += raw.itemsize;
    });
    view_ = View(copy_.get(), dtype, raw.shape);
  }
}

void Array::read(nb::handle value, const Array* like) {
  const RawArray raw = open(value);
  expect_float(value, raw, like);
  adopt(raw, raw.itemsize == 4 ? DType::f32 : DType::f64);
}

void Array::read_output(nb::handle value) {
  const std::string expected = "a writable, contiguous NumPy array, to be updated in place";
  if (!is_numpy(value)) throw OutputError(name_, expected, class_of(value));
  const RawArray raw = open(value);
  if (raw.kind != Kind::floating) {
    throw OutputError(name_, "an array of float32 or float64", describe(value));
  }
  nb::ndarray<> writable;
  if (!nb::try_cast(value, writable)) throw OutputError(name_, expected, "a read-only array");
  if (!in_place(raw)) throw OutputError(name_, expected, "an array with gaps or out of order");
  adopt(raw, raw.itemsize == 4 ? DType::f32 : DType::f64);
}

void Array::widen_labels(const RawArray& raw) {
  const std::int64_t count = element_count(raw.shape);
  copy_ = allocate(count * 8, name_);
  auto* to = reinterpret_cast<std::int64_t*>(copy_.get());
  const std::int64_t bits = 8 * raw.itemsize, shift = 64 - bits;
  std::int64_t k = 0;
  for_each_element(raw, [&](const std::byte* from) {
    std::uint64_t u = 0;
    std::memcpy(&u, from, static_cast<std::size_t>(raw.itemsize));
    const auto value = static_cast<std::int64_t>(u << shift);
    if (raw.kind == Kind::signed_integer) {
      to[k++] = value >> shift;
    } else if (bits == 64 && value < 0) {
      throw LabelError(name_, "class labels",
                       std::to_string(u) + " at index " + index_text(raw.shape, k));
    } else {
      to[k++] = static_cast<std::int64_t>(u);
    }
  });
  view_ = View(copy_.get(), DType::i64, raw.shape);
}

void Array::read_labels(nb::handle value, const Array& like, std::size_t label_ndim) {
  const RawArray raw = open(value);
  if (raw.kind == Kind::signed_integer && raw.itemsize == 8) {
    adopt(raw, DType::i64);
  } else if (raw.kind == Kind::signed_integer || raw.kind == Kind::unsigned_integer) {
    widen_labels(raw);
  } else if (raw.kind == Kind::floating && raw.shape.size() == label_ndim) {
    throw LabelError(name_, "integer labels",
                     describe(value) + " of shape " + to_string(raw.shape));
  } else {
    const std::string expected = "integer labels or class probabilities in ";
    const bool right = static_cast<std::size_t>(raw.itemsize) == size_of(like.view_.dtype);
    if (raw.kind != Kind::floating || !right) refuse_dtype(value, expected + float_dtype(&like));
    adopt(raw, like.view_.dtype);
  }
}

NumpyArray Array::keep_copy() {
  NewArray own(view_.dtype, view_.shape);
  const std::int64_t bytes =
      element_count(view_.shape) * static_cast<std::int64_t>(size_of(view_.dtype));
  if (bytes > 0) std::memcpy(own.view.data, view_.data, static_cast<std::size_t>(bytes));
  view_ = own.view;
  return own.object;
}

void Array::check_finite() const {
  if (!view_ || view_.dtype == DType::i64) return;
  const std::int64_t n = element_count(view_.shape);
  const bool f32 = view_.dtype == DType::f32;
  const std::int64_t at =
      f32 ? first_non_finite<float, std::uint32_t, 0x7f800000U, 0x00800000U>(
                static_cast<const float*>(view_.data), n)
          : first_non_finite<double, std::uint64_t, 0x7ff0000000000000U, 0x0010000000000000U>(
                static_cast<const double*>(view_.data), n);
  if (at < 0) return;
  const double bad =
      f32 ? static_cast<const float*>(view_.data)[at] : static_cast<const double*>(view_.data)[at];
  throw NonFiniteError(name_, "finite values",
                       std::to_string(bad) + " at index " + index_text(view_.shape, at));
}

NewArray::NewArray(DType dtype, Shape shape) {
  nb::object dims = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shape.size())));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    PyTuple_SetItem(dims.ptr(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(shape[i]));
  }
  const Numpy& np = numpy();
  object = nb::borrow<NumpyArray>(np.empty(dims, np.dtypes[static_cast<int>(dtype)]));
  view = View(nb::cast<nb::ndarray<>>(object).data(), dtype, std::move(shape));
}

bool overlap(const View& a, const View& b) {
  if (!a || !b) return false;
  const auto begin = [](const View& v) { return static_cast<const std::byte*>(v.data); };
  const auto end = [&](const View& v) {
    return begin(v) + element_count(v.shape) * static_cast<std::int64_t>(size_of(v.dtype));
  };
  return begin(a) < end(b) && begin(b) < end(a);
}

}  // namespace hesscore::python
