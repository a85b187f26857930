// Random signs for the estimators.
#include "hesscore/probes.hpp"

#include <nanobind/stl/string.h>

#include "arrays.hpp"
#include "module.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

struct PyProbes {
  Place place;
  DType dtype;
  std::unique_ptr<Probes> engine;

  // The vectors first .. first + count - 1, as rows (count, n).
  NewObject rows(std::int64_t n, std::uint64_t first, std::int64_t count) const {
    const Place now = place_at(place.index);
    const NewArray out(now, dtype, {count, n});
    work(now, [&] { engine->fill(out.view.data, n, first, count); });
    return out.object;
  }
};

PyProbes probes(int index, const std::string& dtype, std::uint64_t seed) {
  PyProbes result{place_at(index), dtype == "float32" ? DType::f32 : DType::f64, nullptr};
  work(result.place,
       [&] { result.engine = std::make_unique<Probes>(*result.place.device, result.dtype, seed); });
  return result;
}

}  // namespace

void bind_probes(nb::module_& m) {
  nb::class_<PyProbes>(m, "Probes").def("rows", &PyProbes::rows, "n"_a, "first"_a, "count"_a);
  m.def("probes", &probes, "device"_a, "dtype"_a, "seed"_a);
}

}  // namespace hesscore::python
