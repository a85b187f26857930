// Arrays from Python and back: the only file that looks inside what a user passed.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <string>

#include "hesscore/objective.hpp"

namespace hesscore::python {

namespace nb = nanobind;

struct RawArray;

// Called when the module is made, before there are threads that would wait for each other here.
void load_numpy();
bool is_numpy(nb::handle value);

// A NumPy array, so that stubs say so.
class NumpyArray : public nb::object {
  NB_OBJECT_DEFAULT(NumpyArray, object, "numpy.ndarray", is_numpy)
};

// One array argument: a View and what keeps that memory alive. Native, aligned, C-contiguous arrays
// are used where they are, any other layout is copied; a value is never cast, but for integer
// labels, which become int64. Anything else is a typed error that names the argument.
class Array {
 public:
  explicit Array(std::string name) : name_(std::move(name)) {}
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  // float32 or float64, or the dtype of `like` if that is given.
  void read(nb::handle value, const Array* like = nullptr);
  // Class labels of any integer dtype, or probabilities like `like`; labels have `label_ndim` axes.
  void read_labels(nb::handle value, const Array& like, std::size_t label_ndim);
  // As `read`, but the array will be written: it must be writable and used in place.
  void read_output(nb::handle value);
  // Moves the view to a NumPy array of our own and returns that.
  NumpyArray keep_copy();

  // Throws NonFiniteError with the first bad element. Needs no GIL.
  void check_finite() const;

  const std::string& name() const { return name_; }
  const View& view() const { return view_; }
  operator const View&() const { return view_; }

 private:
  RawArray open(nb::handle value);
  [[noreturn]] void refuse_device() const;
  [[noreturn]] void refuse_import(nb::handle value) const;
  void expect_float(nb::handle value, const RawArray& raw, const Array* like);
  void adopt(const RawArray& raw, DType dtype);
  void widen_labels(const RawArray& raw);
  [[noreturn]] void refuse_dtype(nb::handle value, const std::string& expected) const;

  std::string name_;
  View view_;
  nb::ndarray<nb::ro> tensor_;
  std::unique_ptr<std::byte[]> copy_;
};

// A result: a new NumPy array and the view of its memory.
struct NewArray {
  NumpyArray object;
  View view;
  NewArray(DType dtype, Shape shape);
};

// Do two arrays share memory?
bool overlap(const View& a, const View& b);

}  // namespace hesscore::python
