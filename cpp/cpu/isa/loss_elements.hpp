// Kernels of the element-wise losses, for a rule of math/losses.hpp: one logit for each position.
#pragma once

#include "cpu/isa/loss_data.hpp"

namespace hesscore::cpu::HC_ISA {

// The block functions of a loss: one copy of everything else serves all of them.
template <class T>
struct ElementRule {
  void (*jets)(const T* z, const T* y, const T* parameter, std::int64_t n, T* l, T* d, T* dd);
  T (*deviate)(T z, T y, T parameter, const math::Random& random);

  explicit ElementRule(math::LossKind kind) {
    math::dispatch_element_loss(kind, [this](auto rule) {
      using Rule = decltype(rule);
      jets = [](const T* z, const T* y, const T* parameter, std::int64_t n, T* l, T* d, T* dd) {
#pragma GCC ivdep
        for (std::int64_t i = 0; i < n; ++i) {
          const math::Jet<T> jet = Rule::at(z[i], y[i], parameter[i]);
          l[i] = jet.f;
          d[i] = jet.d;
          dd[i] = jet.dd;
        }
      };
      deviate = [](T z, T y, T parameter, const math::Random& random) {
        return Rule::deviate(z, y, parameter, random);
      };
    });
  }
};

// A block of positions: their weights and weighted jets.
template <class T>
struct ElementBlock {
  const LossData<T>& data;
  const T *z, *y;
  std::int64_t first, n;
  alignas(64) T k[kBlock], parameter[kBlock], l[kBlock], d[kBlock], dd[kBlock];

  ElementBlock(const LossData<T>& all, const ElementRule<T>& rule, std::int64_t q,
               std::int64_t count)
      : data(all), z(all.z + q), y(static_cast<const T*>(all.y) + q), first(q), n(count) {
    data.weights(q, n, k);
    parameters();
    rule.jets(z, y, parameter, n, l, d, dd);
    for (T* jet : {l, d, dd}) {
      store(jet, n, false, [&](std::int64_t i) { return math::weighted(k[i], jet[i]); });
    }
  }

 private:
  // the weight of positives of each position, or Huber's delta
  void parameters() {
    const math::LossSpec& spec = data.spec;
    const bool bce = spec.kind == math::LossKind::bce_with_logits;
    const T same = bce ? (spec.weights == 1 ? data.class_weight[0] : T(1)) : T(spec.delta);
    store(parameter, n, false, [&](std::int64_t) { return same; });
    if (!bce || spec.weights <= 1) return;
    for (std::int64_t i = 0; i < n; ++i) {
      parameter[i] = data.class_weight[(first + i) % spec.positions];
    }
  }
};

// body(block) for all positions, in blocks on the pool
template <class T, class F>
void for_element_blocks(const LossData<T>& data, std::int64_t cost, F body) {
  const ElementRule<T> rule(data.spec.kind);
  for_blocks(data.positions(), cost,
             [&](std::int64_t q, std::int64_t n) { body(ElementBlock<T>(data, rule, q, n)); });
}

template <class T>
double element_seed(const kernels::LossSeed::Args& a) {
  const LossData<T> data(a);
  const ElementRule<T> rule(data.spec.kind);
  const auto write = [](Out out, const ElementBlock<T>& b, const T* values) {
    if (out)
      store(out.as<T>() + b.first, b.n, out.accumulate, [&](std::int64_t i) { return values[i]; });
  };
  return sum_chunks(data.positions(), kGrain / 4, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t q = begin; q < end; q += kBlock) {
      const ElementBlock<T> b(data, rule, q, end - q < kBlock ? end - q : kBlock);
      write(a.g, b, b.d);
      write(a.h, b, b.dd);
      write(a.b, b, b.dd);
      if (a.f) {
        store(a.f.as<T>() + q, b.n, a.f.accumulate, [&](std::int64_t i) {
          const T root = math::fisher_scale(data.spec, b.k[i]);
          return root == 0 ? T(0) : root * (b.d[i] / b.k[i]);
        });
      }
      for (std::int64_t i = 0; i < b.n; ++i) sum += static_cast<double>(b.l[i]);
    }
    return sum;
  });
}

template <class T>
void element_hessian(const kernels::LossHessian::Args& a) {
  const LossData<T> data(a);
  for_element_blocks(data, 4 + a.reps, [&](const ElementBlock<T>& b) {
    for (std::int64_t r = 0; r < a.reps; ++r) {
      const std::int64_t at = r * data.positions() + b.first;
      const T* v = a.dz.as<T>() + at;
      store(a.dg.as<T>() + at, b.n, a.dg.accumulate,
            [&](std::int64_t i) { return b.dd[i] * v[i]; });
    }
  });
}

template <class T>
void element_columns(const kernels::LossColumns::Args& a) {
  const LossData<T> data(a);
  for_element_blocks(data, 4 + a.count, [&](const ElementBlock<T>& b) {
    for (std::int64_t c = 0; c < a.count; ++c) {
      T* out = a.out.as<T>() + c * data.positions() + b.first;
      store(out, b.n, a.out.accumulate, [&](std::int64_t i) {
        const bool here = (b.first + i) % data.spec.positions == a.first + c;
        return here ? std::sqrt(b.dd[i]) : T(0);
      });
    }
  });
}

template <class T>
void element_sample(const kernels::LossSample::Args& a) {
  const LossData<T> data(a);
  const std::uint64_t seed = *a.clock.as<std::uint64_t>();
  const T share = 1 / static_cast<T>(a.samples);
  const ElementRule<T> rule(data.spec.kind);
  for_element_blocks(data, 4 + 16 * a.samples, [&](const ElementBlock<T>& b) {
    for (std::int64_t s = 0; s < a.samples; ++s) {
      T* out = a.out.as<T>() + s * data.positions() + b.first;
      store(out, b.n, a.out.accumulate, [&](std::int64_t i) {
        const T u =
            rule.deviate(b.z[i], b.y[i], b.parameter[i], math::label_draw(seed, s, b.first + i));
        return math::weighted(std::sqrt(b.k[i] * share), u);
      });
    }
  });
}

}  // namespace hesscore::cpu::HC_ISA
