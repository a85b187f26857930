// Everything: `#include <hesscore/hesscore.hpp>`.
#pragma once

#include "hesscore/checks.hpp"
#include "hesscore/core.hpp"
#include "hesscore/curvature.hpp"
#include "hesscore/device.hpp"
#include "hesscore/graph.hpp"
#include "hesscore/kronecker.hpp"
#include "hesscore/linear_operator.hpp"
#include "hesscore/objective.hpp"
#include "hesscore/operators.hpp"
#include "hesscore/optim.hpp"
#include "hesscore/probes.hpp"
#include "hesscore/solve.hpp"
#include "hesscore/vector.hpp"
