"""Passes the tests: sets up `.venv` with the dev extra, then ruff and pytest. More arguments go to pytest."""

import os
import subprocess
import sys

from bootstrap import ensure, root, say


def main():
    python = ensure("dev")
    env = dict(os.environ, TOKENIZERS_PARALLELISM="false", MPLBACKEND="Agg")
    for k in ("HF_HUB_OFFLINE", "OMP_NUM_THREADS"):
        env.setdefault(k, "1")  # no network; two notebooks share two cores better than each takes both
    paths = ["debias_nb", "tests", "scripts", "setup.py"] + [d for d in ("benchmarks",) if (root / d).is_dir()]
    say("ruff check " + " ".join(paths))
    ruff = subprocess.run([python, "-m", "ruff", "check", "-q"] + paths, cwd=str(root)).returncode
    say("pytest " + " ".join(sys.argv[1:]))
    tests = subprocess.run([python, "-m", "pytest"] + sys.argv[1:], cwd=str(root), env=env).returncode
    say("ruff %s, pytest %s" % tuple("failed" if r else "passed" for r in (ruff, tests)))
    sys.exit(ruff or tests)


if __name__ == "__main__":
    main()
