"""The command line as a user meets it: the demonstration, its files, and friendly failures."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import hesscore as hc
from hesscore.cli import main

LABELS = ("SGD", "Adam", "AdaHesScale", "Gauss-Newton-CG")


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "hesscore", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("HESSCORE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def extras():
    for module in ("matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(module)


def read_table(text):
    """Label -> (loss, accuracy, seconds, ms per step)."""
    row = re.compile(r"^(\S+)\s+([\d.]+)\s+([\d.]+)%\s+([\d.]+)\s+([\d.]+)$", re.MULTILINE)
    return {m[1]: tuple(map(float, m.groups()[1:])) for m in row.finditer(text)}


def check_picture(path):
    pixels = hc._extras.require("matplotlib.image").imread(path)[..., :3]
    assert min(pixels.shape[:2]) > 400
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100  # several colours, smoothed lines
    assert 0.01 < np.mean(pixels.min(axis=2) < 0.95) < 0.6


def test_quick_demo(tmp_path, extras):
    out = tmp_path / "plots"
    done = command("demo", "--quick", "--out", out, "--threads", 2)
    assert done.returncode == 0, done.stderr
    rows = read_table(done.stdout)
    assert tuple(rows) == LABELS
    for label, (loss, accuracy, seconds, per_step) in rows.items():
        assert 0 < loss < 1, label
        assert accuracy > 90, label
        assert seconds > 0, label
        assert per_step > 0, label
    assert {p.name for p in out.iterdir()} == {"loss.png", "eigenvalue.png", "curvature.png"}
    for path in out.iterdir():
        assert str(path) in done.stdout
        check_picture(path)
    assert "best of a grid" in done.stdout


def test_demo_on_mnist_file(tmp_path, extras, capsys):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 300), ("test", 50)):
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        images = np.zeros((count, 28, 28), np.uint8)
        images[np.arange(count), labels * 2] = 255  # the label is the row that is white
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(tmp_path / "m.npz", **arrays)
    code = main(["demo", "--data", "mnist", "--path", str(tmp_path / "m.npz"), "--epochs", "5",
                 "--out", str(tmp_path / "o"), "--optimizers", "adam, adahesscale"])  # fmt: skip
    assert code == 0
    rows = read_table(capsys.readouterr().out)
    assert list(rows) == ["Adam", "AdaHesScale"]
    assert all(row[1] > 90 for row in rows.values())


def test_seed_repeats(tmp_path, extras, capsys):
    losses = []
    for name in ("a", "b"):
        main(["demo", "--epochs", "1", "--seed", "3", "--out", str(tmp_path / name),
              "--optimizers", "adahesscale"])  # fmt: skip
        losses.append(read_table(capsys.readouterr().out)["AdaHesScale"][:2])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mnist", "--path", "absent.npz"], "no file or folder absent.npz"),
        (["--data", "mnist"], "mnist was not found"),
        (["--path", "m.npz"], "take no path"),
        (["--optimizers", "adahescale"], "adahesscale"),
    ],
)
def test_failure_is_one_line(tmp_path, extras, capsys, arguments, message):
    out = tmp_path / "plots"
    assert main(["demo", *arguments, "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert re.fullmatch(f"hesscore: .*{message}.*\n", captured.err)
    assert captured.out == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("module", "package"),
    [("tqdm", "tqdm"), ("matplotlib", "matplotlib"), ("sklearn", "scikit-learn")],
)
def test_missing_extra(tmp_path, monkeypatch, capsys, module, package):
    for name in [n for n in sys.modules if n.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo", "--out", str(tmp_path / "plots")]) == 1
    error = capsys.readouterr().err
    assert package in error
    assert 'pip install "hesscore[demo]"' in error


def test_out_is_a_file(tmp_path, extras, capsys):
    (tmp_path / "plots").write_text("in the way")
    assert main(["demo", "--out", str(tmp_path / "plots")]) == 1
    assert "plots" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dmo"], "did you mean 'demo'"),
        (["demo", "--data", "mnits"], "did you mean 'mnist'"),
        (["demo", "--epochs", "0"], "not a whole number from 1 on"),
        (["demo", "--epochs", "many"], "--epochs"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--optimisers", "sgd"], "--optimisers"),
    ],
)
def test_usage_error(capsys, arguments, message):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "--help" in error


# ---- spectrum and landscape ----


def run(capsys, *arguments):
    code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_spectrum_prints_what_is_so(tmp_path, extras, capsys):
    """The table against the dense Hessian of the same parameters."""
    data = hc.datasets.digits()
    net = hc.Sequential(hc.Flatten(), hc.models.mlp(64, 64, 32, 10))
    f = hc.Objective(net, hc.CrossEntropyLoss(), input_shape=data.input_shape)
    w = 0.7 * f.init(seed=3)
    np.savez(tmp_path / "w.npz", **f.views(w))
    out = tmp_path / "plots" / "s.png"
    text = run(capsys, "spectrum", "--weights", tmp_path / "w.npz", "--batch", 100, "--layers",
               "--probes", 20, "--steps", 40, "--top", 2, "--out", out)  # fmt: skip
    check_picture(out)
    assert f"wrote {out}" in text
    row = re.compile(r"^(.{18}) +(\d+) +(\S+) \+- (\S+) +(\S+) +(\S+) +(\S+)$", re.MULTILINE)
    rows = {m[1].strip(): tuple(map(float, m.groups()[1:])) for m in row.finditer(text)}
    assert list(rows) == ["all parameters", "1.0", "1.2", "1.4"]
    H = f.hessian(w, data.x_train[:100], data.y_train[:100])
    last = H.block("1.4").dense().astype(float)
    size, trace, error, norm, low, high = rows["1.4"]
    exact = np.linalg.eigvalsh(last)
    assert size == 330
    assert abs(trace - exact.sum()) < 5 * error + 1e-3 * trace
    assert norm == pytest.approx(np.linalg.norm(last), rel=0.5)
    np.testing.assert_allclose([low, high], exact[[0, -1]], atol=2e-3 * exact[-1])
    printed = re.search(r"largest eigenvalues: (\S+)  (\S+)  \(converged\)", text)
    assert printed and float(printed[1]) == pytest.approx(rows["all parameters"][-1], rel=1e-3)


def test_spectrum_trains_a_model(tmp_path, extras, capsys):
    out = tmp_path / "s.png"
    text = run(capsys, "spectrum", "--kind", "ggn", "--epochs", 1, "--batch", 64, "--probes", 2,
               "--steps", 10, "--top", 0, "--out", out, "--seed", 1)  # fmt: skip
    assert "mlp with 6570 parameters" in text
    assert "test accuracy" in text
    check_picture(out)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--dimensions", "1", "--directions", "orthogonal", "--extent", "0.5"],
        ["--style", "surface", "--epochs", "0"],
        ["--directions", "eigenvectors"],
    ],
    ids=" ".join,
)
def test_landscape(tmp_path, extras, capsys, options):
    out = tmp_path / "l.png"
    text = run(capsys, "landscape", "--epochs", 1, "--batch", 64, "--points", 9, "--out", out,
               *options)  # fmt: skip
    assert f"wrote {out}" in text
    check_picture(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "absent.npy"], "absent.npy"),
        (["--weights", "w.npy"], r"weights: expected 6570 parameters, got shape \(3,\)"),
        (["--weights", "text.npy"], "weights: expected an .npy or .npz file"),
        (["--weights", "named.npz"], "tensors: "),
        (["--model", "lenet5"], r"model: expected lenet5 on images of shape \(1, 28, 28\)"),
        (["--data", "cifar10"], "cifar10 was not found"),
        (["--path", "x.npz"], "take no path"),
    ],
)
@pytest.mark.parametrize("name", ["spectrum", "landscape"])
def test_failures_of_both(tmp_path, extras, capsys, monkeypatch, name, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save("w.npy", np.ones(3))
    np.savez("named.npz", bias=np.ones(3))
    (tmp_path / "text.npy").write_text("not an array")
    assert main([name, *arguments, "--out", "o.png"]) == 1
    captured = capsys.readouterr()
    assert re.fullmatch(f"hesscore: .*{message}.*\n", captured.err)
    assert not (tmp_path / "o.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spectrum", "--kind", "hesian"], "did you mean 'hessian'"),
        (["spectrum", "--steps", "1"], "not a whole number from 2 on"),
        (["landscape", "--directions", "filters"], "did you mean 'filter'"),
        (["landscape", "--extent", "0"], "not a positive number"),
        (["landscape", "--dimensions", "3"], "--dimensions"),
    ],
)
def test_usage_errors_of_both(capsys, arguments, message):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_interrupt(monkeypatch, capsys):
    def interrupted(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("hesscore.demo.run", interrupted)
    assert main(["demo"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_info_version_and_help(capsys):
    assert main(["info"]) == 0
    assert hc.__version__ in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.strip() == f"hesscore {hc.__version__}"
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_module_runs():
    done = command("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"hesscore {hc.__version__}")
