"""Checks what `pip install debias_nb` alone does: it scores, evaluates, compares, reports; trainings name their extra.

`python scripts/core_only.py RUN`, with a Python that has the wheel and no extra, and a finished run (such as of
`debias-nb run --preset smoke`, made where the extra `train` is).
"""

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ABSENT = ("trl", "peft", "accelerate", "datasets", "pyarrow", "jupyterlab", "nbdev", "ipywidgets")


def tried(name, *command, home, code=0):
    """Run a command away from the checkout; gives its output and what it said beside it."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *map(str, command)], cwd=home, capture_output=True, text=True)
    print(f"{'ok' if done.returncode == code else 'FAILED':6} {time.perf_counter() - begun:5.1f} s  {name}", flush=True)
    if done.returncode != code:
        sys.exit(f"exit code {done.returncode}, not {code}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return done.stdout, done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run")
    given = parser.parse_args().run.resolve()
    here = [name for name in ABSENT if importlib.util.find_spec(name)]
    if here:
        sys.exit(f"this Python has {', '.join(here)}: use an environment with nothing but the wheel")
    os.environ.pop("PYTHONPATH", None)
    os.environ.update(HF_HUB_OFFLINE="1", DEBIAS_NB_PROGRESS="0")
    command = ("-c", "import sys; from debias_nb.run.commands import main; sys.exit(main())")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run = shutil.copytree(given, home / "run")
        (run / "report.html").unlink()
        pairs = [dict(id=str(k), sent_more=f"Hat {k}.", sent_less=f"Cap {k}.", category="hats") for k in range(3)]
        said = [dict(id=row["id"], more=1.0, less=0.5) for row in pairs]
        for name, rows in dict(pairs=pairs, said=said).items():
            (home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        tried("import debias_nb", "-c", "import debias_nb", home=home)
        tried("from debias_nb.all import *", "-c", "from debias_nb.all import *", home=home)
        tried("--help", *command, "--help", home=home)
        score = ("score", "--benchmark", "pairs:pairs.jsonl", "--predictions", "said.jsonl")
        found = json.loads(tried("score", *command, *score, home=home)[0])
        assert found["n_predicted"] == 3, found
        for name in ("before", "after"):
            which = ("--benchmarks", "pairs:pairs.jsonl", "--out", name)
            tried("evaluate", *command, "evaluate", "--model", "run/policy/base", *which, home=home)
        tried("compare", *command, "compare", "--before", "before", "--after", "after", home=home)
        tried("report", *command, "report", "--run", "run", home=home)
        assert (run / "report.html").stat().st_size > 100_000
        smoke = ("run", "--preset", "smoke", "--out", "new")
        error = tried("a training names its extra", *command, *smoke, home=home, code=2)[1].strip()
        assert "\n" not in error and error.endswith('Run: pip install "debias_nb[train]"'), error
        print(error)


if __name__ == "__main__":
    main()
