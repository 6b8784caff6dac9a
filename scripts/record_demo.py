"""Copies the numbers and the picture of a finished run into nbs/results/, from where the README takes them: `python scripts/record_demo.py runs/demo`."""

import json
import shutil
import sys
from pathlib import Path

run, out = Path(sys.argv[1]), Path(__file__).resolve().parent.parent / "nbs" / "results"
out.mkdir(exist_ok=True)
m = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
m["hardware"] = json.loads((run / "environment.json").read_text(encoding="utf-8"))["hardware"]
for d in m["models"].values():
    d.pop("by_group", None)
for s in m["stages"].values():
    for k in ("evaluation", "training"):
        s.pop(k, None)
(out / "metrics.json").write_text(json.dumps(m, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
shutil.copy(run / "figures" / "before_after.png", out / "before_after.png")
print(f"{out}: metrics.json, before_after.png")
