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
    columns = list(networkx.topological_generations(graph))
    column_of = {name: column for column, names in enumerate(columns) for name in names}
    places = {}
    for column, names in enumerate(columns):
        # An arrow over several columns leaves from the lowest box, else it would cross the boxes between.
        far = {name: max((column_of[end] for end in graph[name]), default=0) for name in names}
        for row, name in enumerate(sorted(names, key=lambda name: (far[name], name))):
            places[name] = column, (len(names) - 1) / 2 - row
    figure, axes = pyplot.subplots(figsize=(9, 1.9))
    box = {"boxstyle": "round,pad=0.5", "facecolor": "#e8f1fb", "edgecolor": "#3b6ea5"}
    boxes = {name: axes.text(*place, name, ha="center", va="center", bbox=box) for name, place in places.items()}
    axes.update_datalim(list(places.values()))
    axes.autoscale_view()
    for start, end in graph.edges:
        patches = {"patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch()}
        arrow = {"arrowstyle": "-|>", "color": "#666666", "shrinkA": 2, "shrinkB": 2, **patches}
        axes.annotate("", places[end], places[start], arrowprops=arrow)
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
