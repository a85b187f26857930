// The objective as Python holds it, and the arguments (w, x, y, sample_weight, train) of a call.
#pragma once

#include <list>

#include "arrays.hpp"

namespace hesscore::python {

struct PyObjective {
  PyObjective(const Graph& graph, bool check);

  Objective engine;
  bool check_finite;
  bool labels;             // integer y is allowed
  std::size_t label_ndim;  // axes of integer labels
};

// False, True, or (seed, step) of the dropout masks.
Mode read_mode(nb::handle train);

// One array, or a dict name -> array.
class InputArrays {
 public:
  void read(nb::handle value, const Array& like);
  Inputs inputs() const;
  void check_finite() const;
  bool overlaps(const View& view) const;
  std::int64_t batch_size() const;  // 0 when there is no first dimension
  nb::object keep_copy();           // as the argument looked: an array or a dict

 private:
  bool named_ = false;
  std::list<Array> arrays_;
  std::list<std::string> names_;
};

// (w, x, y, sample_weight, train), read and, if the objective asks for it, checked.
class Point {
 public:
  Point(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y, nb::handle sample_weight,
        nb::handle train);
  Point(const PyObjective& f, nb::handle w, nb::handle x, nb::handle train);

  void check_finite() const;
  Batch batch() const { return {x.inputs(), y.view(), sample_weight.view()}; }

  Array w{"w"};
  InputArrays x;
  Array y{"y"}, sample_weight{"sample_weight"};
  Mode mode;

 private:
  const PyObjective& f_;
};

// Reads y and sample_weight of a batch whose dtype is that of `like`.
void read_targets(const PyObjective& f, const Array& like, nb::handle y, nb::handle sample_weight,
                  Array& to_y, Array& to_weight);

}  // namespace hesscore::python
