// Reading array arguments, and making new arrays.
#include "arrays.hpp"

#include <vector>

#include "hesscore/checks.hpp"

namespace hesscore::python {
namespace {

// Looked up once and never let go, so that nothing is left to do when the interpreter ends.
struct Numpy {
  nb::object ndarray, empty, zeros;
};
const Numpy& numpy() {
  static const Numpy* const loaded = [] {
    const nb::module_ module = nb::module_::import_("numpy");
    return new Numpy{module.attr("ndarray"), module.attr("empty"), module.attr("zeros")};
  }();
  return *loaded;
}

const nb::str& dtype_name(DType dtype) {
  static const auto* const names =
      new nb::str[3]{nb::str("float32"), nb::str("float64"), nb::str("int64")};
  return names[static_cast<int>(dtype)];
}

std::size_t bytes_of(const View& view) {
  return static_cast<std::size_t>(element_count(view.shape)) * size_of(view.dtype);
}

void* memory_of(nb::handle cupy_array) {
  const auto address = nb::cast<std::uintptr_t>(cupy_array.attr("data").attr("ptr"));
  return reinterpret_cast<void*>(address);
}

std::string float_dtype(const Like* like) {
  if (like == nullptr) return "an array of float32 or float64";
  return std::string(name_of(like->dtype)) + " like " + like->name;
}

DType float_dtype(const RawArray& raw) { return raw.itemsize == 4 ? DType::f32 : DType::f64; }

// Memory of an empty array may be null, which a View takes for "not given".
double nothing = 0;

}  // namespace

void load_numpy() {
  numpy();
  dtype_name(DType::f32);
}

bool is_numpy(nb::handle value) { return nb::isinstance(value, numpy().ndarray); }

// Another library reuses its memory as soon as we let it go; CuPy waits for its stream. Waiting for
// the whole device would end what another thread captures.
Array::~Array() {
  if (!foreign_) return;
  try {
    work(place_, [&] { place_.device->synchronize(); });
  } catch (const DeviceError&) {
    // the device is lost; whoever uses it next is told why
  }
}

void Array::expect_float(nb::handle value, const RawArray& raw, const Like* like) const {
  const bool right = like == nullptr || float_dtype(raw) == like->dtype;
  if (raw.kind != Kind::floating || !right) refuse_dtype(value, float_dtype(like));
}

void Array::adopt(const RawArray& raw, DType dtype) {
  const bool cast = dtype == DType::i64 && !raw.is_int64();
  if (element_count(raw.shape) == 0) {
    view_ = View(&nothing, dtype, raw.shape);
  } else if (in_place(raw) && !cast) {
    view_ = View(raw.data, dtype, raw.shape);
  } else if (place_.is_host()) {
    copy_ = cast ? gather_labels(raw, name_) : gather(raw, name_);
    view_ = View(copy_.get(), dtype, raw.shape);
  } else {
    const OnDevice on(place_.index);
    const nb::object array = foreign_ ? cupy().from_dlpack(object_) : object_;
    object_ = cupy().ascontiguousarray(array, dtype_name(dtype));
    view_ = View(memory_of(object_), dtype, raw.shape);
  }
}

void Array::read(nb::handle value, const Like* like) {
  const RawArray raw = open(value, like);
  expect_float(value, raw, like);
  adopt(raw, float_dtype(raw));
}

void Array::read_output(nb::handle value) {
  const std::string expected = "a writable, contiguous NumPy or CuPy array, to be updated in place";
  const bool array = is_numpy(value) || cuda_index(value, name_) >= 0;
  const RawArray raw = array ? open(value, nullptr) : RawArray{};
  if (!array || foreign_) throw OutputError(name_, expected, class_of(value));
  if (raw.kind != Kind::floating) {
    throw OutputError(name_, "an array of float32 or float64", describe(value));
  }
  nb::ndarray<> writable;
  if (place_.is_host() && !nb::try_cast(value, writable)) {
    throw OutputError(name_, expected, "a read-only array");
  }
  if (!in_place(raw)) throw OutputError(name_, expected, "an array with gaps or out of order");
  adopt(raw, float_dtype(raw));
}

void Array::read_labels(nb::handle value, const Like& like, std::size_t label_ndim) {
  const RawArray raw = open(value, &like);
  const bool floating = raw.kind == Kind::floating;
  if (floating && raw.shape.size() == label_ndim) {
    throw LabelError(name_, "integer labels",
                     describe(value) + " of shape " + to_string(raw.shape));
  }
  if (!raw.is_integer() && (!floating || float_dtype(raw) != like.dtype)) {
    refuse_dtype(value, "integer labels or class probabilities in " + float_dtype(&like));
  }
  adopt(raw, floating ? like.dtype : DType::i64);
}

void Array::read_indices(nb::handle value, const Like& like) {
  const RawArray raw = open(value, &like);
  if (!raw.is_integer()) refuse_dtype(value, "integers, which an embedding reads");
  adopt(raw, DType::i64);
}

NewObject Array::keep_copy() {
  NewArray own(place_, view_.dtype, view_.shape);
  copy(place_, own.view.data, view_.data, bytes_of(view_));
  view_ = own.view;
  return own.object;
}

void Array::check_finite() const {
  if (!view_ || view_.dtype == DType::i64) return;
  const std::int64_t n = element_count(view_.shape);
  const void* data = view_.data;
  std::vector<std::byte> here;
  if (!place_.is_host()) {
    if (n == 0 || all_finite(*place_.device, view_)) return;
    here.resize(bytes_of(view_));
    place_.device->to_host(here.data(), data, here.size());
    data = here.data();
  }
  const std::int64_t at = first_non_finite(data, view_.dtype, n);
  if (at < 0) return;
  const double bad = view_.dtype == DType::f32 ? static_cast<const float*>(data)[at]
                                               : static_cast<const double*>(data)[at];
  throw NonFiniteError(name_, "finite values",
                       std::to_string(bad) + " at index " + index_text(view_.shape, at));
}

NewArray::NewArray(const Place& place, DType dtype, Shape shape, bool zeros) {
  nb::object dims = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(shape.size())));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    PyTuple_SetItem(dims.ptr(), static_cast<Py_ssize_t>(i), PyLong_FromLongLong(shape[i]));
  }
  void* memory = nullptr;
  if (place.is_host()) {
    const nb::object& make = zeros ? numpy().zeros : numpy().empty;
    object = nb::borrow<NewObject>(make(dims, dtype_name(dtype)));
    memory = nb::cast<nb::ndarray<>>(object).data();
  } else {
    const OnDevice on(place.index);
    const nb::object& make = zeros ? cupy().zeros : cupy().empty;
    object = nb::borrow<NewObject>(make(dims, dtype_name(dtype)));
    memory = memory_of(object);
  }
  view = View(memory != nullptr ? memory : &nothing, dtype, std::move(shape));
}

bool overlap(const View& a, const View& b) {
  if (!a || !b) return false;
  const auto begin = [](const View& v) { return static_cast<const std::byte*>(v.data); };
  const auto end = [&](const View& v) { return begin(v) + bytes_of(v); };
  return begin(a) < end(b) && begin(b) < end(a);
}

}  // namespace hesscore::python
