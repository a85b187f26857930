"""Data sets from where they are published, with pinned SHA-256 sums; by pooch, when asked for."""

from __future__ import annotations

import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._extras import require
from ._readers import BROKEN, DatasetError


@dataclass(frozen=True)
class Source:
    """Where the files of a data set are, and their sums."""

    url: str
    sums: dict[str, str]


# The sums are those that TensorFlow Datasets pins for the same addresses.
SOURCES = {
    "mnist": Source(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",  # noqa: E501
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",  # noqa: E501
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",  # noqa: E501
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",  # noqa: E501
        },
    ),
    "fashion_mnist": Source(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",  # noqa: E501
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",  # noqa: E501
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",  # noqa: E501
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",  # noqa: E501
        },
    ),
    "cifar10": Source(
        "https://www.cs.toronto.edu/~kriz/",
        {
            "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",  # noqa: E501
        },
    ),
    "tinyshakespeare": Source(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        {"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    ),
}
CIFAR = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")


def folder(name: str) -> Path:
    """Tell where a data set is kept once it has been downloaded."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "hesscore" / name


def kept(name: str) -> Path | None:
    """Return the folder of an earlier download; None where there was none, or it is not whole."""
    there = folder(name)
    names = CIFAR if name == "cifar10" else SOURCES[name].sums
    return there if all((there / file).is_file() for file in names) else None


def fetch(name: str) -> Path:
    """Download a data set, unless it was before, check its sums and return its folder.

    Raises
    ------
    MissingExtraError
        When pooch is not installed.
    DatasetError
        When the network or the server cannot be reached, or a file is not what it was.
    """
    if (there := kept(name)) is not None:
        return there
    pooch = require("pooch", "data")
    source, there = SOURCES[name], folder(name)
    registry = {file: f"sha256:{digest}" for file, digest in source.sums.items()}
    store = pooch.create(there, source.url, registry=registry, retry_if_failed=2)
    pooch.get_logger().setLevel("WARNING")
    for file in source.sums:
        try:
            path = store.fetch(file)
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"{name}: {source.url}{file} could not be downloaded: {error}; get it some other "
                f"way and put it into {there}, or pass its path"
            ) from error
        if file.endswith(".tar.gz"):
            _unpack(Path(path), there)
    return there


def _unpack(archive: Path, into: Path) -> None:
    """Take the six files of CIFAR-10's binary version, and nothing else, out of the archive."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in CIFAR:
                member: Any = tar.extractfile(f"cifar-10-batches-bin/{name}")
                with tempfile.NamedTemporaryFile(dir=into, delete=False) as part:
                    part.write(member.read())
                os.replace(part.name, into / name)
    except (*BROKEN, tarfile.TarError, AttributeError) as error:
        raise DatasetError(f"{archive} could not be unpacked: {error}") from error
