// A step that its poll ends leaves parameters and state as they were, wherever that is.
#include "optim_problems.hpp"

namespace {

struct Interrupted {};

// Throws at one of its calls.
struct Poll {
  int at = 0, calls = 0;
  void operator()() {
    if (++calls == at) throw Interrupted();
  }
};

}  // namespace

TEST("a step that is interrupted anywhere has not begun") {
  const Problem p(DType::f64, 0.2);
  for (const Method& method : all_methods()) {
    Optimizer opt(p.f, method, {.ema = 0.9}), twin(p.f, method, {.ema = 0.9});
    Vector w = p.start(), v = p.start();
    for (int k = 0; k < 3; ++k) {
      const Numbers before = w.to_host();
      const Optimizer::State state = opt.state();
      Poll all;
      twin.step(v, p.batch(), std::ref(all));
      for (int at = 1; at <= all.calls; ++at) {
        Poll poll{at};
        CHECK_THROWS(Interrupted, opt.step(w, p.batch(), std::ref(poll)));
        CHECK(w.to_host() == before);
        if (k > 0) CHECK(same(opt.state(), state));
        if (k == 0) CHECK(opt.state().scalars == state.scalars);
      }
      opt.step(w, p.batch());
      CHECK(w.to_host() == v.to_host() && same(opt.state(), twin.state()));
    }
  }
}

TEST("methods of many evaluations poll, and so do runs") {
  const Problem p;
  for (const Method& method : {Method(GaussNewton{}), Method(TrustRegion{}), Method(Newton{}),
                               Method(Lbfgs{}), Method(ReplicaNewton{}), Method(Kfac{})}) {
    Optimizer opt(p.f, method), stopped(p.f, method);
    const Vector w = p.start(), v = p.start();
    Poll one;
    opt.step(w, p.batch(), std::ref(one));
    CHECK(one.calls > 0);
    Poll poll{one.calls + 1};
    const RunOptions options{.batch_size = 99, .shuffle = false, .poll = std::ref(poll)};
    CHECK(stopped.run(v, p.batch(), options, 0, 0, 1) == 1);
    CHECK_THROWS(Interrupted, stopped.run(v, p.batch(), options, 1, 0, 1));
    CHECK(v.to_host() == w.to_host() && same(stopped.state(), opt.state()));
  }
}
