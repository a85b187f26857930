// Opening what a user passed as an array: where it lies, its memory, and what else it may be.
#include <nanobind/stl/string.h>

#include "arrays.hpp"
#include "errors.hpp"

namespace hesscore::python {
namespace {

constexpr int kManagedMemory = 13;  // DLPack's number for CUDA memory that moves

std::string text(nb::handle value) { return nb::cast<std::string>(nb::str(value)); }

bool is_native_number(nb::handle array) {
  const nb::object dtype = array.attr("dtype");
  const std::string kind = text(dtype.attr("kind"));
  return nb::cast<bool>(dtype.attr("isnative")) && (kind == "f" || kind == "i" || kind == "u");
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

// The tensor of an array on a CUDA device, which is told the stream that will read it: DLPack says
// 1 for the default stream. Exporters from before DLPack 1 know no max_version.
nb::object exported(nb::handle value, void* stream) {
  const auto number =
      stream == nullptr ? std::uintptr_t{1} : reinterpret_cast<std::uintptr_t>(stream);
  const nb::object method = value.attr("__dlpack__");
  try {
    return method(nb::arg("stream") = number, nb::arg("max_version") = nb::make_tuple(1, 0));
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_TypeError)) throw;
  }
  return method(nb::arg("stream") = number);
}

}  // namespace

std::string class_of(nb::handle value) {
  const nb::handle type = value.type();
  const std::string module = text(nb::getattr(type, "__module__", nb::str("builtins")));
  const std::string name = text(nb::getattr(type, "__qualname__", nb::str("object")));
  return module == "builtins" ? name : module.substr(0, module.find('.')) + "." + name;
}

std::string describe(nb::handle value) {
  const nb::object dtype = nb::getattr(value, "dtype", nb::none());
  if (nb::ndarray_check(value) && !dtype.is_none()) return text(dtype);
  if (value.is_none()) return "None";
  return class_of(value) + (nb::hasattr(value, "to_numpy") ? " (pass its to_numpy())" : "");
}

int cuda_index(nb::handle value, const std::string& name) {
  if (is_numpy(value)) return -1;
  const nb::object ask = nb::getattr(value, "__dlpack_device__", nb::none());
  if (ask.is_none()) {
    if (!nb::hasattr(value, "__cuda_array_interface__")) return -1;
    return nb::cast<int>(cupy().asarray(value).attr("device").attr("id"));
  }
  int type = 0, index = 0;
  try {
    const nb::object device = ask();
    type = nb::cast<int>(nb::int_(device[0]));
    index = nb::cast<int>(nb::int_(device[1]));
  } catch (nb::python_error& cause) {
    raise_from(DTypeError(name, "an array", describe(value) + ", whose device is unknown"), cause);
  }
  if (type == nb::device::cpu::value) return -1;
  if (type == nb::device::cuda::value || type == kManagedMemory) return index;
  throw DeviceError(name, "an array in host memory or on a CUDA device",
                    "one on a device of DLPack's type " + std::to_string(type));
}

void Array::refuse_dtype(nb::handle value, const std::string& expected) const {
  throw DTypeError(name_, expected, describe(value));
}

// Why nanobind could not import it: no array at all, a dtype without a DLPack code, or a __dlpack__
// that raises.
void Array::refuse_import(nb::handle value) const {
  if (is_numpy(value) || !nb::hasattr(value, "__dlpack__")) {
    refuse_dtype(value, "an array of numbers");
  }
  try {
    if (place_.is_host()) {
      value.attr("__dlpack__")();
    } else {
      exported(value, place_.stream);
    }
  } catch (nb::python_error& cause) {
    raise_from(DTypeError(name_, "an array", describe(value) + ", whose __dlpack__ raised"), cause);
  }
  throw DTypeError(name_, "an array", class_of(value) + " with an unreadable __dlpack__");
}

void Array::settle(int index, const Like* like) {
  if (like != nullptr && index != like->index) {
    throw DeviceError(name_, "an array " + place_text(like->index) + " like " + like->name,
                      "one " + place_text(index));
  }
  try {
    place_ = place_at(index);
  } catch (const DeviceError& error) {
    throw DeviceError(name_, "an array in host memory",
                      "one " + place_text(index) + " (" + error.what() + ")");
  }
}

void Array::import_host(nb::handle value) {
  if (nb::try_cast(value, tensor_)) {
    if (tensor_.device_type() == nb::device::cpu::value) return;
    throw DeviceError(name_, "an array in host memory", "one that is not and does not say so");
  }
  // NumPy exports no array whose strides are not whole elements; a copy of it has better ones.
  const nb::object contiguous = nb::module_::import_("numpy").attr("ascontiguousarray");
  const bool numbers = is_numpy(value) && is_native_number(value);
  if (!numbers || !nb::try_cast(contiguous(value), tensor_)) refuse_import(value);
}

void Array::import_cuda(nb::handle value) {
  object_ = nb::hasattr(value, "__dlpack__") ? nb::borrow(value) : cupy().asarray(value);
  foreign_ = !nb::isinstance(value, cupy().ndarray);
  nb::object capsule;
  try {
    capsule = exported(object_, place_.stream);
  } catch (nb::python_error&) {
    refuse_import(value);
  }
  if (!nb::try_cast(capsule, tensor_)) refuse_import(value);
}

RawArray Array::open(nb::handle value, const Like* like) {
  settle(cuda_index(value, name_), like);
  place_.is_host() ? import_host(value) : import_cuda(value);
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

}  // namespace hesscore::python
