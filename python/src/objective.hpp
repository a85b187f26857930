// The objective as Python holds it, and the arguments (w, x, y, sample_weight, train) of a call.
#pragma once

#include <list>
#include <map>
#include <memory>

#include "arrays.hpp"

namespace hesscore::python {

// One objective for Python: the engine has one for each device, made when an array there arrives.
class PyObjective {
 public:
  PyObjective(Graph graph, bool check, const std::string& precision);
  PyObjective(const PyObjective&) = delete;

  // With the GIL. The buffers are where the last call was, and follow to the place of this one.
  const Objective& on(const Place& place) const;
  const Objective& engine(const Place& place) const;  // leaves them there
  Place place_of_buffers() const { return place_at(buffers_at_); }

  const Graph graph;
  const bool check_finite;
  const bool float64_only;   // precision "fp64"
  const bool labels;         // integer y is allowed
  const Shape output_shape;  // of one sample
  std::size_t label_ndim() const { return output_shape.size(); }

 private:
  Precision precision_;
  mutable std::map<int, std::unique_ptr<Objective>> engines_;
  mutable int buffers_at_ = host().index;
};

// False, True, or (seed, step) of the dropout masks.
Mode read_mode(nb::handle train);

// One array, or a dict name -> array.
class InputArrays {
 public:
  void read(nb::handle value, const Like& like, const Graph& graph);
  Inputs inputs() const;
  void check_finite() const;
  bool overlaps(const View& view) const;
  std::int64_t batch_size() const;  // 0 when there is no first dimension
  nb::object keep_copy();           // as the argument looked: an array or a dict

 private:
  void read_one(nb::handle value, const Like& like, bool indices);

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

  // Checks the values and calls body(engine), without the GIL, on the arrays' device.
  void run(const std::function<void(const Objective&)>& body) const;
  Batch batch() const { return {x.inputs(), y.view(), sample_weight.view()}; }
  const Place& place() const { return w.place(); }
  DType dtype() const { return w.view().dtype; }

  Array w{"w"};
  InputArrays x;
  Array y{"y"}, sample_weight{"sample_weight"};
  Mode mode;

 private:
  const PyObjective& f_;
};

// With precision "fp64", w must be float64.
void check_precision(const PyObjective& f, const Array& w);

// Reads y and sample_weight of a batch.
void read_targets(const PyObjective& f, const Like& like, nb::handle y, nb::handle sample_weight,
                  Array& to_y, Array& to_weight);

}  // namespace hesscore::python
