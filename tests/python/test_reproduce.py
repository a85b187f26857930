"""Reproductions of papers: the frame, and quick forms that must find what is known."""

from __future__ import annotations

import importlib
import json
import sys
import types

import numpy as np
import pytest

import hesscore as hc
from hesscore.cli import main

seeds = importlib.import_module("hesscore.seeds")


def quick(tmp_path, name, **options):
    """Run a paper's quick form; its engine checks must hold."""
    settings = seeds.Settings(quick=True, out=tmp_path, progress=False, **options)
    (report,) = seeds.run([name], settings)
    assert report.sound, [c for c in report.checks if not c.holds]
    return report


def test_report_says_and_keeps_what_was_found(tmp_path):
    report, said = seeds.Report("a title"), []
    table = report.table("loss")
    table.add("first", [1.0, 2.0], reference=1.4, paper=None)
    table.add("second", float("nan"))
    report.claim("it learns", False, "2.3 after 10 epochs")
    report.check("all is well", True, "1e-16")
    report.figures["loss"] = lambda fig: fig.subplots().plot([1, 2])
    report.show(said.append)
    text = "\n".join(said)
    assert "first   1.5 +- 0.7        1.4      -" in text
    assert "not reproduced: it learns (2.3 after 10 epochs)" in text
    assert "holds: all is well" in text
    assert table.ours("first") == 1.5
    assert report.found("all is") and not report.found("it learns")
    settings = seeds.Settings(quick=True, out=tmp_path / "new", say=said.append)
    path = report.save("000", settings)
    kept = json.loads(path.read_text())
    assert path.name == "paper-000-cpu-quick.json"
    assert kept["tables"][0]["rows"][0]["ours"] == [1, 2]
    assert kept["tables"][0]["rows"][1]["ours"] == [None]
    assert kept["versions"]["hesscore"] == hc.__version__
    assert kept["claims"][0]["holds"] is False
    pytest.importorskip("matplotlib")
    assert (tmp_path / "new" / "paper-000-cpu-quick-loss.png").stat().st_size > 1000


def test_costs_take_turns():
    timing = importlib.import_module("hesscore.seeds.timing")
    order: list[str] = []
    costs = timing.interleave(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, repeats=1
    )
    assert order == ["a", "b"] * 3
    assert costs.ratio("a", "a") == 1
    assert costs.seconds("b") > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["00"], "did you mean '00"),
        ([], "required: PAPER"),
        (["000", "--seeds", "0"], "from 1 on"),
        (["000", "--device", "gpu"], "invalid choice"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["reproduce", *arguments])
    assert message in capsys.readouterr().err


def test_a_device_that_is_not_there(monkeypatch, capsys):
    monkeypatch.setattr(hc, "devices", lambda: ["cpu"])
    assert main(["reproduce", "000", "--device", "cuda"]) == 1
    assert "device: expected cpu, got cuda" in capsys.readouterr().err


def test_progress_with_tqdm(capsys):
    pytest.importorskip("tqdm")
    with seeds.Settings().count(3, "epoch") as progress:
        progress.update(2)
        progress.update(3)


def test_a_failed_check_is_an_error_and_a_failed_claim_a_result(monkeypatch, tmp_path, capsys):
    sound = {"998": True, "999": False}
    monkeypatch.setattr(seeds, "PAPERS", dict.fromkeys(sound, "made up"))
    for name, holds in sound.items():
        paper = types.ModuleType(f"hesscore.seeds.paper{name}")

        def run(settings, holds=holds):
            report = seeds.Report("made up")
            report.check("the engine is right", holds, "1 = 2")
            report.claim("it learns", False, "it does not")
            return report

        paper.run = run
        monkeypatch.setitem(sys.modules, paper.__name__, paper)
    assert main(["reproduce", "998", "--out", str(tmp_path)]) == 0
    assert "not reproduced: it learns" in capsys.readouterr().out
    assert main(["reproduce", "all", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "FAILED: the engine is right (1 = 2)" in said.out
    assert "hesscore: failed checks: the engine is right" in said.err
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_missing_data_set(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("HESSCORE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["reproduce", "000", "--quick", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "tinyshakespeare was not found" in error and "HESSCORE_DATA" in error
    assert "--data DIR, or --download" in error
    assert main(["reproduce", "000", "--quick", "--data", str(tmp_path)]) == 1
    assert "tinyshakespeare" in capsys.readouterr().err


def test_skip_gram_pairs(data_folder):
    data = importlib.import_module("hesscore.seeds.shakespeare")
    train, held = data.pairs(seeds.Settings(data=data_folder), 0)
    assert len(train) + len(held) == pytest.approx(65126, rel=0.02)
    assert len(train) == int(0.85 * (len(train) + len(held)))
    assert train.word.min() >= 1 and train.context.max() < data.VOCABULARY
    assert all(len(set(row)) == data.NEGATIVE for row in train.context[:500, 1:])
    share = np.mean(train.context[:, 1:] == 0)  # of four draws that differ, with log-uniform odds
    assert 4 * np.log(2) / np.log(4097) * 0.75 < 4 * share < 4 * np.log(2) / np.log(4097)


def test_paper_000(tmp_path, data_folder):
    report = quick(tmp_path, "000", data=data_folder)
    lowest, third = report.tables[0], report.tables[1]
    for label in ("Adam, beta1 .9", "A: chain rule", "D: the published code"):
        assert abs(third.ours(label) - third.reference(label)) < 0.03, label
    assert report.found("with the published code the validation loss is below Adam's")
    assert lowest.ours("D: the published code") < lowest.ours("Adam, beta1 .9") + 0.01


def test_paper_002(tmp_path, data_folder):
    report = quick(tmp_path, "002", data=data_folder)
    for table in report.tables[:6]:  # random data at the start
        for row in table.rows:
            apart = abs(table.ours(row.name) - table.reference(row.name))
            assert apart < max(0.25 * table.reference(row.name), 0.02), (table.title, row)
    assert report.found("with tanh HesScale is nearer to the Hessian's diagonal than all others")
    assert report.found("also on batches of 128")
    assert not report.found("with ReLU, too")  # the exact Gauss-Newton diagonal is
    lines = next(t for t in report.tables if t.title.startswith("R^2"))
    assert lines.ours("adahesscale") > 0.9  # 0.98 is asked for on a quiet machine
    assert report.found("HesScale is cheaper than AdaHessian")


def test_paper_003(tmp_path, data_folder):
    report = quick(tmp_path, "003", data=data_folder)
    loss = next(t for t in report.tables if t.title.startswith("mean loss of the last epoch"))
    right = next(t for t in report.tables if t.title == "test accuracy")
    free, newton, sgd = "Hessian-free, lambda 32", "Gauss-Newton, lambda 4", "SGD, lr .1"
    assert loss.ours(newton) < loss.ours(free)
    assert loss.ours(newton) < loss.ours(sgd) + 0.005
    assert right.ours(newton) > max(right.ours(free), 0.915)  # 0.92 after all 7 epochs
    assert report.found("Newton's method without damping does not converge")
    assert report.found("damping makes Newton's method converge")
    assert abs(loss.ours("SGD, lr .5/32") - loss.ours(free)) < 0.02  # it is the size of the steps


def test_keras_starts(rng):
    starts = importlib.import_module("hesscore.seeds.starts")
    assert starts.he_normal(rng, (300, 200)).std() == pytest.approx(0.1, rel=0.02)
    z = starts.truncated(rng, (300, 200), 0.3)
    assert abs(z).max() <= 0.6
    assert z.std() == pytest.approx(0.3 * starts.TRUNCATED, rel=0.02)
    assert abs(starts.glorot_uniform(rng, (300, 200))).max() <= np.sqrt(6 / 500)
    for shape in ((5, 9), (9, 5)):
        q = starts.orthogonal(rng, shape)
        small = q @ q.T if shape[0] < shape[1] else q.T @ q
        np.testing.assert_allclose(small, np.eye(5), atol=1e-12)


def test_paper_001(tmp_path, data_folder):
    report = quick(tmp_path, "001", data=data_folder)
    medians = report.tables[0]
    for layer in ("conv1", "conv2", "dense1", "dense2"):
        assert 1 / 3 < medians.ours(layer) / medians.reference(layer) < 3, layer
    assert report.found("the error falls from the first layer")
    assert report.found("on mnist the Hessian-driven start outperforms")
    assert not report.found("the error is small beside the component h itself")
    losses = next(t for t in report.tables if "lowest loss" in t.title)
    for row in losses.rows:
        if row.paper:
            assert abs(losses.ours(row.name) - row.paper[0]) < 0.02, row
    assert set(report.figures) == {"errors", "deep", "landscape"}


def test_paper_004(tmp_path, data_folder):
    report = quick(tmp_path, "004", data=data_folder)
    found = [t for t in report.tables if "196-64-32-10" in t.title]
    assert len(found) == 3
    for table in found:
        for replicas in (2, 4, 8):
            name = f"paired, span 1, M = {replicas}"
            assert table.ours(name) < 0.5 * table.ours("SGD"), (table.title, name)
    assert report.found("8 replicas converge faster than SGD")
    assert report.found("4 replicas converge faster than SGD")
    assert not report.found("the more replicas of a batch of 256, the faster")  # two are best
