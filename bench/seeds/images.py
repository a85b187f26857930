"""Images as the papers' experiments read them: normalised, on the device, flat or pooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hesscore import datasets

from .settings import Settings

MNIST = 0.1307, 0.3081  # mean and deviation of the training pixels
HALF = 0.5, 0.5
CIFAR = (
    np.array([0.4914, 0.4822, 0.4465], np.float32)[:, None, None],
    np.array([0.2470, 0.2435, 0.2616], np.float32)[:, None, None],
)


@dataclass(frozen=True)
class Images:
    """Images and labels of a training and a test part, arrays of the device."""

    x: Any
    y: Any
    x_test: Any
    y_test: Any


def mnist(
    settings: Settings, dtype: str = "float32", scale: tuple[Any, Any] = MNIST, pool: int = 1,
    head: int | None = None, flat: bool = True,
) -> Images:  # fmt: skip
    """Load MNIST, averaged over windows of `pool` pixels; the first `head` images to train on."""
    data = datasets.mnist(settings.data, settings.download)
    return _prepare(settings, data, dtype, scale, pool, head, flat)


def cifar10(
    settings: Settings, dtype: str = "float32", pool: int = 1, head: int | None = None,
) -> Images:  # fmt: skip
    """Load CIFAR-10 or what part of it there is, with each colour normalised."""
    data = datasets.cifar10(settings.data, settings.download)
    return _prepare(settings, data, dtype, CIFAR, pool, head, False)


def accuracy(f: Any, w: Any, images: Images, rows: int = 2000) -> float:
    """Tell the part of the test images that are classified rightly."""
    right = 0.0
    for k in range(0, len(images.y_test), rows):
        z = f.predict(w, images.x_test[k : k + rows])
        right += float((z.argmax(axis=1) == images.y_test[k : k + rows]).sum())
    return right / len(images.y_test)


def _prepare(
    settings: Settings, data: datasets.Dataset, dtype: str, scale: tuple[Any, Any], pool: int,
    head: int | None, flat: bool,
) -> Images:  # fmt: skip
    mean, deviation = scale

    def ready(x: np.ndarray) -> Any:
        if pool > 1:
            n, c, h, w = x.shape
            x = x.reshape(n, c, h // pool, pool, w // pool, pool).mean(axis=(3, 5))
        x = ((x - mean) / deviation).astype(dtype)
        return settings.put(x.reshape(len(x), -1) if flat else x)

    return Images(
        ready(data.x_train[:head]),
        settings.put(data.y_train[:head]),
        ready(data.x_test),
        settings.put(data.y_test),
    )
