"Runs one notebook with nbdev's own tester: `run_notebook.py NOTEBOOK [FLAG...]`. Prints what its cells print; exit code 1 on failure, 3 if no cell runs."
import os
import sys
from pathlib import Path

from nbdev.config import get_config
from nbdev.test import nb_test_cells, test_nb

path, force = Path(sys.argv[1]).resolve(), sys.argv[2:]
os.environ['NBDEV_TEST'] = '1'
cfg = get_config(path.parent)
skip = cfg.tst_flags.split() if isinstance(cfg.tst_flags, str) else list(cfg.tst_flags)
if not nb_test_cells(path, skip, force): sys.exit(3)
import torch

torch.set_num_threads(int(os.environ.get('OMP_NUM_THREADS', '1')))
ok, _ = test_nb(path, skip_flags=skip, force_flags=force, basepath=cfg.config_path, verbose=True, profile=False)
sys.stdout.flush()
sys.stderr.flush()
os._exit(0 if ok else 1)  # threads left by a notebook must not hold the suite up
