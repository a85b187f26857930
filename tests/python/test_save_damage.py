"""A checkpoint is the old one or the new one, and a damaged file is told from a good one."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import hesscore as hc

pytest.importorskip("safetensors")

from safetensors.numpy import save as to_bytes

from hesscore import _container


def model():
    net = hc.Sequential(hc.Linear(3, 4), hc.BatchNorm1d(4), hc.Tanh(), hc.Linear(4, 2))
    return hc.Objective(net, hc.CrossEntropyLoss([1.0, 2.0]))


@pytest.fixture
def saved(tmp_path):
    """The path of a checkpoint with everything in it."""
    f = model()
    w = f.init(seed=3)
    opt = hc.Optimizer(f, "adam", lr=0.1)
    opt.step(w, np.eye(3, dtype=np.float32), np.array([0, 1, 1]))
    path = tmp_path / "c.safetensors"
    hc.save(path, f, w, opt)
    return path


def refused(path, data=None):
    """The message with which a file is refused."""
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(hc.CheckpointError) as caught:
        hc.load(path)
    assert isinstance(caught.value, OSError) and caught.value.arg == "path"
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- damage --------------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed(saved):
    data, rng = saved.read_bytes(), np.random.default_rng(0)
    bits = {*range(0, 8 * len(data), 7), *rng.integers(0, 8 * len(data), 500).tolist()}
    for bit in sorted(bits):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(saved, damaged)
    saved.write_bytes(data)
    hc.load(saved)


def test_every_truncation_is_noticed(saved):
    data = saved.read_bytes()
    for length in range(0, len(data), 11):
        refused(saved, data[:length])
    assert "truncated" in refused(saved, data[:-1])
    assert "truncated" in refused(saved, data[:100])
    assert "damaged" in refused(saved, data + b"\0")
    assert "truncated" in refused(saved, b"")


def test_overwritten_and_swapped_parts_are_noticed(saved):
    data, rng = saved.read_bytes(), np.random.default_rng(1)
    for _ in range(200):
        a, b = sorted(rng.integers(0, len(data), 2).tolist())
        if data[a:b] != data[a:b][::-1]:
            refused(saved, data[:a] + data[a:b][::-1] + data[b:])


def rewritten(path, change, **tensors):
    """A file whose sum is right, but whose contents are not what `save` writes."""
    head, old = _container.read(str(path))
    del head["sha256"]
    change(head)
    changed = {k: v for k, v in {**old, **tensors}.items() if v is not None}
    _container.write(str(path), head, changed)
    return refused(path)


def put(*keys, to):
    def change(head):
        for key in keys[:-1]:
            head = head[key]
        head[keys[-1]] = to

    return change


CRAFTED = {
    "newer": put("format_version", to=2),
    "no version": put("format_version", to="1"),
    "dtype": put("dtype", to="float64"),
    "other dtype": put("dtype", to="object"),
    "no objective": put("objective", to=None),
    "a kind that is none": put("objective", "layers", 0, "kind", to="Nothing"),
    "a kind that is no layer": put("objective", "layers", 0, "kind", to="Builder"),
    "a base class": put("objective", "layers", 0, "kind", to="Layer"),
    "a hidden name": put("objective", "layers", 0, "kind", to="__builtins__"),
    "a loss as a layer": put("objective", "layers", 0, "kind", to="MSELoss"),
    "an unknown argument": put("objective", "layers", 0, "color", to=1),
    "a wrong argument": put("objective", "layers", 0, "in_features", to="x"),
    "a huge layer": put("objective", "layers", 0, "in_features", to=2**40),
    "a reference ahead": put("objective", "net", "layer", to=99),
    "a reference to itself": put("objective", "layers", 4, "layers", 0, "layer", to=4),
    "a reference to nothing": put("objective", "net", to={"nothing": 0}),
    "a negative momentum": put("objective", "layers", 1, "momentum", to=-3),
    "another class weight": put("objective", "loss", "weight", to=[1.0, -2.0]),
    "no state": put("optimizer", "scalars", to={}),
    "a state without steps": put("optimizer", "scalars", "step", to=0.5),
    "an unknown state": put("optimizer", "scalars", "phase", to=1.0),
    "other options": put("optimizer", "options", to=7),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_contents_that_fit_no_model_are_refused(saved, case):
    message = rewritten(saved, CRAFTED[case])
    if case == "newer":
        assert "is of format 2" in message and hc.__version__ in message


@pytest.mark.parametrize(
    "tensors",
    [
        {"0.weight": None},
        {"0.weight": np.zeros((3, 4), np.float32)},
        {"0.weight": np.zeros((4, 3))},
        {"0.weight": np.full((4, 3), np.nan, np.float32)},
        {"1.running_mean": None},
        {"1.running_mean": np.zeros(4, np.float32)},
        {"1.running_mean": np.full(4, np.inf)},
        {"more": np.zeros(3)},
        {"optimizer/m": None},
        {"optimizer/m": np.zeros(5)},
        {"optimizer/u": np.full(34, -1.0)},
        {"optimizer/more": np.zeros(3)},
    ],
    ids=lambda t: f"{next(iter(t))} {np.shape(t[next(iter(t))])}",
)
def test_tensors_that_fit_no_model_are_refused(saved, tensors):
    rewritten(saved, lambda head: None, **tensors)


def test_other_files_are_refused(saved, tmp_path):
    data, path = saved.read_bytes(), tmp_path / "other"
    assert "is no checkpoint" in refused(path, b"PK\x03\x04" * 100)
    assert "is no checkpoint" in refused(path, to_bytes({"a": np.zeros(3)}))
    assert "is no checkpoint" in refused(path, to_bytes({"a": np.zeros(3)}, {"hesscore": "7"}))
    assert "is no checkpoint" in refused(path, (2).to_bytes(8, "little") + b"[]")
    assert "is no checkpoint" in refused(path, (9999).to_bytes(8, "little") + b"[" * 9999)
    assert "a name comes twice" in refused(path, data.replace(b'"0.bias"', b'"3.bias"'))
    assert "cannot be read" in refused(tmp_path)
    assert "No such file" in refused(tmp_path / "nothing")
    with pytest.raises(hc.CheckpointError, match="null byte"):
        hc.load(f"{tmp_path}/a\0b")
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")


def test_a_header_of_half_a_terabyte_takes_no_memory(tmp_path):
    (tmp_path / "c").write_bytes((2**39).to_bytes(8, "little") + b"{}")
    refused(tmp_path / "c")
    refused(tmp_path / "c", (10**8).to_bytes(8, "little") + b"{}")


# ---- interrupted writes --------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EXDEV])
@pytest.mark.parametrize("call", ["open", "fchmod", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(saved, monkeypatch, call, code):
    old = saved.read_bytes()

    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(f"hesscore._files.os.{call}", fail)
    f = model()
    with pytest.raises(hc.CheckpointError, match=os.strerror(code)):
        hc.save(saved, f, f.init())
    monkeypatch.undo()
    assert saved.read_bytes() == old
    assert os.listdir(saved.parent) == [saved.name]


def test_ctrl_c_within_a_write_leaves_the_old_file(saved, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("hesscore._files.os.fsync", interrupt)
    old, f = saved.read_bytes(), model()
    with pytest.raises(KeyboardInterrupt):
        hc.save(saved, f, f.init())
    assert saved.read_bytes() == old
    assert os.listdir(saved.parent) == [saved.name]


def test_a_full_disk_leaves_the_old_file(saved):
    """The kernel itself stops the write after some bytes."""
    f = hc.Objective(hc.Linear(100, 100), hc.MSELoss())
    old, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(hc.CheckpointError, match="too large"):
            hc.save(saved, f, f.init())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert saved.read_bytes() == old
    assert os.listdir(saved.parent) == [saved.name]


CALLS = ("open", "fchmod", "fsync", "replace", "close")


def child_that_ends(path, f, w, call, after):
    """Save in a child that ends, without any clearing up, before or behind a call of the system."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        real = getattr(os, call)

        def end(*arguments, **options):
            if after:
                real(*arguments, **options)
            os._exit(7)

        setattr(os, call, end)
        hc.save(path, f, w)
    finally:
        os._exit(1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("call", CALLS)
def test_a_crash_at_any_call_leaves_the_old_or_the_new_file(saved, call, after):
    f = hc.Objective(hc.Linear(30, 30), hc.MSELoss())
    w, old = f.init(seed=9), hc.load(saved).w
    assert child_that_ends(saved, f, w, call, after) == 7
    now = hc.load(saved).w
    renamed = call == "close" or (call == "replace" and after)
    assert np.array_equal(now, w if renamed else old)


def test_the_order_of_calls_lets_no_power_failure_through(saved, monkeypatch):
    """The contents are on the disk before the name is, and the name before `save` returns."""
    seen = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)

        def note(*arguments, real=real, call=call):
            target = os.readlink(f"/proc/self/fd/{arguments[0]}") if call == "fsync" else ""
            seen.append((call, os.path.isdir(target)))
            return real(*arguments)

        monkeypatch.setattr(f"hesscore._files.os.{call}", note)
    f = model()
    hc.save(saved, f, f.init())
    assert seen == [("fsync", False), ("replace", False), ("fsync", True)]


KILLED = """
import sys, hesscore as hc
f = hc.Objective(hc.Linear(300, 300), hc.MSELoss())
w = f.init()
for k in range(10**9):
    w[:] = k
    hc.save(sys.argv[1], f, w)
    if k == 0:
        print("ready", flush=True)
"""


def test_killed_at_any_moment(tmp_path):
    path, rng = tmp_path / "c", np.random.default_rng()
    for _ in range(12):
        command = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.02))
            child.kill()
        w = hc.load(path).w
        assert (w == w[0]).all()


# ---- what is around the file ---------------------------------------------------------------------


def test_permissions_and_links_are_kept(saved, tmp_path):
    f, link = model(), tmp_path / "link"
    saved.chmod(0o640)
    link.symlink_to(saved)
    hc.save(link, f, f.init(seed=8))
    assert link.is_symlink() and saved.stat().st_mode & 0o777 == 0o640
    assert np.array_equal(hc.load(saved).w, f.init(seed=8))
    mask = os.umask(0o027)
    try:
        hc.save(tmp_path / "new", f, f.init())
    finally:
        os.umask(mask)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_what_is_no_file_is_not_replaced(tmp_path):
    f = model()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "no" / "folder", f"{tmp_path}/a\0b"):
        with pytest.raises(hc.CheckpointError):
            hc.save(path, f, f.init())
    assert os.listdir(tmp_path) == ["pipe"]


def test_readers_beside_a_writer_see_whole_files(tmp_path):
    f, path, done = model(), tmp_path / "c", threading.Event()
    hc.save(path, f, f.init())

    def write():
        for k in range(100):
            hc.save(path, f, np.full(f.num_params, k, np.float32))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        hc.load(path)
    writer.join()
    assert (hc.load(path).w == 99).all()
