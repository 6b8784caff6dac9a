"""Passes the tests: sets up `.venv`, then linters, type checker and pytest. More arguments go to pytest."""

import os
import subprocess
import sys

from bootstrap import ensure, root, say

CHECKED = ["nbs", "debias_nb", "tests", "scripts", "benchmarks", "setup.py"]
CHECKS = {  # what is run before the tests
    "ruff check": ["-m", "ruff", "check", "-q", *CHECKED],
    "ruff format": ["-m", "ruff", "format", "--check", "-q", *(c for c in CHECKED if c != "debias_nb")],
    "order of rooms": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    "mypy": ["-m", "mypy"],
}


def main():
    python = ensure("dev")
    env = dict(os.environ, TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")
    for k in ("HF_HUB_OFFLINE", "OMP_NUM_THREADS"):
        env.setdefault(k, "1")  # no network; two notebooks share two cores better than each takes both
    failed = []
    for name, arguments in CHECKS.items():
        say(name)
        if subprocess.run([python, *arguments], cwd=str(root), env=env).returncode:
            failed.append(name)
    say("pytest " + " ".join(sys.argv[1:]))
    if subprocess.run([python, "-m", "pytest", *sys.argv[1:]], cwd=str(root), env=env).returncode:
        failed.append("pytest")
    say("failed: " + ", ".join(failed) if failed else "everything passed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
