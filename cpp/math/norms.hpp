// The passes of a normalisation, number by number (Ioffe & Szegedy 2015; Ba, Kiros & Hinton 2016;
// Wu & He 2018; Zhang & Sennrich 2019).
//
// Over the n numbers of a group let  r = (variance + eps)^-1/2,  xhat = (x - mean) r,
// y = w xhat + b,  m(.) the mean over the group. Because dr = -r^2 m(xhat dx),
//
//   jvp    dxhat = r (dx - m(dx) - xhat m(xhat dx)),   dy = w dxhat + dw xhat + db
//   vjp    gx = r (u - m(u) - xhat m(xhat u))  with  u = w gy;   gw = sum gy xhat,  gb = sum gy
//
// since the Jacobian of xhat, r (I - 1 1'/n - xhat xhat'/n), is symmetric. The tangent of vjp along
// (dx, dw, dgy), with du = dw gy + w dgy, q = m(xhat dx) and m(dxhat u) = r (m(dx u) - m(dx) m(u) -
// q m(xhat u)):
//
//   dgx = r (du - m(du) - xhat m(xhat du)) - r^2 q (u - m(u) - xhat m(xhat u))
//         - r (dxhat m(xhat u) + xhat m(dxhat u));    hw = sum dgy xhat + gy dxhat,  hb = sum dgy
//
// Diagonals: hx_j = sum_i J_ij^2 h_i + sum_i gy_i d2 y_i / dx_j^2, with a = w^2 h and
// J_ij = w_i r (delta_ij - (1 + xhat_i xhat_j) / n):
//
//   sum_i J_ij^2 h_i        = r^2 (a_j (1 - 2 (1 + xhat_j^2) / n)
//                                  + (m(a) + 2 xhat_j m(a xhat) + xhat_j^2 m(a xhat^2)) / n)
//   sum_i u_i xhat_i''      = -r^2 (2 xhat_j (u_j - m(u)) / n
//                                   + m(u xhat) (1 - (1 + 3 xhat_j^2) / n))
//
// and hw = sum xhat^2 h, hb = sum h. Root mean square: the same without the means of x, of dx and
// of u, and without the ones beside xhat xhat'. Fixed statistics: all m(.) and 1/n are zero.
#pragma once

#include "math/hd.hpp"

namespace hesscore::math {

// What a pass sees of one number: `in` are the pass's own arrays, db or the bias itself.
template <class T>
struct NormPoint {
  T xhat, r, w, dw, b;
  T in[3];
};

// A pass states how many arrays it reads (kIn), which means over the group it needs (moments; those
// of kCentred are zero unless the statistics are centred), its results, and the numbers whose sums
// belong to the weights.
template <class T, int kInputs, int kMeans, int kResults, int kSums>
struct NormPass {
  static constexpr int kIn = kInputs, kMoments = kMeans, kOut = kResults, kWeights = kSums;
  static constexpr unsigned kCentred = 0;
  T inverse = 0;  // 1/n
  T centre = 1;   // 0: root mean square
  HC_HD void moments(const NormPoint<T>&, T*) const {}
  HC_HD void results(const NormPoint<T>&, const T*, T*) const {}
  HC_HD void weights(const NormPoint<T>&, const T*, T*) const {}
};

// The mean of (x - mean)^kPower, where r is 1.
template <class T, int kPower>
struct NormPowerPass : NormPass<T, 0, 1, 0, 0> {
  HC_HD void moments(const NormPoint<T>& p, T* m) const {
    m[0] = kPower == 1 ? p.xhat : p.xhat * p.xhat;
  }
};

template <class T>
struct NormForwardPass : NormPass<T, 0, 0, 1, 0> {
  HC_HD void results(const NormPoint<T>& p, const T*, T* y) const { y[0] = p.w * p.xhat + p.b; }
};

template <class T>
struct NormTangentPass : NormPass<T, 1, 2, 1, 0> {  // in: dx
  static constexpr unsigned kCentred = 1;
  HC_HD void moments(const NormPoint<T>& p, T* m) const {
    m[0] = p.in[0];
    m[1] = p.in[0] * p.xhat;
  }
  HC_HD void results(const NormPoint<T>& p, const T* m, T* y) const {
    const T dxhat = p.r * (p.in[0] - m[0] - p.xhat * m[1]);
    y[0] = p.w * dxhat + (p.dw * p.xhat + p.b);
  }
};

template <class T>
struct NormAdjointPass : NormPass<T, 1, 2, 1, 2> {  // in: gy
  static constexpr unsigned kCentred = 1;
  HC_HD void moments(const NormPoint<T>& p, T* m) const {
    m[0] = p.w * p.in[0];
    m[1] = m[0] * p.xhat;
  }
  HC_HD void results(const NormPoint<T>& p, const T* m, T* y) const {
    y[0] = p.r * (p.w * p.in[0] - m[0] - p.xhat * m[1]);
  }
  HC_HD void weights(const NormPoint<T>& p, const T*, T* s) const {
    s[0] = p.in[0] * p.xhat;
    s[1] = p.in[0];
  }
};

template <class T>
struct NormSecondPass : NormPass<T, 3, 7, 1, 2> {  // in: gy, dx, dgy
  static constexpr unsigned kCentred = 1 | 4 | 16;
  HC_HD static T du(const NormPoint<T>& p) { return p.dw * p.in[0] + p.w * p.in[2]; }
  HC_HD static T dxhat(const NormPoint<T>& p, const T* m) {
    return p.r * (p.in[1] - m[2] - p.xhat * m[3]);
  }
  HC_HD void moments(const NormPoint<T>& p, T* m) const {
    m[0] = p.w * p.in[0];
    m[1] = m[0] * p.xhat;
    m[2] = p.in[1];
    m[3] = p.in[1] * p.xhat;
    m[4] = du(p);
    m[5] = m[4] * p.xhat;
    m[6] = p.in[1] * m[0];
  }
  HC_HD void results(const NormPoint<T>& p, const T* m, T* y) const {
    const T u = p.w * p.in[0] - m[0] - p.xhat * m[1];
    const T dxhat_u = p.r * (m[6] - m[2] * m[0] - m[3] * m[1]);
    y[0] = p.r *
           (du(p) - m[4] - p.xhat * m[5] - p.r * m[3] * u - dxhat(p, m) * m[1] - p.xhat * dxhat_u);
  }
  HC_HD void weights(const NormPoint<T>& p, const T* m, T* s) const {
    s[0] = p.in[2] * p.xhat + p.in[0] * dxhat(p, m);
    s[1] = p.in[2];
  }
};

template <class T>
struct NormDiagonalPass : NormPass<T, 2, 5, 2, 4> {  // in: gy, hy
  static constexpr unsigned kCentred = 1 | 4 | 8;
  T second = 1;  // 0: Gauss-Newton
  bool flat = false;
  HC_HD static T a(const NormPoint<T>& p) { return p.w * p.w * p.in[1]; }
  HC_HD void moments(const NormPoint<T>& p, T* m) const {
    m[0] = p.w * p.in[0];
    m[1] = m[0] * p.xhat;
    m[2] = a(p);
    m[3] = m[2] * p.xhat;
    m[4] = m[3] * p.xhat;
  }
  HC_HD void results(const NormPoint<T>& p, const T* m, T* y) const {
    const T u = p.w * p.in[0] - m[0], square = p.xhat * p.xhat;
    y[0] = p.r * (u - p.xhat * m[1]);
    const T jacobian = a(p) * (1 - 2 * (this->centre + square) * this->inverse) +
                       (m[2] + 2 * p.xhat * m[3] + square * m[4]) * this->inverse;
    const T bend =
        2 * p.xhat * u * this->inverse + m[1] * (1 - (this->centre + 3 * square) * this->inverse);
    y[1] = p.r * p.r * (flat ? a(p) : jacobian - second * bend);
  }
  HC_HD void weights(const NormPoint<T>& p, const T*, T* s) const {
    s[0] = p.in[0] * p.xhat;
    s[1] = p.in[0];
    s[2] = p.in[1] * p.xhat * p.xhat;
    s[3] = p.in[1];
  }
};

}  // namespace hesscore::math
