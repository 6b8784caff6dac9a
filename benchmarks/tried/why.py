#!/usr/bin/env python3
"""Where the small reward's calibration error comes from where templates are new, and what rescaling and averaging do (LAB_LOG.md, 2026-11-23).

Needs the worlds of `python benchmarks/reward_study.py --seeds 0 ... 9` in runs/rewards and, for averages, models of tried.py (93afc6d) in runs/tried.
"""
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from debias_nb.reward import RewardModel, calibration_error, graded_scores
from debias_nb.synthesis import load_dataset

SPLITS = 'test_id', 'test_groups', 'test_templates', 'test_held_out', 'test_categories'
WAYS = 'ns30', '385', '385+h128', 'wide', 'wide+v2500'

if __name__ == '__main__':
    torch.set_num_threads(1); signed, res, own, joint = {}, {}, {}, {}
    for seed in range(10):
        run = Path(f'runs/rewards/seed-{seed}'); data = load_dataset(run/'dataset'); m = RewardModel.from_pretrained(run/'reward', device='cpu'); logit = lambda p: np.log(np.clip(p, 1e-6, 1 - 1e-6)/np.clip(1 - p, 1e-6, 1))
        others = [RewardModel.from_pretrained(f, device='cpu') for w in WAYS if (f := Path(f'runs/tried/{w}/seed-{seed}')).is_dir()] if seed in (1, 2, 7, 8) else []
        for s in SPLITS:
            g = graded_scores(m, data[s][:120]); y, z = g.fairness_grade, logit(g.fairness)
            if s == 'test_templates': signed[seed] = (g.fairness - y).groupby(g.grade).mean()
            for a in (1, .8, .65, .5): res.setdefault((s, f'times {a}'), []).append(calibration_error(1/(1 + np.exp(-a*z)), y))
            for b in (.3, .6, 1): res.setdefault((s, f'plus {b}'), []).append(calibration_error(1/(1 + np.exp(-z - b)), y))
            if others and s in SPLITS[2:]:
                zs = [z, *(logit(graded_scores(o, data[s][:120]).fairness) for o in others)]; own.setdefault(seed, []).append(np.mean([calibration_error(1/(1 + np.exp(-v)), y) for v in zs]))
                joint.setdefault(seed, []).append((len(zs), calibration_error(1/(1 + np.exp(-np.mean(zs, 0))), y), calibration_error(np.mean([1/(1 + np.exp(-v)) for v in zs], 0), y)))
    print('score less label, held-out templates, by grade and seed\n', pd.DataFrame(signed).assign(mean=lambda d: d.mean(axis=1)).round(3).to_string())
    print('\ncalibration error of fairness with logits rescaled, ten seeds\n', pd.Series({k: np.mean(v) for k, v in res.items()}).unstack().loc[list(SPLITS)].round(3).to_string())
    print('\nmean of the three held-out splits: models alone, mean of logits, mean of scores')
    for seed, v in joint.items(): print(seed, v[0][0], 'models', np.round([np.mean(own[seed]), np.mean([x[1] for x in v]), np.mean([x[2] for x in v])], 3))
