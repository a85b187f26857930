"""Data sets: what they hold, and what is said when a file is missing, damaged or hostile."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import pickle
import sys
import tarfile
import threading

import numpy as np
import pytest

import hesscore as hc
from hesscore import _downloads, datasets
from hesscore.datasets import DatasetError, MissingExtraError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_earlier_download(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def small(shape=(28, 28), n_train=7, n_test=3):
    return {
        "x_train": RNG.integers(0, 256, (n_train, *shape), dtype=np.uint8),
        "y_train": RNG.integers(0, 10, n_train, dtype=np.uint8),
        "x_test": RNG.integers(0, 256, (n_test, *shape), dtype=np.uint8),
        "y_test": RNG.integers(0, 10, n_test, dtype=np.uint8),
    }


def write_npz(path, arrays):
    np.savez(path, **arrays)
    return path


def idx_bytes(array):
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def write_idx(folder, arrays, gz=False, dot="-"):
    for part, key in (("train", "train"), ("t10k", "test")):
        for kind, name in (("images", "x"), ("labels", "y")):
            array = arrays[f"{name}_{key}"]
            data = idx_bytes(array)
            path = folder / f"{part}-{kind}{dot}idx{array.ndim}-ubyte{'.gz' * gz}"
            path.write_bytes(gzip.compress(data) if gz else data)
    return folder


def check_images(data, arrays, shape):
    assert data.input_shape == shape
    for part in ("train", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        assert y.dtype == np.int64
        expected = arrays[f"x_{part}"].reshape(x.shape)
        np.testing.assert_array_equal(np.rint(x * 255), expected)
        np.testing.assert_array_equal(y, arrays[f"y_{part}"])
        assert 0 <= x.min() <= x.max() <= 1


def test_digits():
    pytest.importorskip("sklearn")
    data = hc.datasets.digits()
    assert (data.name, data.input_shape, data.num_classes) == ("digits", (1, 8, 8), 10)
    assert data.x_train.shape == (1438, 1, 8, 8)
    assert data.x_test.shape == (359, 1, 8, 8)
    assert data.x_train.dtype == np.float32
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert set(data.y_test) == set(range(10))
    again = hc.datasets.digits()
    np.testing.assert_array_equal(data.x_test, again.x_test)
    assert len(data.head(100).x_train) == len(data.head(100).y_train) == 100


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*pip install \"hesscore\[demo\]\""):
        hc.datasets.digits()


@pytest.mark.parametrize("load", [datasets.mnist, datasets.fashion_mnist])
def test_npz(tmp_path, load):
    arrays = small()
    data = load(write_npz(tmp_path / "a.npz", arrays))
    check_images(data, arrays, (1, 28, 28))
    assert data.name == load.__name__


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_idx_folder_or_file(tmp_path, gz, dot):
    arrays = small()
    write_idx(tmp_path, arrays, gz, dot)
    check_images(datasets.mnist(tmp_path), arrays, (1, 28, 28))
    one = next(tmp_path.glob("train-images*"))
    check_images(datasets.mnist(str(one)), arrays, (1, 28, 28))


@pytest.mark.parametrize("first", [False, True])
def test_cifar_npz(tmp_path, first):
    arrays = small((32, 32, 3))
    expected = {k: np.moveaxis(v, 3, 1) if v.ndim == 4 else v for k, v in arrays.items()}
    path = write_npz(tmp_path / "c.npz", expected if first else arrays)
    check_images(datasets.cifar10(path), expected, (3, 32, 32))


def test_cifar_binary(tmp_path):
    arrays = small((3, 32, 32), n_train=10, n_test=2)

    def records(x, y):
        return np.concatenate([y[:, None], x.reshape(len(x), -1)], axis=1).tobytes()

    for k in range(5):
        part = slice(2 * k, 2 * k + 2)
        path = tmp_path / f"data_batch_{k + 1}.bin"
        path.write_bytes(records(arrays["x_train"][part], arrays["y_train"][part]))
    (tmp_path / "test_batch.bin").write_bytes(records(arrays["x_test"], arrays["y_test"]))
    check_images(datasets.cifar10(tmp_path), arrays, (3, 32, 32))
    (tmp_path / "data_batch_3.bin").write_bytes(b"short")
    with pytest.raises(DatasetError, match="3073"):
        datasets.cifar10(tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DatasetError, match="binary version"):
        datasets.cifar10(tmp_path)


def test_tinyshakespeare(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("to be, or not to be — that is\n" * 10, encoding="utf-8")
    text = datasets.tinyshakespeare(path)
    joined = np.concatenate([text.train, text.test])
    assert text.decode(joined) == path.read_text(encoding="utf-8")
    assert len(text.test) == len(joined) // 10
    assert text.train.dtype == np.int64
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DatasetError, match="UTF-8"):
        datasets.tinyshakespeare(path)
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match="empty"):
        datasets.tinyshakespeare(path)


LOADERS = [datasets.mnist, datasets.fashion_mnist, datasets.cifar10, datasets.tinyshakespeare]


@pytest.mark.parametrize("load", LOADERS)
def test_missing(tmp_path, load, monkeypatch):
    with pytest.raises(DatasetError, match=r"Get .* and pass its path, or put .* HESSCORE_DATA"):
        load(tmp_path / "absent.npz")
    monkeypatch.delenv("HESSCORE_DATA", raising=False)
    with pytest.raises(DatasetError, match=r"HESSCORE_DATA is not set; .* has no earlier download"):
        load()
    with pytest.raises(OSError, match="absent"):  # what a Python user would catch
        load(tmp_path / "absent.npz")
    assert issubclass(DatasetError, hc.Error)


def test_folders(tmp_path, monkeypatch):
    arrays = small()
    write_npz(tmp_path / "mnist.npz", arrays)
    (tmp_path / "fashion_mnist").mkdir()
    write_idx(tmp_path / "fashion_mnist", arrays, gz=True)
    (tmp_path / "tinyshakespeare.txt").write_text("to be\n" * 5)
    for load in (datasets.mnist, datasets.fashion_mnist):
        check_images(load(tmp_path), arrays, (1, 28, 28))
    monkeypatch.setenv("HESSCORE_DATA", str(tmp_path))
    for load in (datasets.mnist, datasets.fashion_mnist):
        check_images(load(), arrays, (1, 28, 28))
    assert datasets.tinyshakespeare().alphabet == "\n beot"
    with pytest.raises(
        DatasetError, match=r"cifar10 was not found: HESSCORE_DATA: .* has none of cifar10.npz"
    ):
        datasets.cifar10()
    monkeypatch.setenv("HESSCORE_DATA", str(tmp_path / "absent"))
    with pytest.raises(DatasetError, match=r"HESSCORE_DATA: there is no file or folder .*absent"):
        datasets.mnist()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine that publishes small data sets under the sources' names."""
    pytest.importorskip("pooch")
    monkeypatch.delenv("HESSCORE_DATA", raising=False)
    site = tmp_path / "site"
    for name in _downloads.SOURCES:
        (site / name).mkdir(parents=True)
    write_idx(site / "mnist", small(), gz=True)
    (site / "tinyshakespeare" / "input.txt").write_text("to be\n" * 5)
    cifar = io.BytesIO()
    with tarfile.open(fileobj=cifar, mode="w:gz") as tar:
        for name in (*_downloads.CIFAR, "../../escaped.bin", "readme.html"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = 2 * 3073
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    (site / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(cifar.getvalue())
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}/"
    for name in _downloads.SOURCES:
        sums = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in (site / name).iterdir()
        } or {"absent.gz": "0" * 64}
        source = _downloads.Source(f"{url}{name}/", sums)
        monkeypatch.setitem(_downloads.SOURCES, name, source)
    yield site
    web.shutdown()
    web.server_close()


def test_downloads(server, tmp_path):
    with pytest.raises(DatasetError, match=r"mnist was not found.*download=True"):
        datasets.mnist()
    assert datasets.mnist(download=True).x_train.shape == (7, 1, 28, 28)
    assert datasets.tinyshakespeare(download=True).alphabet == "\n beot"
    assert datasets.cifar10(download=True).x_train.shape == (10, 3, 32, 32)
    kept = tmp_path / "cache" / "hesscore"
    assert {p.name for p in (kept / "cifar10").iterdir()} == {
        *_downloads.CIFAR, "cifar-10-binary.tar.gz"
    }  # fmt: skip
    assert not list(tmp_path.rglob("escaped*"))
    for file in (server / "mnist").iterdir():  # what was downloaded is found without the network
        file.unlink()
    assert datasets.mnist().x_train.shape == (7, 1, 28, 28)
    assert datasets.mnist(download=True).x_test.shape == (3, 1, 28, 28)


def test_a_download_that_is_not_what_it_was(server):
    path = server / "tinyshakespeare" / "input.txt"
    path.write_text(path.read_text() + "!")
    with pytest.raises(DatasetError, match=r"could not be downloaded.*hash"):
        datasets.tinyshakespeare(download=True)
    with pytest.raises(DatasetError, match="was not found"):
        datasets.tinyshakespeare()


def test_no_network_no_pooch(server, monkeypatch):
    with pytest.raises(DatasetError, match=r"absent.gz could not be downloaded.*404"):
        datasets.fashion_mnist(download=True)
    source = _downloads.Source("http://127.0.0.1:9/", {"input.txt": "0" * 64})
    monkeypatch.setitem(_downloads.SOURCES, "tinyshakespeare", source)
    with pytest.raises(DatasetError, match=r"127.0.0.1:9/input.txt could not be downloaded"):
        datasets.tinyshakespeare(download=True)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"pooch.*hesscore\[data\]"):
        datasets.tinyshakespeare(download=True)


def test_pinned_sums():
    for source in _downloads.SOURCES.values():
        assert source.url.endswith("/")
        assert all(len(bytes.fromhex(digest)) == 32 for digest in source.sums.values())


def test_the_text_beside_the_repository_has_the_pinned_sum(data_folder):
    content = (data_folder / "tinyshakespeare.txt").read_bytes()
    (pinned,) = _downloads.SOURCES["tinyshakespeare"].sums.values()
    assert hashlib.sha256(content).hexdigest() == pinned


class Hostile:
    """Unpickling it would be noticed."""

    def __reduce__(self):
        return (pytest.fail, ("the file was unpickled",))


def object_npz(path):
    arrays = small()
    arrays["y_train"] = np.array([Hostile()] * 7, dtype=object)
    np.savez(path, **arrays)


def damaged_npz(path):
    write_npz(path, small())
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


def npy_not_npz(path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    path.write_bytes(buffer.getvalue())


BAD_FILES = {
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_text("not an archive"),
    "pickle": lambda p: p.write_bytes(pickle.dumps(Hostile())),
    "objects": object_npz,
    "damaged": damaged_npz,
    "truncated": lambda p: (write_npz(p, small()), p.write_bytes(p.read_bytes()[:500])),
    "one array": npy_not_npz,
    "missing key": lambda p: np.savez(p, x_train=np.zeros((1, 28, 28), np.uint8)),
    "floats": lambda p: write_npz(p, {k: v.astype(float) for k, v in small().items()}),
    "shape": lambda p: write_npz(p, small((5, 5))),
    "lengths": lambda p: write_npz(p, small() | {"y_train": np.zeros(6, np.uint8)}),
    "labels": lambda p: write_npz(p, small() | {"y_test": np.full(3, 10, np.uint8)}),
    "none": lambda p: write_npz(p, small(n_test=0)),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("load", [datasets.mnist, datasets.cifar10])
def test_bad_npz(tmp_path, kind, load):
    path = tmp_path / "bad.npz"
    BAD_FILES[kind](path)
    with pytest.raises(DatasetError, match="bad"):
        load(path)


@pytest.mark.parametrize("gz", [False, True])
def test_bad_idx(tmp_path, gz):
    write_idx(tmp_path, small(), gz)
    images = next(tmp_path.glob("train-images*"))
    whole = gzip.decompress(images.read_bytes()) if gz else images.read_bytes()

    def refused(data, match):
        images.write_bytes(gzip.compress(data) if gz else data)
        with pytest.raises(DatasetError, match=match):
            datasets.mnist(tmp_path)

    refused(whole[:-1], "cut short")
    refused(whole + b"x", "longer")
    refused(whole[:9], "not an IDX file")
    refused(b"\0\0\x0d\x03" + whole[4:], "not an IDX file")
    refused(whole[:4] + b"\xff" * 12 + whole[16:], "cut short")
    if gz:
        images.write_bytes(gzip.compress(whole)[:-20])
        with pytest.raises(DatasetError, match="could not be read"):
            datasets.mnist(tmp_path)
    images.unlink()
    with pytest.raises(DatasetError, match="has no train-images"):
        datasets.mnist(tmp_path)
