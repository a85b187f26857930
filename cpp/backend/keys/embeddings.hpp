// Embeddings: rows of a table looked up by number, and what arrives at each row.
//
// Tokens are int64, n of them; groups are int32 (embedding_group_size(rows, n) numbers): for row j
// begin and end of its tokens in a list, then room for a counter, then the list, in which the
// tokens of a row are in order, and as much room again.
#pragma once

#include "backend/keys/operands.hpp"

namespace hesscore::kernels {

// For r < reps, t < n: y[r, t] (+)= row x[t] of w_r, of `columns` numbers; zeros where x[t] is
// `skip`, NaN where there is no such row.
struct Lookup {
  static constexpr std::string_view name = "lookup";
  struct Args {
    In w, x;
    Out y;
    std::int64_t n, rows, columns, skip = -1, reps = 1, stride_w = 0;
    HC_OPERANDS(w, x, y)
  };
};

inline constexpr std::int64_t embedding_group_size(std::int64_t rows, std::int64_t n) {
  return 2 * rows + 1 + 2 * n;
}

// Groups tokens by row; those that are `skip` or no row belong to none.
struct GroupTokens {
  static constexpr std::string_view name = "group_tokens";
  struct Args {
    In x;
    Out groups;
    std::int64_t n, rows, skip = -1;
    HC_OPERANDS(x, groups)
  };
};

// For r < reps: row j of w_r (+)= sum of y[r, t] over the tokens t of row j, in their order.
struct LookupTransposed {
  static constexpr std::string_view name = "lookup_transposed";
  struct Args {
    In y, groups;
    Out w;
    std::int64_t n, rows, columns, reps = 1, stride_w = 0;
    HC_OPERANDS(y, groups, w)
  };
};

// Row j of w (+)= scale * sum over reps and samples of ( sum of y[r, t] over the tokens t of row j
// in the sample )^2; a sample is `positions` tokens.
struct LookupSquares {
  static constexpr std::string_view name = "lookup_squares";
  struct Args {
    In y, groups;
    Out w;
    std::int64_t n, rows, columns, positions, reps = 1;
    double scale = 1;
    HC_OPERANDS(y, groups, w)
  };
};

// For s < samples: row j of w_s (+)= sum of y[s, t] over the tokens t with x[s, t] = j.
struct LookupPerSample {
  static constexpr std::string_view name = "lookup_per_sample";
  struct Args {
    In y, x;
    Out w;
    std::int64_t samples, positions, rows, columns, skip = -1, stride_w = 0;
    HC_OPERANDS(y, x, w)
  };
};

// norms[s] (+)= the sum of the squares of all that LookupPerSample would give for sample s.
struct LookupNorms {
  static constexpr std::string_view name = "lookup_norms";
  struct Args {
    In y, x;
    Out norms;
    std::int64_t samples, positions, rows, columns, skip = -1;
    HC_OPERANDS(y, x, norms)
  };
};

struct CopyTokens {  // for o < outer, i < inner: y[o * stride_y + i] = x[o * inner + i]
  static constexpr std::string_view name = "copy_tokens";
  struct Args {
    In x;
    Out y;
    std::int64_t outer, inner, stride_y;
    HC_OPERANDS(x, y)
  };
};

}  // namespace hesscore::kernels
