// Linear operators as Python holds them.
#pragma once

#include <memory>
#include <vector>

#include "arrays.hpp"
#include "hesscore/linear_operator.hpp"

namespace hesscore::python {

struct PyMap {
  virtual ~PyMap() = default;
  virtual const LinearMap& map() const = 0;
  virtual void clear() {  // the engine's operator first
    data.reset();
    keep.clear();
  }

  std::vector<nb::object> keep;  // what the engine's operator borrows
  std::shared_ptr<void> data;    // likewise
  bool check_finite = false;     // refuse NaN and Inf in vectors

  // What a vector must resemble; `name` is the operator's in errors.
  Like like(std::string name) const {
    return {std::move(name), map().dtype(), index_of(map().device())};
  }
};

struct PyRectangular : PyMap {
  std::unique_ptr<LinearMap> engine;
  nb::handle transpose_of;  // what `keep` holds, if it is just that
  const LinearMap& map() const override { return *engine; }
  void clear() override {
    engine.reset();
    PyMap::clear();
  }
};

// A symmetric one, as solvers take it.
struct PyOperator : PyMap {
  std::unique_ptr<LinearMap> inner;  // what `engine` says is symmetric
  std::unique_ptr<LinearOperator> engine;
  const LinearMap& map() const override { return *engine; }
  void clear() override {
    engine.reset();
    inner.reset();
    PyMap::clear();
  }
};

}  // namespace hesscore::python
