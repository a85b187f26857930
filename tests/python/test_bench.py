"""``hesscore bench``: counts against counts by hand, what is written, friendly failures."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
from hesscore.peers import cases, floor, scaling, scaling_report, tables, targets
from hesscore.peers.measure import Effort, Measurement
from hesscore.peers.options import Options
from hesscore.peers.progress import Progress
from hesscore.peers.result import Result
from hesscore.peers.rows import LABELS, SIDES
from hesscore.peers.sides import Side, SideError

import hesscore as hc
from hesscore.cli import main

DENSE = cases.Case((3, 4, 2), "tanh", 5)
LENET = cases.NetCase("lenet5", 2)


# ---- the floor ----


def flops(case, row):
    phases = floor.work(case, row)
    assert phases is not None
    return sum(p.flops for p in phases)


@pytest.mark.parametrize(
    ("row", "by_hand"),
    [
        # forward 2 * 5 * (3 * 4 + 4 * 2) = 200, data gradients 2 * 5 * 4 * 2 = 80
        ("gradient", 200 + 200 + 80),
        ("hesscale", 200 + 2 * (200 + 80)),
        ("ggn", 200 + 200 + 80 + (80 + 200)),  # one column, as many as classes less one
        ("hvp, linearised once", (200 + 80) + 2 * 80 + (200 + 80)),
        ("hvp", 200 + 80 + 720),
        ("ggnvp", (200 + 80) + (80 + 200)),
        # 2 * 5 * (4 * 2) for all tangents of the first layer's units up and as much down; deposits
        ("hessian", 480 + 2 * 80 + 200),
        # two thirds of the columns: factors are (in + 1)^2 and out^2, half of 2 * 5 * each
        ("kfac", 480 + 80 + 5 * (16 + 16 + 25 + 4)),
        ("adam_step", 480 + 12 * 26),
        ("products", 32 * 720),
        # V a and g a' of the layers: least of 2 F and 2 * 5 * 5 * out; then tangents and adjoints D
        ("cg50", 200 + 50 * (min(240, 200) + min(160, 100) + 160)),
    ],
)
def test_dense_floor_by_hand(row, by_hand):
    assert flops(DENSE, row) == by_hand


def test_convolutional_floor_by_hand():
    """LeNet-5: products of both convolutions at each position, and of three dense layers."""
    convolutions = 28 * 28 * 25 * 6 + 10 * 10 * 150 * 16
    dense = 400 * 120 + 120 * 84 + 84 * 10
    forward, data = (2 * 2 * macs for macs in (convolutions + dense, 240000 + dense))
    assert flops(LENET, "gradient") == 2 * forward + data
    assert flops(LENET, "hesscale") == 3 * forward + 2 * data
    columns = 9 * (data + 2 * 2 * convolutions) + 2 * 2 * dense
    assert flops(LENET, "ggn") == 2 * forward + data + columns
    # up and down again for each weight of a convolution and each unit of a dense layer
    sweeps = 150 * data + 2400 * 4 * dense + 4 * 120 * 84 + 120 * 4 * 84 * 10 + 4 * 84 * 10
    assert flops(LENET, "hessian") == 2 * forward + data + 2 * sweeps + forward


def test_residual_products():
    """ResNet-18: 20 convolutions and a dense layer, one of them first, halved images thrice."""
    case = cases.NetCase("resnet18", 1)
    found = floor.products(case.layers, case.input_shape)
    assert len(found) == 21
    assert [p.is_first for p in found] == [True] + [False] * 20
    assert sorted({p.positions for p in found}) == [1, 16, 64, 256, 1024]
    assert floor.Count(case).forward == pytest.approx(2 * 0.556e9, rel=1e-2)  # known: 0.56 GMAC


def test_floor_is_the_longer_of_both():
    phases = (floor.Phase(10.0, 1.0), floor.Phase(1.0, 10.0))
    assert floor.seconds(phases, floor.Peaks(1.0, 1.0)) == 20.0
    assert floor.seconds(phases, floor.Peaks(10.0, 1.0)) == 11.0
    grads = floor.work(DENSE, "per_sample_grads")
    assert grads is not None
    assert grads[0].bytes == 4 * (5 * 3 + 26 + 5 * 26)


@pytest.mark.parametrize("row", sorted(set(LABELS) - {"gradient, channels last"}))
def test_every_row_has_a_floor(row):
    assert flops(cases.Case(cases.SMALL, "relu", 8), row) > 0


# ---- a side ----


@pytest.fixture(scope="module")
def side():
    started = Side("hesscore", sys.executable, 1)
    yield started
    started.close()


def test_every_row_of_ours(side):
    """Small: all rows have times, memory, and errors of rounding against float64."""
    case = cases.Case((6, 5, 4), "tanh", 7)
    effort = Effort(rounds=1, seconds=0.001)
    peaks = floor.Peaks(1e11, 1e10)
    result = Measurement([side], case, 1, effort, peaks, Progress()).run()
    rows = [row for row in LABELS if row != "gradient, channels last"]
    assert result.skipped.keys() <= {("hesscore", "lanczos")}  # more steps than parameters
    assert {row for _, row in result.rounds} >= set(rows) - {"lanczos"}
    assert all(len(t) == 1 and 0 < t[0] < 1 for t in result.rounds.values())
    assert result.memory.keys() == result.rounds.keys()
    assert not result.wrong()
    assert result.errors["hesscore", "hesscale"] < 1e-6
    assert {f["row"] for f in result.floors()} == {LABELS[row] for _, row in result.rounds}


def test_side_survives_what_fails(side):
    """A row that is unsupported is skipped with its reason, and the side goes on."""
    net = cases.NetCase("resnet18", 2)
    assert "per_sample_grads" in side.setup(net)
    with pytest.raises(SideError, match="UnsupportedError"):
        side.time("per_sample_grads", 0.0)
    assert side.setup(DENSE)
    assert side.time("gradient", 0.0)[0] > 0


def test_side_without_its_library(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('No PyTorch here')")
    with pytest.raises(SideError, match="No PyTorch here"):
        Side("torch", sys.executable, 1, str(tmp_path))


def test_too_large_is_not_tried(side):
    case = cases.NetCase("resnet18", 16)
    tried = Measurement([side], case, 1, Effort(limit=1.0), floor.Peaks(1e11, 1e10), Progress())
    tried._setup()
    assert "a basis of 4.5 GB" in tried.result.skipped["hesscore", "lanczos"]
    assert "s a call" in tried.result.skipped["hesscore", "ggn"]
    assert ("hesscore", "gradient") in tried.keys


# ---- targets, tables, pictures ----


def result_of(case, **seconds):
    result = Result(case, 2, floor.Peaks(1e11, 1e10))
    for name, times in seconds.items():
        side, row = name.split("__")
        result.rounds[side, row] = times
    return result


def test_verdicts():
    big = cases.Case(cases.BIG, "relu", 128)
    times = {"torch__gradient": [2.0, 2.0, 4.0], "hesscore__gradient": [1.0, 1.0, 1.0]}
    found = targets.verdicts([result_of(big, **times, jax__gradient=[1.0, 1.0])])
    assert [(v["theirs"], v["ratio"], v["met"]) for v in found] == [
        ("PyTorch gradient", 0.5, True),
        ("JAX gradient", 1.0, False),
    ]


def test_every_target_can_be_measured():
    nets = {case.group for case in cases.everything()}
    for target in targets.TARGETS:
        assert target.net in nets
        assert target.ours in LABELS
        assert target.theirs[0] in SIDES
        assert target.theirs[1] in LABELS


@pytest.fixture
def saved(tmp_path):
    """A results file with two sides, spread, and something skipped."""
    case = cases.Case(cases.SMALL, "relu", 128)
    result = result_of(
        case, hesscore__gradient=[1e-3, 2e-3, 3e-3], torch__gradient=[4e-3] * 3,
        hesscore__hvp=[0.02] * 3, torch__hvp=[0.05] * 3,
    )  # fmt: skip
    result.errors["torch", "hvp"] = 3.2e-7
    result.memory["hesscore", "hvp"] = 12_340_000
    result.skipped["torch", "lanczos"] = "9.9 s a call"
    document = {
        **{"processor": "P", "date": "2026-01-02T03", "commit": "abc", "versions": {"torch": "2"}},
        **{"times": result.times(), "floors": result.floors(), "skipped": result.reasons()},
        "ratios": targets.verdicts([result]),
    }
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(document))
    return path


def test_show_makes_tables_and_a_picture(saved, capsys):
    image = pytest.importorskip("matplotlib.image")
    assert main(["bench", "--show", str(saved)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^  gradient +2\.00 ±25% +4\.00 ±0%$", text, re.MULTILINE)
    assert "skipped: PyTorch, 100 Lanczos steps on the Hessian: 9.9 s a call" in text
    page = saved.with_suffix(".md").read_text()
    flops = 2 * 128 * (784 * 128 + 1280)
    least = 1e3 * (2 * flops + 2 * 128 * 1280) / 1e11
    share = f"{100 * least / 2:.0f} %"
    assert f"| gradient | **2.00** | 4.00 | {share} |" in page
    assert "| Hessian-vector product | 12.3 |  |" in page  # memory
    assert "3e-07" in page
    pixels = image.imread(saved.with_suffix(".png"))[..., :3]
    assert min(pixels.shape[:2]) > 150
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):  # bars of both sides
        near = np.abs(pixels - np.asarray(colour) / 255).max(axis=2) < 0.02
        assert near.mean() > 0.005


def test_own_table(saved):
    document = json.loads(saved.read_text())
    text = tables.own(document, tables.blocks(document)[0])
    assert re.search(r"gradient +2\.00 ±25% +0\.05\d* +0\.5\d +2\d %", text)


# ---- scaling ----


def test_exponent():
    assert scaling.exponent((1, 2, 4, 8), [9.0, 9.0, 16.0, 64.0]) == 2.0
    assert scaling.exponent((3,), [1.0]) is None


def test_scaling(tmp_path, monkeypatch, capsys):
    image = pytest.importorskip("matplotlib.image")
    series = scaling.Series("batch", (4, 8, 16), lambda n: cases.Case((6, 5, 3), "tanh", n))
    monkeypatch.setattr(scaling, "all_series", lambda quick: [series])
    found = scaling_report.run(quick=True, save=True, out=tmp_path)
    assert [e["row"] for e in found] == list(scaling.ROWS)
    assert all(len(e["ms"]) == 3 and min(e["ms"]) > 0 for e in found)
    assert found[0]["over_gradient"] == [1.0, 1.0, 1.0]
    assert 0 < found[0]["memory_exponent"] < 1.1
    assert "time ~ n^" in capsys.readouterr().out
    (written,) = tmp_path.glob("scaling-*.json")
    assert json.loads(written.read_text())["scaling"] == found
    assert image.imread(written.with_suffix(".png")).std() > 0.01


# ---- the command ----


def test_peers_of_one_side(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    code = main([
        "bench", "--peers", "--quick", "--only", "hesscore", "--nets", "784-128-10", "--batch", "4",
        "--rounds", "1", "--threads", "1", "--save", "--out", str(tmp_path),
    ])  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    assert "GFLOP/s in a product of ours" in out
    assert "import hesscore" in out
    (path,) = tmp_path.glob("peers-*.json")
    found = json.loads(path.read_text())
    assert {t["case"] for t in found["times"]} == {"784-128-10 relu N=4"}
    assert len(found["times"]) == len(LABELS) - 1
    assert found["peaks"][0]["gflops"] > 1
    assert path.with_suffix(".png").stat().st_size > 10_000


def test_alone(capsys):
    code = main(["bench", "--nets", "784-128-64-10", "--batch", "4", "--rounds", "1",
                 "--threads", "1"])  # fmt: skip
    assert code == 0
    text = capsys.readouterr().out
    assert re.search(r"gradient \+ Hessian diagonal +\S+ ±0%( +\S+)+ %", text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "--nets", "lenet"], "did you mean 'lenet5'"),
        (["--peers", "--only", "pytorch"], "did you mean 'torch'"),
        (["--peers", "--threads", "9999"], "threads: expected whole numbers from 1 to"),
        (["--peers", "--torch-python", "no-such-python"], "no-such-python, which cannot be run"),
        (["--peers", "--hesscale-path", "."], "a folder with hesscale/__init__.py"),
        (["--peers", "--only", "hesscale"], "a clone of HesScale"),
        (["--jax-python", "python"], "--jax-python goes with --peers"),
        (["--save"], "--save goes with --peers or --scaling"),
        (["--show", "absent.json"], "absent.json"),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 1
    captured = capsys.readouterr()
    assert re.fullmatch(f"hesscore: .*{re.escape(message)}.*\n", captured.err)
    assert "ms" not in captured.out


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"times": []}'])
def test_show_of_another_file(tmp_path, capsys, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    assert main(["bench", "--show", str(path)]) == 1
    assert "a results file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "--scaling"], "not allowed with"),
        (["--threads", "two"], "not a whole number from 1 on"),
        (["--rounds", "0"], "not a whole number from 1 on"),
    ],
)
def test_usage_error(capsys, arguments, message):
    with pytest.raises(SystemExit) as left:
        main(["bench", *arguments])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_what_is_quick():
    full, quick = Options(), Options(quick=True)
    assert len(quick.cases()) == 4
    assert len(full.cases()) == 10
    assert {case.net for case in Options(nets=["perceptrons"]).cases()} == {
        "784-128-10", "784-512-256-10", "784-128-64-10", "784-1024-1024-10"
    }  # fmt: skip
    assert [c.name for c in Options(nets=["784-128-10"]).cases(once=True)] == [
        "784-128-10 relu N=128"
    ]
    assert len(full.cases(once=True)) == 8
    assert quick.effort().rounds < full.effort().rounds
    assert list(Options(only=["jax", "hesscore"]).sides()) == ["hesscore", "jax"]
    assert full.thread_counts()[-1] == 1
    assert hc.get_num_threads() >= 1
