#!/usr/bin/env python3
"""Ways of training the small reward model that were tried on 2026-11-23 and not taken (LAB_LOG.md).

    python benchmarks/reward_study.py --seeds 0 1 2 3 4 5 6 7 8 9       # the worlds (and the model as it is)
    python benchmarks/tried/tried.py 385+muon 1 8 2 7                   # a way, or several joined by +, and seeds -> results.jsonl

base: as it is. nsN: N % of the responses have one to three words replaced by words that do not exist (quality is not taught there). 385: the
wordings of aa01cfa too. wide: the same sentences with four times the words (wide_*.yaml, by helper agents blind to every test). hN: width N.
vN: N word pieces. xN: N thousand examples. muon: Muon for the matrices.
"""
import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path

import torch
import yaml

import debias_nb.reward as R
from debias_nb.pipeline import _quiet_libraries, get_preset
from debias_nb.synthesis import load_dataset

HERE = Path(__file__).parent


def nonsense(share):
    made = R.training_examples
    def f(*a, **k):
        r, out = random.Random(f'nonsense{a[2].seed}'), []
        for e in made(*a, **k):
            w = e.response.split()
            if r.random() < share:
                if len(w) >= 4:
                    for _ in range(r.choice([1, 1, 2, 3])):
                        i = r.randrange(len(w)); core = w[i].strip('.,!?')
                        if not core: continue
                        new = ''.join(r.choice(R._SYLLABLES) for _ in range(r.choice([1, 1, 2, 3]))) + r.choice(['', 'n', 'r', 's', 'l', 'ng'])
                        w[i] = w[i].replace(core, new.capitalize() if core[0].isupper() else new)
                    e = e._replace(response=' '.join(w), labels={**e.labels, 'quality': float('nan')})
            out.append(e)
        return out
    R.training_examples = f


def words(parts, new, more):
    was = R.wordings
    def fill(t):
        while '<' in t: t = re.sub(r'<(\w+)>', lambda m: f'[{parts[m[1]]}]', t)
        return t
    train = {k: (tuple(was('train').get(k, ())) if more else ()) + tuple(map(fill, new.get(k, ()))) for k in {*was('train'), *new}}
    R.wordings = lambda part='train': train if part == 'train' else was(part)


class Muon(torch.optim.Optimizer):
    "Muon for matrices, AdamW for the rest."
    def __init__(self, groups, lr): super().__init__(groups, dict(lr=lr))
    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            for p in (p for p in g['params'] if p.grad is not None):
                s = self.state[p]; m = s.setdefault('m', torch.zeros_like(p))
                if g['muon']:
                    m.mul_(.95).add_(p.grad); u = p.grad + .95*m; X = u/(u.norm() + 1e-7); t = X.shape[0] > X.shape[1]
                    X = X.T if t else X
                    for _ in range(5): A = X@X.T; X = 3.4445*X + (-4.7750*A + 2.0315*A@A)@X
                    p.mul_(1 - g['lr']*.01).add_(X.T if t else X, alpha=-g['lr']*.2*max(p.shape)**.5)
                else:
                    s['t'] = s.get('t', 0) + 1; v = s.setdefault('v', torch.zeros_like(p)); m.lerp_(p.grad, .1); v.lerp_(p.grad**2, .02)
                    p.mul_(1 - g['lr']*.01).addcdiv_(m/(1 - .9**s['t']), (v/(1 - .98**s['t'])).sqrt() + 1e-8, value=-g['lr'])


def muon(self, *a, **k):
    inner = [p for n, p in self.model.named_parameters() if p.ndim == 2 and not re.search('embeddings|rel|classifier', n)]; ids = {id(p) for p in inner}
    self.optimizer = Muon([dict(params=inner, muon=True), dict(params=[p for p in self.model.parameters() if id(p) not in ids], muon=False)], self.args.learning_rate)
    return self.optimizer


if __name__ == '__main__':
    way, seeds, kw = sys.argv[1], sys.argv[2:], {}; torch.set_num_threads(1); _quiet_libraries()
    load = lambda f: yaml.safe_load((HERE/f).read_text(encoding='utf-8'))
    for o in way.split('+'):
        if o == 'muon': R.RewardTrainer.create_optimizer = muon
        elif o == '385':
            new = {}
            for d in (load('more_fair.yaml'), load('more_unfair.yaml')):
                for k, v in d.items(): new.setdefault(k, []).extend(v)
            words(yaml.safe_load((R.resources.files('debias_nb')/'wordings.yaml').read_text(encoding='utf-8'))['parts'], new, True)
        elif o == 'wide': words(load('wide_parts.yaml'), {**load('wide_fair.yaml'), **load('wide_unfair.yaml')}, False)
        elif o.startswith('ns'): nonsense(int(o[2:])/100)
        elif o != 'base': kw |= {dict(h='hidden_size', v='vocab_size', x='examples')[o[0]]: int(o[1:])*(1000 if o[0] == 'x' else 1)}
    for seed in seeds:
        data, out = load_dataset(f'runs/rewards/seed-{seed}/dataset'), Path(f'runs/tried/{way}/seed-{seed}')
        if not (out/'reward.json').is_file(): R.train_reward(data, replace(get_preset('tiny', int(seed)).reward, **kw), out, device='cpu')
        m = R.RewardModel.from_pretrained(out, device='cpu'); e = R.evaluate_reward(m, data); row = dict(way=way, seed=int(seed), **{f'{k}_{s}': float(v) for s, d in e.to_dict('index').items() for k, v in d.items()})
        for part in ('test', 'independent'):
            ex = R.wording_examples(data['test_held_out'][:150], part); s = m.score([x.prompt for x in ex], [x.response for x in ex])[:, 0]; by = {}
            for x, v in zip(ex, s): by.setdefault(x.kind, []).append((v > .5) != (x.labels['fairness'] > .5))
            row |= {f'{part}_{k}': float(sum(v)/len(v)) for k, v in by.items()}
        with open(HERE/'results.jsonl', 'a') as f: f.write(json.dumps(row) + '\n')
        print(way, seed, {s: round(row[f'ece_fairness_{s}'], 3) for s in ('test_id', 'test_templates', 'test_held_out', 'test_categories')}, flush=True)
