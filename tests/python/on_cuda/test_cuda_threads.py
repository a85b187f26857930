"""Threads that share the device and call back into Python do not wait for each other for ever."""

from __future__ import annotations

import gc
import threading

from device import close, make, to_device

import hesscore as hc


def test_threads_and_callbacks():
    f, args = make()
    expected = f.value_and_grad(args["w"], args["x"], args["y"])
    device = to_device(args)
    errors = []

    def guarded(work):
        def run():
            try:
                work()
            except BaseException as error:
                errors.append(error)

        return threading.Thread(target=run, daemon=True)

    def train():
        w = device["w"] * 1.0
        opt = hc.Optimizer(f, "adam", lr=lambda step: 1e-3 / (1 + step))
        opt.run(w, device["x"], device["y"], batch_size=2, epochs=3, progress=False,
                on_step=lambda info: f.loss(w, device["x"], device["y"]) < 0)  # fmt: skip

    def solve():
        G = f.ggn(device["w"], device["x"], device["y"])
        hc.cg(lambda v: G @ v + v, device["v"], maxiter=10)

    def evaluate():
        for _ in range(5):
            close(f.value_and_grad(device["w"], device["x"], device["y"]), expected)

    def make_and_drop():
        for _ in range(5):
            g, _ = make()
            g.loss(device["w"], device["x"], device["y"])
            del g
            gc.collect()

    threads = [guarded(work) for work in (train, solve, evaluate, make_and_drop, evaluate)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert not errors
