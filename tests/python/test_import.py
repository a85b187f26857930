"""What `import hesscore` costs and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json, sys, time
import numpy
before = set(sys.modules)
start = time.perf_counter(), time.process_time()
import hesscore
seconds = time.perf_counter() - start[0], time.process_time() - start[1]
print(json.dumps({"seconds": min(seconds), "modules": sorted(set(sys.modules) - before)}))
"""

SLOW = {"scipy", "matplotlib", "tqdm", "sklearn", "jax", "torch", "cupy", "argparse"}
NETWORK = {"socket", "ssl", "urllib", "http", "requests", "ftplib", "asyncio"}
UNSAFE = {"pickle", "marshal", "joblib", "dill", "cloudpickle"}


def fresh_import() -> dict:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_import_adds_no_slow_network_or_unsafe_module():
    added = {name.partition(".")[0] for name in fresh_import()["modules"]}
    assert added.isdisjoint(SLOW | NETWORK | UNSAFE)


def test_import_takes_little_time():
    fresh_import()  # compiles the bytecode
    assert min(fresh_import()["seconds"] for _ in range(3)) < 0.1


def test_lazy_names_load_on_first_use():
    script = "import hesscore as hc; hc.identity(3); hc.testing.check_derivatives; print(dir(hc))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "'plot'" in run.stdout
    assert "'datasets'" in run.stdout


def test_nothing_leaks_at_exit():
    script = """
import numpy as np, hesscore as hc
f = hc.Objective(hc.Linear(2, 1), hc.MSELoss())
w, x, y = f.init(), np.ones((1, 2), np.float32), np.ones((1, 1), np.float32)
opt = hc.Optimizer(f, "adam", lr=lambda step: 0.1)
opt.step(w, x, y)
operator = f.ggn(w, x, y)
try:
    f.loss(w, w, y)
except hc.Error as error:
    kept = error
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "leaked" not in run.stderr
