"""The buffers of an objective: running statistics, which are no parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._evaluations import Train
from .errors import ShapeError, StateError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Buffers:
    """The part of `Objective` that keeps running statistics."""

    _graph: _core.Graph
    _core: _core.Objective

    @property
    def buffers(self) -> dict[str, NDArray[np.float64]]:
        """Copies of the running statistics of batch normalisation: name -> float64 array.

        Evaluations read them, and change nothing. A training step of an optimizer moves them once,
        when it is accepted, by the statistics of its batch; a step that fails leaves them as they
        were. They belong to the objective: save them beside `w` and the optimizer's state.

        Assigning a dict loads those that it names, after all names, shapes and values are checked.

        Raises
        ------
        StateError, ShapeError
            On assignment: an unknown name, another shape, or a value that is not finite.
        """
        values = self._core.buffers()
        return {
            name: np.array(values[name], np.float64).reshape(shape)
            for name, shape in self._graph.buffers
        }

    @buffers.setter
    def buffers(self, values: Mapping[str, Any]) -> None:
        shapes = dict(self._graph.buffers)
        flat = {}
        for name, value in values.items():
            if name not in shapes:
                known = ", ".join(shapes) or "nothing, for there are no buffers"
                raise StateError.about("buffers", f"names among {known}", repr(name))
            array = np.asarray(value, np.float64)
            if array.shape != shapes[name]:
                raise ShapeError.about(f"buffers[{name!r}]", str(shapes[name]), array.shape)
            flat[name] = array.ravel().tolist()
        self._core.load_buffers(flat)

    def update_buffers(self, w: Any, x: Any, *, train: Train = True) -> None:
        """Move the running statistics once by those of the samples `x`, as a training step would.

        For training loops of your own; the optimizers do it themselves.

        Parameters
        ----------
        w : (P,) array
        x : (N, ...) array, or dict of them
        train : True or (seed, step)

        Examples
        --------
        >>> import numpy as np
        >>> import hesscore as hc
        >>> net = hc.Sequential(hc.BatchNorm1d(2, momentum=0.5), hc.Linear(2, 1))
        >>> f = hc.Objective(net, hc.MSELoss(), input_shape=(2,))
        >>> f.update_buffers(f.init(), np.array([[0.0, 4.0], [2.0, 4.0]], np.float32))
        >>> f.buffers["0.running_mean"]
        array([0.5, 2. ])
        """
        self._core.update_buffers(w, x, train)
