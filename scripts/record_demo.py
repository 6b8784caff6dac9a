"""Copies the numbers of a finished run into nbs/results/ and draws the README's picture from them.

`python scripts/record_demo.py runs/demo` takes a run folder. Without one the picture is drawn anew from the recorded
metrics.json."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from debias_nb.analysis.report.before_after import before_after, headline_keys
from debias_nb.analysis.report.measures import use_style

out = Path(__file__).resolve().parent.parent / "nbs" / "results"


def record(run: Path) -> None:
    """Metrics of a run without what is large, and the hardware it ran on."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    metrics["hardware"] = json.loads((run / "environment.json").read_text(encoding="utf-8"))["hardware"]
    for model in metrics["models"].values():
        model.pop("by_group", None)
    for stage in metrics["stages"].values():
        for key in ("evaluation", "training"):
            stage.pop(key, None)
    text = json.dumps(metrics, indent=1, ensure_ascii=False) + "\n"
    (out / "metrics.json").write_text(text, encoding="utf-8")


def draw() -> None:
    """Three panels of the recorded numbers."""
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    use_style()
    before_after(metrics, headline_keys(metrics)).savefig(out / "before_after.png")


if __name__ == "__main__":
    out.mkdir(exist_ok=True)
    if len(sys.argv) > 1:
        record(Path(sys.argv[1]))
    draw()
    print(f"{out}: metrics.json, before_after.png")
