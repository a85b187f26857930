"""Small, well-known data sets as NumPy arrays. Nothing is unpickled.

A data set is read from its `path`, or from the folder that the environment variable HESSCORE_DATA
names. Nothing is downloaded but with ``download=True``: then from where it is published, with
pooch (the extra "data"), pinned SHA-256 sums, and once, into ``~/.cache/hesscore``.

Images are float32 in [0, 1] of shape ``(N, C, H, W)``; labels are int64 of shape ``(N,)``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import _readers
from ._extras import MissingExtraError, require
from ._readers import DatasetError

__all__ = [
    "Dataset",
    "DatasetError",
    "MissingExtraError",
    "Text",
    "cifar10",
    "digits",
    "fashion_mnist",
    "mnist",
    "tinyshakespeare",
]

PathLike = str | os.PathLike[str] | None


@dataclass(frozen=True)
class Dataset:
    """Images and labels, split into a training and a test part.

    Attributes
    ----------
    name : str
    x_train, x_test : float32, (N, C, H, W)
        Pixels in [0, 1].
    y_train, y_test : int64, (N,)
        Classes, counted from 0.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image, as ``hc.Objective`` takes it."""
        return self.x_train.shape[1:]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return int(self.y_train.max()) + 1

    def head(self, count: int) -> Dataset:
        """Return the same data with only the first `count` training samples."""
        return replace(self, x_train=self.x_train[:count], y_train=self.y_train[:count])

    def __repr__(self) -> str:
        return (
            f"Dataset({self.name!r}, {len(self.x_train)} training and {len(self.x_test)} test "
            f"images of shape {self.input_shape})"
        )


@dataclass(frozen=True)
class Text:
    """A text as numbers of its characters, split into a training and a test part.

    Attributes
    ----------
    name : str
    alphabet : str
        Every character that occurs, sorted; number k stands for ``alphabet[k]``.
    train, test : int64, (N,)
    """

    name: str
    alphabet: str
    train: NDArray[np.int64]
    test: NDArray[np.int64]

    def decode(self, numbers: NDArray[np.integer]) -> str:
        """Return the text that the numbers stand for."""
        return "".join(self.alphabet[k] for k in numbers)


def digits() -> Dataset:
    """Load the digits of 8 x 8 pixels that come with scikit-learn: 1438 to train, 359 to test.

    Every fifth sample is in the test part.

    Raises
    ------
    MissingExtraError
        When scikit-learn is not installed.

    References
    ----------
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI, 1998.

    Examples
    --------
    >>> import hesscore as hc
    >>> hc.datasets.digits()
    Dataset('digits', 1438 training and 359 test images of shape (1, 8, 8))
    """
    pixels, labels = require("sklearn.datasets").load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    y = labels.astype(np.int64)
    test = np.arange(len(y)) % 5 == 4
    return Dataset("digits", x[~test], y[~test], x[test], y[test])


def mnist(path: PathLike = None, download: bool = False) -> Dataset:
    """Load MNIST: handwritten digits, 28 x 28 pixels, 60000 to train and 10000 to test.

    Parameters
    ----------
    path : path
        A NumPy archive with ``x_train, y_train, x_test, y_test`` (uint8), a folder with the four
        IDX files of the original distribution, ``.gz`` or not, or one of those files; or a folder
        with ``mnist.npz`` or a folder ``mnist`` of such files. By default HESSCORE_DATA.
    download : bool
        Get it from the network when it is not there.

    Raises
    ------
    DatasetError
        When there is nothing at `path` or it is not such a file, or a download fails.
    MissingExtraError
        When pooch is needed and not installed.
    """
    return _idx_or_npz("mnist", path, download)


def fashion_mnist(path: PathLike = None, download: bool = False) -> Dataset:
    """Load Fashion-MNIST: clothes, 28 x 28 pixels, in the same formats as `mnist`.

    Raises
    ------
    DatasetError
        When there is nothing at `path` or it is not such a file, or a download fails.
    MissingExtraError
        When pooch is needed and not installed.
    """
    return _idx_or_npz("fashion_mnist", path, download)


def cifar10(path: PathLike = None, download: bool = False) -> Dataset:
    """Load CIFAR-10: photographs of ten kinds of things, 32 x 32 pixels in three colours.

    Parameters
    ----------
    path : path
        A NumPy archive with ``x_train, y_train, x_test, y_test`` (uint8; images with the colours
        first or last), or the folder of the binary version (``data_batch_1.bin``, ...); or a
        folder with ``cifar10.npz``, ``cifar10_subset.npz`` or a folder ``cifar-10-batches-bin``.
        By default HESSCORE_DATA.
    download : bool
        Get it from the network when it is not there: 170 MB.

    Raises
    ------
    DatasetError
        When there is nothing at `path` or it is not such a file, or a download fails.
    MissingExtraError
        When pooch is needed and not installed.
    """
    source = "CIFAR-10's binary version, or an .npz archive of it,"
    files = "cifar10.npz", "cifar10_subset.npz", "cifar-10-batches-bin"
    found = _readers.find(path, "cifar10", files, "*.bin", source, download)
    if found.is_dir():
        return _images("cifar10", found, _readers.cifar_binary(found), (3, 32, 32))
    arrays = _readers.npz(found, _KEYS)
    for k in (0, 2):
        if arrays[k].ndim == 4 and arrays[k].shape[3] == 3:
            arrays[k] = arrays[k].transpose(0, 3, 1, 2)
    return _images("cifar10", found, arrays, (3, 32, 32))


def tinyshakespeare(path: PathLike = None, download: bool = False) -> Text:
    """Load a megabyte of Shakespeare's plays; the last tenth is the test part.

    Parameters
    ----------
    path : path
        A plain text file in UTF-8, or a folder with ``tinyshakespeare.txt``. By default
        HESSCORE_DATA.
    download : bool
        Get it from the network when it is not there.

    Raises
    ------
    DatasetError
        When there is nothing at `path`, or it is empty or not UTF-8, or a download fails.
    MissingExtraError
        When pooch is needed and not installed.
    """
    files = "tinyshakespeare.txt", "input.txt", "tinyshakespeare/input.txt"
    source = "the text file tinyshakespeare.txt"
    found = _readers.find(path, "tinyshakespeare", files, "", source, download)
    try:
        text = found.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{found} is not a readable UTF-8 text: {error}") from error
    if not text:
        raise DatasetError(f"{found} is empty")
    alphabet, numbers = np.unique(np.array(list(text)), return_inverse=True)
    numbers = numbers.astype(np.int64)
    split = len(numbers) * 9 // 10
    return Text("tinyshakespeare", "".join(alphabet), numbers[:split], numbers[split:])


_KEYS = ("x_train", "y_train", "x_test", "y_test")


def _idx_or_npz(name: str, path: PathLike, download: bool) -> Dataset:
    source = f"{name}.npz or the four IDX files (train-images-idx3-ubyte.gz, ...)"
    found = _readers.find(path, name, (f"{name}.npz", name), "*-ubyte*", source, download)
    if found.is_dir():
        arrays = _readers.idx_folder(found)
    elif "ubyte" in found.name:
        arrays = _readers.idx_folder(found.parent)
    else:
        arrays = _readers.npz(found, _KEYS)
    for k in (0, 2):
        if arrays[k].ndim == 3:
            arrays[k] = arrays[k][:, None]
    return _images(name, found, arrays, (1, 28, 28))


def _images(name: str, path: Path, arrays: list[NDArray], shape: tuple[int, ...]) -> Dataset:
    """Check four arrays of bytes and scale the images to [0, 1]."""
    for key, array in zip(_KEYS, arrays, strict=True):
        want = shape if key.startswith("x") else ()
        if array.dtype.kind not in "iu" or array.shape[1:] != want or not len(array):
            raise DatasetError(
                f"{path}: {key} should be integers of shape {('N', *want)}, "
                f"got {array.dtype} of shape {array.shape}"
            )
        if array.min() < 0 or array.max() > (255 if want else 9):
            raise DatasetError(f"{path}: {key} has values outside 0..{255 if want else 9}")
    x_train, y_train, x_test, y_test = arrays
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(x) != len(y):
            raise DatasetError(f"{path}: {len(x)} images but {len(y)} labels in {part}")
    scale = np.float32(1 / 255)
    return Dataset(
        name,
        np.multiply(x_train, scale, dtype=np.float32, order="C"),
        y_train.astype(np.int64),
        np.multiply(x_test, scale, dtype=np.float32, order="C"),
        y_test.astype(np.int64),
    )
