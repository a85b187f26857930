// The kernel keys: everything a backend implements. `T` is the plan's dtype; arrays are dense and
// row-major; every `Out` honours `accumulate`. `operands()` lists the arrays so that a plan can
// read liveness off the call. "rep" counts stacked tangents or columns that share the values x.
#pragma once

#include "backend/keys/columns.hpp"
#include "backend/keys/conjugate_gradients.hpp"
#include "backend/keys/convolutions.hpp"
#include "backend/keys/embeddings.hpp"
#include "backend/keys/factorisations.hpp"
#include "backend/keys/kronecker.hpp"
#include "backend/keys/losses.hpp"
#include "backend/keys/maps.hpp"
#include "backend/keys/moments.hpp"
#include "backend/keys/norms.hpp"
#include "backend/keys/plumbing.hpp"
#include "backend/keys/pooling.hpp"
#include "backend/keys/products.hpp"
#include "backend/keys/vectors.hpp"
