"""The examples run as they are, and show what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hesscore as hc

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parents[2] / "python" / "examples"


def output(name, folder):
    """What an example prints, run in `folder`."""
    package = Path(hc.__file__).parents[1]
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=folder,
        env=environment,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(pattern, text):
    return [float(n) for n in re.findall(pattern + r"\D*?(-?\d+\.\d+)", text)]


def test_train(tmp_path):
    right = numbers("test accuracy", output("train", tmp_path))
    assert len(right) == 2 and min(right) > 0.9


def test_diagnose(tmp_path):
    text = output("diagnose", tmp_path)
    assert (tmp_path / "diagnose.png").stat().st_size > 10_000
    assert re.search(r"4.bias .* not Gauss-Newton +0.000e\+00", text)  # exact in the last layer
    assert not re.search(r"0.weight .* not Gauss-Newton +0.000e\+00", text)


def test_prune(tmp_path):
    rows = [line.split() for line in output("prune", tmp_path).splitlines() if "%" in line]
    columns = list(zip(*rows, strict=True))[1:]
    magnitude, *curvatures = (sum(map(float, column)) for column in columns)
    assert len(rows) == 5 and max(curvatures) > magnitude


def test_laplace(tmp_path):
    digits, digits_laplace, noise, noise_laplace = numbers(
        "network", output("laplace", tmp_path).replace("test accuracy", "")
    )
    assert noise_laplace < noise - 0.05  # where there are no data it is less sure ...
    assert digits - digits_laplace < noise - noise_laplace  # ... and hardly where there are


def test_learning_rate(tmp_path):
    half, one, more, four = numbers("lambda_max: loss", output("learning_rate", tmp_path))
    assert one < half < 1 and more < 1 and four > 1.5


def test_scipy_minimize(tmp_path):
    right = numbers("test accuracy", output("scipy_minimize", tmp_path))
    assert len(right) == 2 and min(right) > 0.94


def test_every_example_is_tested_and_in_the_readme():
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"data"}
    assert {f"test_{name}" for name in names} <= set(globals())
    readme = (EXAMPLES.parents[1] / "README.md").read_text()
    assert all(f"{name}.py" in readme for name in names)
