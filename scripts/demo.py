"""The main job: sets up `.venv`, runs the tiny preset into `runs/demo`. More arguments go to `debias-nb run`."""

import os
import subprocess
import sys

from bootstrap import bin_dir, ensure, root, say


def main():
    ensure("train")
    exe = bin_dir / ("debias-nb.exe" if os.name == "nt" else "debias-nb")
    cmd = [str(exe), "run", "--preset", "tiny", "--out", "runs/demo", "--seed", "0"] + sys.argv[1:]
    say(" ".join(["debias-nb"] + cmd[1:]))
    sys.exit(subprocess.run(cmd, cwd=str(root)).returncode)


if __name__ == "__main__":
    main()
