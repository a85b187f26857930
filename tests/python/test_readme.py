"""The README's table of layers: complete, and as `f.supports()` says."""

from __future__ import annotations

import re
from pathlib import Path

import hesscore as hc

README = Path(__file__).parents[2] / "README.md"


def rows():
    section = README.read_text().split("## Layers")[1].split("\n## ")[0]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            yield re.findall(r"`(\w+)`", cells[0]), cells[1:]


def test_every_layer_has_one_row():
    named = [name for names, _ in rows() for name in names]
    public = [
        name
        for name in hc.__all__
        if isinstance(getattr(hc, name), type) and issubclass(getattr(hc, name), hc.nn.Layer)
    ]
    assert sorted(named) == sorted(public)


def test_rows_say_what_supports_says():
    image = hc.Sequential(
        *(hc.Conv2d(3, 8, 3), hc.BatchNorm2d(8), hc.ReLU(), hc.MaxPool2d(2)),
        *(hc.ConvTranspose2d(8, 8, 3), hc.GroupNorm(2, 8), hc.SiLU(), hc.AvgPool2d(2)),
        *(hc.SqueezeExcite(8, 2), hc.Upsample(scale_factor=2), hc.ZeroPad2d(1)),
        *(hc.Residual(hc.Conv2d(8, 8, 1)), hc.AdaptiveAvgPool2d(2), hc.Slice(1, 0, 4)),
        *(hc.Flatten(), hc.LayerNorm(16), hc.Dropout(0.1), hc.Linear(16, 4)),
    )
    f = hc.Objective(image, hc.CrossEntropyLoss(), input_shape=(3, 12, 12))
    text = hc.Sequential(hc.Embedding(9, 4), hc.Flatten(), hc.RMSNorm(12), hc.Linear(12, 4))
    g = hc.Objective(text, hc.CrossEntropyLoss(), input_shape=(3,))
    squares = {"ggn", "ggn_mc", "empirical_fisher"}
    recursive = {"hesscale", "hesscale_gn", "bl89"}
    none_in_training = {n for names, cells in rows() for n in names if "there are none" in cells[0]}
    assert none_in_training == {"BatchNorm1d", "BatchNorm2d"}
    for row in f.supports() + g.supports():
        assert squares | recursive <= set(row["supports"]), row
        without = row["layer"].partition("(")[0] in none_in_training
        expected = recursive if without else squares | recursive
        assert (squares | recursive) & set(row["supports_training"]) == expected, row
