// Optimizers: one step, many steps with polling for Ctrl-C, and the state as arrays.
#include <nanobind/stl/string.h>

#include <limits>
#include <vector>

#include "methods.hpp"
#include "module.hpp"
#include "objective.hpp"
#include "signals.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

// One optimizer for Python: the engine's is where w lives, so it moves when the first w arrives.
class PyOptimizer {
 public:
  PyOptimizer(const PyObjective& objective, const std::string& method, const nb::dict& options,
              const StepOptions& step_options)
      : f(objective),
        method_(make_method(method, options)),
        step_options_(step_options),
        engine_(std::make_shared<Optimizer>(f.on(host()), method_, step_options_)) {}

  // Calls `body` with the engine's optimizer at `place`, without the GIL. It stays there once that
  // has succeeded.
  void at(const Place& place, const std::function<void(Optimizer&)>& body);
  Optimizer::State state() const;
  void load_state(const Optimizer::State& state);
  NewObject ema() const;

  const PyObjective& f;

 private:
  class Turn;  // of one call at a time

  Method method_;
  StepOptions step_options_;
  std::shared_ptr<Optimizer> engine_;
  int index_ = -1;  // of the CUDA device
  bool used_ = false, busy_ = false;
};

class PyOptimizer::Turn {
 public:
  explicit Turn(bool& busy) : busy_(busy) {
    if (busy_) throw StateError("the optimizer is in a run");
    busy_ = true;
  }
  ~Turn() { busy_ = false; }
  Turn(const Turn&) = delete;

 private:
  bool& busy_;
};

void PyOptimizer::at(const Place& place, const std::function<void(Optimizer&)>& body) {
  const Turn turn(busy_);
  if (place.index != index_ && used_) {
    throw DeviceError("w", "an array " + place_text(index_) + ", as in the steps before",
                      "one " + place_text(place.index));
  }
  std::shared_ptr<Optimizer> engine = engine_;
  if (place.index != index_) {
    const Objective& objective = f.on(place);
    const Optimizer::State now = state();
    work(place, [&] {
      engine = std::make_shared<Optimizer>(objective, method_, step_options_);
      engine->load_state(now);
    });
  }
  engine_ = engine;
  index_ = place.index;
  work(place, [&] { body(*engine); });
  used_ = true;
}

Optimizer::State PyOptimizer::state() const {
  const std::shared_ptr<Optimizer> engine = engine_;
  Optimizer::State state;
  work(place_at(index_), [&] { state = engine->state(); });
  return state;
}

NewObject PyOptimizer::ema() const {
  const std::shared_ptr<Optimizer> engine = engine_;
  const Place place = place_at(index_);
  Vector mean;
  work(place, [&] { mean = engine->ema(); });
  const NewArray out(place, mean.dtype(), {mean.size()});
  copy(place, out.view.data, mean.data(),
       static_cast<std::size_t>(mean.size()) * size_of(mean.dtype()));
  return out.object;
}

void PyOptimizer::load_state(const Optimizer::State& state) {
  const Turn turn(busy_);
  work(place_at(index_), [&] { engine_->load_state(state); });
}

// Of an array, or of the first one of a dict.
bool in_host_memory(nb::handle x) {
  if (!nb::isinstance<nb::dict>(x)) return cuda_index(x, "x") < 0;
  for (const auto& [name, array] : nb::borrow<nb::dict>(x)) return cuda_index(array, "x") < 0;
  return true;
}

// (w, x, y, sample_weight) of a step or a run; w is updated in place. The data of a run may be in
// host memory, wherever w is.
struct StepArguments {
  StepArguments(const PyObjective& f, nb::handle w_in, nb::handle x_in, nb::handle y_in,
                nb::handle weight_in, bool run = false) {
    w.read_output(w_in);
    check_precision(f, w);
    Like like = w.like();
    if (run && in_host_memory(x_in)) like = {"x", like.dtype, host().index};
    x.read(x_in, like, f.graph);
    read_targets(f, like, y_in, weight_in, y, sample_weight);
    const View& view = w.view();
    if (x.overlaps(view) || overlap(y, view) || overlap(sample_weight, view)) {
      throw OutputError("w", "memory of its own", "an array that overlaps the data");
    }
  }
  Batch batch() const { return {x.inputs(), y.view(), sample_weight.view()}; }
  void check_finite() const {
    w.check_finite();
    x.check_finite();
    y.check_finite();
    sample_weight.check_finite();
  }

  Array w{"w"};
  InputArrays x;
  Array y{"y"}, sample_weight{"sample_weight"};
};

StepInfo step(PyOptimizer& o, nb::handle w, nb::handle x, nb::handle y, nb::handle sample_weight) {
  const StepArguments a(o.f, w, x, y, sample_weight);
  StepInfo info;
  o.at(a.w.place(), [&](Optimizer& engine) {
    if (o.f.check_finite) a.check_finite();
    info = engine.step(a.w, a.batch(), SignalPoll());
  });
  return info;
}

// What a run does after each step: notes the loss, calls on_step, and every 50 ms looks for signals
// and tells the progress. An exception ends the run at this step and is thrown by `finish`.
class Watcher {
 public:
  Watcher(nb::handle on_step, nb::handle progress) : on_step_(on_step), progress_(progress) {}

  bool operator()(const StepInfo& info) {
    losses_.push_back(info.loss);
    const bool due = clock_.due();
    if (on_step_.is_none() && !due) return false;
    const nb::gil_scoped_acquire acquire;
    try {
      if (!on_step_.is_none()) stopped_ = nb::cast<bool>(nb::bool_(on_step_(info)));
      if (due) poll(info);
    } catch (...) {
      error_ = std::current_exception();
      stopped_ = true;
    }
    return stopped_;
  }

  bool stopped() const { return stopped_; }

  NewObject finish() {
    if (error_) std::rethrow_exception(error_);
    const NewArray out(DType::f64, {static_cast<std::int64_t>(losses_.size())});
    std::copy(losses_.begin(), losses_.end(), static_cast<double*>(out.view.data));
    return out.object;
  }

 private:
  void poll(const StepInfo& info) {
    check_signals();
    if (!progress_.is_none()) progress_(losses_.size(), info);
  }

  nb::handle on_step_, progress_;
  std::vector<double> losses_;
  SignalClock clock_;
  std::exception_ptr error_;
  bool stopped_ = false;
};

NewObject run(PyOptimizer& o, nb::handle w, nb::handle x, nb::handle y, nb::handle sample_weight,
              std::int64_t batch_size, std::int64_t first_epoch, std::int64_t epochs,
              std::uint64_t shuffle_seed, bool shuffle, std::uint64_t dropout_seed,
              nb::handle on_step, nb::handle progress) {
  if (epochs > std::numeric_limits<std::int64_t>::max() - first_epoch) {
    throw OptionError("first_epoch", "first_epoch + epochs < 2**63", std::to_string(first_epoch));
  }
  const StepArguments a(o.f, w, x, y, sample_weight, /*run=*/true);
  const RunOptions options{.batch_size = batch_size,
                           .shuffle_seed = shuffle_seed,
                           .shuffle = shuffle,
                           .dropout_seed = dropout_seed,
                           .host_data = a.y.place().is_host(),
                           .every_step = !on_step.is_none(),
                           .poll = SignalPoll()};
  const std::int64_t rows = a.x.batch_size();
  const std::int64_t steps = rows > 0 ? (rows - 1) / batch_size + 1 : 0;
  Watcher watcher(on_step, progress);
  o.at(a.w.place(), [&](Optimizer& engine) {
    if (o.f.check_finite) a.check_finite();
    for (std::int64_t e = first_epoch; e < first_epoch + epochs && !watcher.stopped(); ++e) {
      engine.run(a.w, a.batch(), options, e, 0, steps, std::ref(watcher));
    }
  });
  return watcher.finish();
}

nb::tuple state(const PyOptimizer& o) {
  const Optimizer::State s = o.state();
  nb::dict vectors, scalars;
  for (const auto& [name, values] : s.vectors) {
    const NewArray array(s.dtype, {static_cast<std::int64_t>(values.size())});
    if (s.dtype == DType::f32) {
      std::copy(values.begin(), values.end(), static_cast<float*>(array.view.data));
    } else {
      std::copy(values.begin(), values.end(), static_cast<double*>(array.view.data));
    }
    vectors[name.c_str()] = array.object;
  }
  for (const auto& [name, value] : s.scalars) scalars[name.c_str()] = value;
  return nb::make_tuple(vectors, scalars);
}

std::vector<double> numbers(const View& v) {
  const std::int64_t n = element_count(v.shape);
  if (v.dtype == DType::f32)
    return {static_cast<const float*>(v.data), static_cast<const float*>(v.data) + n};
  return {static_cast<const double*>(v.data), static_cast<const double*>(v.data) + n};
}

void load_state(PyOptimizer& o, const nb::dict& vectors, const nb::dict& scalars) {
  Optimizer::State s;
  bool all_single = !vectors.empty();
  for (const auto& [key, value] : vectors) {
    const std::string name = nb::cast<std::string>(key);
    Array array(name);
    array.read(value);
    s.vectors[name] = numbers(array.view());
    all_single = all_single && array.view().dtype == DType::f32;
  }
  for (const auto& [key, value] : scalars) {
    s.scalars[nb::cast<std::string>(key)] = nb::cast<double>(value);
  }
  s.dtype = all_single ? DType::f32 : DType::f64;
  o.load_state(s);
}

std::string step_text(const StepInfo& i) {
  const std::string accepted = i.accepted ? "True" : "False";
  return "StepInfo(loss=" + std::to_string(i.loss) + ", step=" + std::to_string(i.step) +
         ", accepted=" + accepted + ", damping=" + std::to_string(i.damping) +
         ", rho=" + std::to_string(i.rho) + ", iterations=" + std::to_string(i.iterations) + ")";
}

}  // namespace

void bind_optim(nb::module_& m) {
  m.def("method_table", &method_table);
  nb::class_<StepInfo>(m, "StepInfo", "What one optimizer step did.")
      .def_ro("loss", &StepInfo::loss, "loss of the batch before the step")
      .def_ro("step", &StepInfo::step, "number of this step, from 1")
      .def_ro("accepted", &StepInfo::accepted, "False: w was left as it was")
      .def_ro("grad_norm", &StepInfo::grad_norm,
              "norm of the gradient before clipping; nan where a device took the step by itself")
      .def_ro("damping", &StepInfo::damping, "damping of the step")
      .def_ro("rho", &StepInfo::rho, "actual over predicted reduction")
      .def_ro("radius", &StepInfo::radius, "radius of the step (trust_region)")
      .def_ro("negative_eigenvalues", &StepInfo::negative_eigenvalues,
              "of the damped Hessian, 0 if it was positive definite (newton)")
      .def_ro("eigenvalue", &StepInfo::eigenvalue, "largest Ritz value (replica_newton)")
      .def_ro("fell_back", &StepInfo::fell_back,
              "True: the gradient was taken in place of an ascending step (replica_newton, lbfgs)")
      .def_ro("iterations", &StepInfo::iterations, "of CG or Lanczos; lbfgs: evaluations")
      .def("__repr__", &step_text);
  nb::class_<PyOptimizer>(m, "Optimizer")
      .def(
          "__init__",
          [](PyOptimizer* self, const PyObjective& f, const std::string& method,
             const nb::dict& options, double clip_norm, double clip_value, double ema) {
            new (self) PyOptimizer(f, method, options, {clip_norm, clip_value, ema});
          },
          "f"_a, "method"_a, "options"_a, "clip_norm"_a, "clip_value"_a, "ema"_a,
          nb::keep_alive<1, 2>())
      .def("step", &step, "w"_a.none(), "x"_a.none(), "y"_a.none(), "sample_weight"_a.none())
      .def("run", &run, "w"_a.none(), "x"_a.none(), "y"_a.none(), "sample_weight"_a.none(),
           "batch_size"_a, "first_epoch"_a, "epochs"_a, "shuffle_seed"_a, "shuffle"_a,
           "dropout_seed"_a, "on_step"_a.none(), "progress"_a.none())
      .def("ema", &PyOptimizer::ema)
      .def("state", &state)
      .def("load_state", &load_state, "vectors"_a, "scalars"_a);
}

}  // namespace hesscore::python
