"""The gain from pretraining: the built-in ViT and the same ViT with random weights, at the same training budget.

    python -m tests.benchmarks.pretraining_gain [--rows 250 1000 4000] [--out model_cards/pretraining_gain.png]

Each point is a complete `hfmm run vit_icons`. Only the number of training icons and `model.init` differ. The number of
epochs is adapted, so that all runs process the same number of images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from matplotlib import pyplot

from hfmm.recipe.load import load_recipe
from hfmm.run import run_recipe
from hfmm.run_directory import primary_record


def score(rows: int, init: str) -> tuple[float, float, float]:
    """Return the accuracy of complete cells on the test split, and the two ends of its interval."""
    with tempfile.TemporaryDirectory() as folder:
        num_train_epochs = [
            f"stages.{stage.name}.num_train_epochs={stage.num_train_epochs * 1000 / rows}"
            for stage in load_recipe("vit_icons").stages
        ]
        overrides = [f"data.train={rows}", f"model.init={init}", "baselines=[]", *num_train_epochs]
        record = primary_record(
            run_recipe(load_recipe("vit_icons", overrides), Path(folder) / "run", False, lambda step, text: None)
        )
    return record["value"], record["ci95"][0], record["ci95"][1]


def main() -> None:
    """Measure all points, print the table and draw the two curves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[250, 1000, 4000])
    parser.add_argument("--out", type=Path, default=Path("model_cards/pretraining_gain.png"))
    arguments = parser.parse_args()
    figure, axis = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    print("| training icons | weights | whole cell, % | 95 % interval |\n|---|---|---|---|")
    for init in ("pretrained", "random"):
        points = []
        for rows in arguments.rows:
            points.append(score(rows, init))
            value, low, high = (100 * share for share in points[-1])
            print(f"| {rows:,} | {init} | {value:.1f} | {low:.1f} to {high:.1f} |", flush=True)
        values, lows, highs = zip(*points, strict=True)
        axis.plot(arguments.rows, values, marker="o", label=init)
        axis.fill_between(arguments.rows, lows, highs, alpha=0.2)
    axis.set(xscale="log", xlabel="training icons", ylabel="whole-cell accuracy, held-out fonts", ylim=(0, 1))
    axis.set_xticks(arguments.rows, [f"{rows:,}" for rows in arguments.rows], minor=False)
    axis.minorticks_off()
    axis.legend()
    figure.savefig(arguments.out, dpi=120)


if __name__ == "__main__":
    main()
