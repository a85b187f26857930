// Kronecker factors: made at a point, in arrays that Python sees.
#include "kronecker.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include "module.hpp"
#include "operator.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

Factors kind_of(const std::string& kind) {
  if (kind == "mc") return Factors::mc;
  if (kind == "kfra") return Factors::recursive;
  return kind == "exact" ? Factors::exact : Factors::empirical;
}

std::unique_ptr<PyKronecker> kronecker(const PyObjective& f, nb::handle w, nb::handle x,
                                       nb::handle y, const std::string& kind, int samples,
                                       std::uint64_t seed, bool reduce, bool separate_bias,
                                       bool corrected, nb::handle sample_weight, nb::handle train) {
  const Point p(f, w, x, y, sample_weight, train);
  return factors_at(p, f, {kind_of(kind), samples, seed, reduce, separate_bias, corrected}, {});
}

std::unique_ptr<PyOperator> operator_of(nb::handle self, std::unique_ptr<LinearOperator> engine) {
  auto result = std::make_unique<PyOperator>();
  result->engine = std::move(engine);
  result->keep = {nb::borrow(self)};
  result->check_finite = nb::cast<const PyKronecker&>(self).check_finite;
  return result;
}

nb::list blocks(const PyKronecker& k) {
  nb::list all;
  for (const KroneckerBlock& b : k.engine->blocks()) {
    all.append(nb::make_tuple(b.name, b.rows, b.columns, b.diagonal, b.a, b.g));
  }
  return all;
}

std::unique_ptr<PyOperator> matrix(nb::handle self) {
  return operator_of(self, nb::cast<const PyKronecker&>(self).engine->matrix());
}

std::unique_ptr<PyOperator> inverse(nb::handle self, double damping, bool split) {
  const auto& k = nb::cast<const PyKronecker&>(self);
  std::unique_ptr<LinearOperator> made;
  work(k.place, [&] { made = k.engine->inverse(damping, split); });
  return operator_of(self, std::move(made));
}

NewObject diagonal(const PyKronecker& k) {
  const NewArray out(k.place, k.engine->dtype(), {k.engine->size()});
  work(k.place, [&] { k.engine->diagonal(out.view); });
  return out.object;
}

double number(const PyKronecker& k, const std::function<double()>& of) {
  double value = 0;
  work(k.place, [&] { value = of(); });
  return value;
}

}  // namespace

std::unique_ptr<PyKronecker> factors_at(const Point& p, const PyObjective& f,
                                        const KroneckerOptions& options, const Outputs& also) {
  const std::int64_t count = KroneckerFactors::count(f.on(p.place()), options);
  auto result = std::unique_ptr<PyKronecker>(
      new PyKronecker{p.place(), f.check_finite, NewArray(p.place(), p.dtype(), {count}), {}});
  p.run([&](const Objective& engine) {
    result->engine.emplace(engine, p.w, p.batch(), options, p.mode, result->factors.view, also);
  });
  return result;
}

void bind_kronecker(nb::module_& m) {
  nb::class_<PyKronecker>(m, "Kronecker")
      .def_prop_ro("blocks", &blocks)
      .def_prop_ro("factors", [](const PyKronecker& k) { return k.factors.object; })
      .def("matrix", &matrix)
      .def("inverse", &inverse, "damping"_a, "split"_a)
      .def("diagonal", &diagonal)
      .def("trace",
           [](const PyKronecker& k) { return number(k, [&] { return k.engine->trace(); }); })
      .def(
          "logdet",
          [](const PyKronecker& k, double damping) {
            return number(k, [&] { return k.engine->logdet(damping); });
          },
          "damping"_a)
      .def(
          "update",
          [](PyKronecker& k, const PyKronecker& other, double decay) {
            work(k.place, [&] { k.engine->update(*other.engine, decay); });
          },
          "other"_a, "decay"_a);
  m.def("kronecker", &kronecker, "f"_a, "w"_a.none(), "x"_a.none(), "y"_a.none(), "kind"_a,
        "samples"_a, "seed"_a, "reduce"_a, "separate_bias"_a, "corrected"_a,
        "sample_weight"_a.none(), "train"_a);
}

}  // namespace hesscore::python
