// Arrays from Python and back: the only part that looks inside what a user passed.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>

#include "hesscore/objective.hpp"
#include "place.hpp"
#include "raw_array.hpp"

namespace hesscore::python {

// Called when the module is made, before there are threads that would wait for each other here.
void load_numpy();
bool is_numpy(nb::handle value);

// For errors: "torch.Tensor"; "float16" for an array and "list" for something else.
std::string class_of(nb::handle value);
std::string describe(nb::handle value);

// The index of the CUDA device of the argument `name`, -1 for host memory and for what is no array.
int cuda_index(nb::handle value, const std::string& name);

// A new array: NumPy's, as stubs say, or on a CUDA device CuPy's.
class NewObject : public nb::object {
  NB_OBJECT_DEFAULT(NewObject, object, "numpy.ndarray", is_numpy)
};

// What an argument must resemble; `name` says it in errors.
struct Like {
  std::string name;
  DType dtype;
  int index;  // of the CUDA device, as in Place
};

// One array argument: a View and what keeps that memory alive. Native, aligned, C-contiguous arrays
// are used where they are, any other layout is copied; a value is never cast, but for integer
// labels, which become int64. On a CUDA device the producer is told the stream that will read, and
// CuPy makes the copies. Anything else is a typed error that names the argument.
class Array {
 public:
  explicit Array(std::string name) : name_(std::move(name)) {}
  ~Array();
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  // float32 or float64, anywhere; or as `like`.
  void read(nb::handle value, const Like* like = nullptr);
  void read(nb::handle value, const Like& like) { read(value, &like); }
  // Class labels of any integer dtype, or probabilities like `like`; labels have `label_ndim` axes.
  void read_labels(nb::handle value, const Like& like, std::size_t label_ndim);
  // Integers of any dtype, as int64.
  void read_indices(nb::handle value, const Like& like);
  // As `read`, but the array will be written: it must be writable and used in place.
  void read_output(nb::handle value);
  // Moves the view to an array of our own and returns that.
  NewObject keep_copy();

  // Throws NonFiniteError with the first bad element. Runs within `work`.
  void check_finite() const;

  const std::string& name() const { return name_; }
  const Place& place() const { return place_; }
  const View& view() const { return view_; }
  operator const View&() const { return view_; }
  Like like() const { return {name_, view_.dtype, place_.index}; }

 private:
  // importer.cpp
  RawArray open(nb::handle value, const Like* like);
  void settle(int index, const Like* like);
  void import_host(nb::handle value);
  void import_cuda(nb::handle value);
  [[noreturn]] void refuse_import(nb::handle value) const;
  [[noreturn]] void refuse_dtype(nb::handle value, const std::string& expected) const;

  void expect_float(nb::handle value, const RawArray& raw, const Like* like) const;
  void adopt(const RawArray& raw, DType dtype);
  void adopt_copy(const RawArray& raw, DType dtype);

  std::string name_;
  Place place_;
  View view_;
  nb::ndarray<nb::ro> tensor_;
  Bytes copy_;
  nb::object object_;     // on a CUDA device: the argument, later perhaps a copy
  bool foreign_ = false;  // its memory is of another library than CuPy
};

// A result: a new array and the view of its memory.
struct NewArray {
  NewObject object;
  View view;
  NewArray(const Place& place, DType dtype, Shape shape, bool zeros = false);
  NewArray(DType dtype, Shape shape) : NewArray(host(), dtype, std::move(shape)) {}
};

// Do two arrays share memory?
bool overlap(const View& a, const View& b);

}  // namespace hesscore::python
