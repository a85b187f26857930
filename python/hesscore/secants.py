"""The inverse Hessian that differences of gradients tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from . import _check, _core

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReplicaReport(NamedTuple):
    """What `replica_inverse` found in the span of the pairs.

    Attributes
    ----------
    rank : int
        Of G, as far as it is kept.
    slope : float
        ``<P U'z, z>``, positive where the part of the result in the span of G ascends with z.
    eigenvalue : float
        The largest Ritz value of H in the span of W: at most the largest eigenvalue of H.
    """

    rank: int
    slope: float
    eigenvalue: float


def replica_inverse(
    W: Any, G: Any, z: Any, *, rtol: float = 1e-2
) -> tuple[NDArray[Any], ReplicaReport]:
    """Multiply z by the inverse Hessian that pairs G = W H tell; the rest of z stays as it is.

    Rows of W are steps, or parameters of replicas less their mean, and rows of G how the gradient
    changes along them (Arnold & Wang, "Accelerating SGD for distributed deep learning using
    approximated Hessian matrix"). From the eigenvectors v_i and eigenvalues s_i^2 of the Gram
    matrix ``G G'``, u_i = G'v_i / s_i and P_i = W'v_i / s_i, the result is ``z - U U'z + P U'z``,
    which is ``z + (W - G)' (G G')^+ G z``: ``H^-1 z`` on the span of G, exact up to rounding for an
    invertible H, and z on its complement. It is not symmetric unless the span is all. (The poster's
    formula needs square roots of the eigenvalues where it has the eigenvalues themselves, and a
    rank of M - 1 at most where it asks for M: centred pairs lose one.)

    Inner products are summed, and their M x M eigenproblem is solved, in float64, whatever the
    dtype; M^2 numbers come to the host. O(M^2 P) operations.

    Parameters
    ----------
    W, G : (M, P) arrays
        NumPy or CuPy, of z's dtype and on its device.
    z : (P,) array
        E.g. the gradient.
    rtol : float
        Singular values of G of at most this times the largest one are dropped, and likewise those
        of W for the eigenvalue. What is below the rounding of the Gram matrix always is.

    Returns
    -------
    x : (P,) array
    report : ReplicaReport

    Raises
    ------
    ShapeError, DTypeError, DeviceError, OptionError, NonFiniteError
        A bad argument; the exception names it.

    Examples
    --------
    >>> import numpy as np, hesscore as hc
    >>> H = np.diag([2.0, 4.0, 5.0])
    >>> W = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    >>> x, report = hc.replica_inverse(W, W @ H, np.ones(3))
    >>> x.round(6).tolist(), report.rank, round(report.eigenvalue, 6)
    ([0.5, 0.25, 1.0], 2, 4.0)
    """
    found: Any = _core.replica_inverse(W, G, z, _check.number("rtol", rtol))
    x, rank, slope, eigenvalue = found
    return x, ReplicaReport(rank, slope, eigenvalue)
