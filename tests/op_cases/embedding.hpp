// Rows of the op-case table: embeddings.
#pragma once

#include "op_case.hpp"

namespace op_cases {

// Rows of a table of `columns` numbers at w[at].
inline Values look_up(const Values& w, std::size_t at, const Values& tokens, std::size_t columns) {
  Values y;
  for (const double t : tokens) {
    for (std::size_t c = 0; c < columns; ++c) {
      y.push_back(w[at + static_cast<std::size_t>(t) * columns + c]);
    }
  }
  return y;
}

inline std::vector<OpCase> embedding_cases() {
  return {
      {"Embedding of one token",
       {},
       [](auto& b, int x) { return b.embedding(x, 5, 3); },
       [](auto& w, auto& x) { return look_up(w, 0, x, 3); },
       true,
       5},
      {"Embedding of a sentence with repeated tokens",
       {6},
       [](auto& b, int x) { return b.embedding(x, 4, 3); },
       [](auto& w, auto& x) { return look_up(w, 0, x, 3); },
       true,
       4},
      {"Embedding of two axes, one column",
       {2, 3},
       [](auto& b, int x) { return b.embedding(x, 7, 1); },
       [](auto& w, auto& x) { return look_up(w, 0, x, 1); },
       true,
       7},
      {"Embedding under layers",
       {4},
       [](auto& b, int x) {
         return b.linear(b.flatten(b.tanh(b.linear(b.embedding(x, 3, 2), 3))), 2);
       },
       [](auto& w, auto& x) {
         const Values h =
             map(affine(w, 6, look_up(w, 0, x, 2), 2, 3), [](double v) { return std::tanh(v); });
         return affine(w, 15, h, 12, 2);
       },
       false,
       3},
      {"Embedding used twice, and another one on the same tokens",
       {3},
       [](auto& b, int x) {
         const auto table = b.make_embedding(4, 2);
         const int first = b.call(table, x), second = b.embedding(x, 5, 2);
         return b.multiply(b.add({first, second}), b.linear(b.call(table, x), 2));
       },
       [](auto& w, auto& x) {
         Values y = look_up(w, 0, x, 2);
         const Values other = look_up(w, 8, x, 2), factor = affine(w, 18, y, 2, 2);
         for (std::size_t i = 0; i < y.size(); ++i) y[i] = (y[i] + other[i]) * factor[i];
         return y;
       },
       false,
       4},
  };
}

}  // namespace op_cases
