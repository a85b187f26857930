// Convolutions and their transposes.
#include "cpu/isa/conv_images.hpp"
#include "cpu/isa/elementwise.hpp"
#include "cpu/isa/products.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// With one tap that reads the pixel itself, a convolution is a matrix product.
bool is_product(const math::ConvGeometry& g) {
  return g.taps() == 1 && g.groups == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_h == 0 &&
         g.pad_w == 0 && g.oh == g.h && g.ow == g.w;
}

template <class T>
void product_of(const In& a, const In& b, const In& bias, const Out& c, std::int64_t m,
                std::int64_t n, std::int64_t k, bool trans_b, bool square,
                const kernels::Epilogue& then) {
  kernels::Product::Args p{a, b, bias, c, m, n, k, false, trans_b, false, square};
  p.then = then;
  product<T>(nullptr, p);
}

// A batch that shares weights and bias and lies stacked in memory is one of more images.
void stack(math::ConvGeometry& g, std::int64_t& batch, std::int64_t from, std::int64_t stride_from,
           std::int64_t to, std::int64_t stride_to, std::int64_t stride_w,
           std::int64_t stride_bias) {
  if (batch == 1 || stride_w != 0 || stride_bias != 0) return;
  if (stride_from != g.n * from || stride_to != g.n * to) return;
  g.n *= batch;
  batch = 1;
}

template <class T>
const T* item(const In& x, std::int64_t offset) {
  return x ? x.as<T>() + offset : nullptr;
}

template <class T>
void convolve(void*, const kernels::Convolve::Args& a) {
  math::ConvGeometry g = a.g;
  std::int64_t batch = a.batch;
  stack(g, batch, g.x_image(), a.stride_x, g.y_image(), a.stride_y, a.stride_w, a.stride_bias);
  const Finish<T> finish = finish_of<T>(a.then, a.y.as<T>(), a.y2.as<T>());
  for (std::int64_t b = 0; b < batch; ++b) {
    const T* x = a.x.as<T>() + b * a.stride_x;
    const T* w = a.w.as<T>() + b * a.stride_w;
    const T* bias = item<T>(a.bias, b * a.stride_bias);
    T* y = a.y.as<T>() + b * a.stride_y;
    if (is_product(g) && !a.x2) {
      product_of<T>(In(x), In(w), In(bias), Out(y, a.y.accumulate), g.n * g.h * g.w, g.o, g.c, true,
                    a.square_w, a.then);
      continue;
    }
    const WindowOperands<T> o{
        x,          a.x2.as<T>(), w, bias, y, a.y2.as<T>(), a.y.accumulate, a.y2.accumulate,
        a.square_w, finish};
    const Window win = window_of(g);
    run_window<T>(win, o);
  }
}

// Output pixels of one phase have the same taps; phases without any are bias and zeros.
template <class T>
void run_phases(const math::ConvGeometry& g, WindowOperands<T> o) {
  const Finish<T> finish = o.finish;
  const bool several = g.stride_h * g.stride_w > 1;
  if (several) o.finish = {};
  for (std::int64_t r = 0; r < g.stride_h && r < g.h; ++r) {
    for (std::int64_t q = 0; q < g.stride_w && q < g.w; ++q) {
      const Window win = transposed_window(g, r, q);
      run_window<T>(win, o);
    }
  }
  if (!several || finish.kind == kernels::Epilogue::none) return;
  parallel_chunks(g.n * g.x_image(), kGrain,
                  [&](std::int64_t begin, std::int64_t end) { finish(begin, end - begin); });
}

template <class T>
void convolve_transposed(void*, const kernels::ConvolveTransposed::Args& a) {
  math::ConvGeometry g = a.g;
  std::int64_t batch = a.batch;
  stack(g, batch, g.y_image(), a.stride_y, g.x_image(), a.stride_x, a.stride_w, a.stride_bias);
  const Finish<T> finish = finish_of<T>(a.then, a.x.as<T>(), a.x2.as<T>());
  for (std::int64_t b = 0; b < batch; ++b) {
    const T* y = a.y.as<T>() + b * a.stride_y;
    const T* w = a.w.as<T>() + b * a.stride_w;
    const T* bias = item<T>(a.bias, b * a.stride_bias);
    T* x = a.x.as<T>() + b * a.stride_x;
    if (is_product(g) && !a.y2) {
      product_of<T>(In(y), In(w), In(bias), Out(x, a.x.accumulate), g.n * g.h * g.w, g.c, g.o,
                    false, a.square_w, a.then);
      continue;
    }
    run_phases<T>(g, {y, a.y2.as<T>(), w, bias, x, a.x2.as<T>(), a.x.accumulate, a.x2.accumulate,
                      a.square_w, finish});
  }
}

}  // namespace

void register_conv(KernelTable& table) {
  HC_ADD_REHEARSED(table, Convolve, convolve);
  HC_ADD_REHEARSED(table, ConvolveTransposed, convolve_transposed);
}

}  // namespace hesscore::cpu::HC_ISA
