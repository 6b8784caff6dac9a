"""Runs one notebook with nbdev's tester: `run_notebook.py NOTEBOOK [FLAG...]`. Exit code 1: failed, 3: no cell runs."""

import os
import sys
import tempfile
from pathlib import Path


def run_one(notebook, flags):
    """Run the cells of one notebook in this process, as nbdev-test would; give the exit code."""
    from nbdev.config import get_config
    from nbdev.test import nb_test_cells, test_nb

    path = Path(notebook).resolve()
    os.environ["NBDEV_TEST"] = "1"
    config = get_config(path.parent)
    skip = config.tst_flags.split() if isinstance(config.tst_flags, str) else list(config.tst_flags)
    if not nb_test_cells(path, skip, flags):
        return 3
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    passed, _ = test_nb(
        path, skip_flags=skip, force_flags=flags, basepath=config.config_path, verbose=True, profile=False
    )
    return 0 if passed else 1


if __name__ == "__main__":
    # what a notebook leaves in its temporary folder goes with it
    with tempfile.TemporaryDirectory(prefix="notebook-", ignore_cleanup_errors=True) as temporary:
        os.environ["TMPDIR"], tempfile.tempdir = temporary, None
        code = run_one(sys.argv[1], sys.argv[2:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads left by a notebook must not hold the suite up
