#!/usr/bin/env python3
"""GRPO with the pretrained reward beside GRPO with the small one, on the bases of the five-seed run (LAB_LOG.md, 2026-11-23).

    python scripts/seeds.py --preset tiny --seeds 0 1 2 3 --out runs/seeds --variants grpo
    python benchmarks/reward_study.py --seeds 0 1 2 3 --encoder minilm --examples 8000 --lr 2e-4
    python benchmarks/tried/grpo_minilm.py SEED
"""
import sys
from pathlib import Path

import torch

from debias_nb.grpo import train_grpo
from debias_nb.judges import RuleJudge, fairness_rate
from debias_nb.pipeline import _quiet_libraries, get_preset
from debias_nb.policy import load_policy, sample
from debias_nb.reward import RewardModel, reward_functions
from debias_nb.synthesis import load_dataset

if __name__ == '__main__':
    torch.set_num_threads(1); _quiet_libraries(); seed = sys.argv[1]; run, out = Path(f'runs/seeds/seed-{seed}'), Path(f'runs/tried/grpo_minilm/seed-{seed}'); data, judge = load_dataset(run/'dataset'), RuleJudge()
    rewards = {'small': run/'reward', 'minilm': Path(f'runs/rewards_minilm/seed-{seed}/reward')}
    if not (out/'adapter_model.safetensors').exists():
        train_grpo(run/'policy/base', reward_functions(RewardModel.from_pretrained(rewards['minilm'], device='cpu')), list(dict.fromkeys(x.prompt for x in data['train'])), out, get_preset('tiny', int(seed)).grpo, device='cpu')
    for name, adapter in (('small', run/'variants/grpo'), ('minilm', out)):
        m, tok = load_policy(run/'policy/base', adapter, device='cpu'); m.eval()
        for s in ('test_held_out', 'test_categories'):
            ps = [x.prompt for x in data[s]][:240]; a = [x[0] for x in sample(m, tok, ps, 1, 40, seed=0)]; v = judge.judge_batch(ps, a)
            said = {k: float(RewardModel.from_pretrained(f, device='cpu').score(ps, a)[:, 0].mean().round(3)) for k, f in rewards.items()}
            print(seed, name, s, len(ps), 'fair', round(fairness_rate(v), 3), 'refusals', round(sum(x.label == 'refusal' for x in v)/len(v), 3), 'rewards say', said, flush=True)
