"""Draws the pictures of README: the pipeline as `dvc dag` knows it, and the curves of the last training.

Run it as `make pictures`, after `make repro`.
"""

import csv
import re
import subprocess
from pathlib import Path

import matplotlib
import networkx

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).parent
CURVES = Path("results/curves")


def draw_pipeline(path: Path) -> None:
    """Boxes in columns by their distance from the start, arrows from `dvc dag --dot`."""
    dot = subprocess.run(["dvc", "dag", "--dot"], capture_output=True, text=True, check=True).stdout
    graph = networkx.DiGraph(re.findall(r'"(.+?)" -> "(.+?)"', dot))
    # The arrows that follow from others would only cross them.
    graph = networkx.transitive_reduction(graph)
    for column, names in enumerate(networkx.topological_generations(graph)):
        for name in names:
            graph.nodes[name]["column"] = column
    places = networkx.multipartite_layout(graph, subset_key="column")
    figure, axes = pyplot.subplots(figsize=(9, 1.9))
    networkx.draw_networkx(
        graph,
        places,
        ax=axes,
        node_shape="s",
        node_size=2600,
        font_size=9,
        edge_color="#666666",
        node_color="none",
        bbox={"boxstyle": "round,pad=0.5", "facecolor": "#e8f1fb", "edgecolor": "#3b6ea5"},
    )
    axes.set_axis_off()
    axes.margins(0.12, 0.3)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def draw_training(path: Path) -> None:
    """Loss by step and CER by epoch."""
    steps, epochs = _table(CURVES / "steps.tsv"), _table(CURVES / "epochs.tsv")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3))
    left.plot(steps["step"], steps["loss"], color="#3b6ea5")
    left.set(xlabel="step", ylabel="CTC loss of an utterance", yscale="log")
    right.plot(epochs["epoch"], epochs["cer"], color="#b5482a", marker=".")
    right.set(xlabel="epoch", ylabel="CER of the dev set", ylim=(0, 1.05))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _table(path: Path) -> dict[str, list[float]]:
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


if __name__ == "__main__":
    draw_pipeline(FOLDER / "pipeline.png")
    draw_training(FOLDER / "training.png")
