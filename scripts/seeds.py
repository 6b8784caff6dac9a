"""Several seeds of a preset, several ways of debiasing, with intervals over the seeds.

    python scripts/seeds.py --preset tiny --seeds 0 1 2 3 4 --out runs/seeds

Each seed has its own world, base policy and reward, made once and shared by all variants. Whatever is whole is kept, so the same command goes on after
an interruption, and more seeds or variants can be added later. Writes seeds.json and seeds.png into --out, anew after each variant.
"""
import argparse
import math
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')

from scipy import stats

from debias_nb.baselines import BASELINES, equal_budget, evaluate_policy, held_out_text, load_baseline, train_baseline
from debias_nb.core import ConfigError, DebiasError, RunFolder, environment, read_json, stable_hash, to_plain, write_json, write_jsonl
from debias_nb.grpo import train_grpo
from debias_nb.judges import RuleJudge, fairness_rate
from debias_nb.pipeline import PRESETS, _quiet_libraries, get_preset, stage_base, stage_dataset, stage_reward
from debias_nb.reward import RewardModel, reward_functions
from debias_nb.synthesis import load_dataset
from debias_nb.taxonomy import load_taxonomy

FLOOR = 0.05 # spread of a reward head in a group that counts as noise
GRPO = { # what each variant changes in the preset's GRPO settings
    'grpo': {}, 'grpo_fast': dict(fast_generation=True), 'sum_divided': dict(scale_rewards='group'),
    'decoupled': dict(aggregation='decoupled', noise_floor=FLOOR), 'decoupled_no_floor': dict(aggregation='decoupled'),
    'variance_normalised': dict(aggregation='variance_normalised', noise_floor=FLOOR), 'conflict_masked': dict(aggregation='conflict_masked', noise_floor=FLOOR, consensus=.2),
    'correlation_normalised': dict(aggregation='correlation_normalised', noise_floor=FLOOR),
    'constrained': dict(aggregation='constrained', noise_floor=FLOOR, constraints=(('quality', None),)),
    'fair_only': dict(weights=(1., 0., 0.)), 'fair_half': dict(weights=(.5, .5, 1.)),
}
MEASURES = ('fairness', 'by_split/test_categories', 'by_split/test_groups', 'by_split/test_templates', 'perplexity', 'perplexity_change', 'facts_accuracy', 'refusal_rate', 'unclear_rate', 'distinct_2',
            'stereotype_preference', 'reward_fairness', 'reward_neutrality', 'reward_quality', 'mean_length')
TARGETS = {'fairness': .95, 'by_split/test_categories': .88, 'perplexity_change': .02, 'refusal_rate': .03} # of issue 5


def stage_variant(run, config, name, folder, samples, judge):
    "Train one variant (nothing for the base) and measure it."
    data, reward = load_dataset(run/'dataset'), RewardModel.from_pretrained(run/'reward', device='cpu')
    source, base = None, run/'policy/base'
    if name in GRPO:
        s = replace(config.grpo, **GRPO[name]); source = folder
        look = lambda ps, xs: dict(fairness=fairness_rate(v := judge.judge_batch(list(ps), list(xs))), refusal=sum(x.label == 'refusal' for x in v)/len(v), unclear=sum(x.label == 'unclear' for x in v)/len(v))
        info = train_grpo(base, reward_functions(reward), list(dict.fromkeys(x.prompt for x in data['train'])), folder, s, look, [x.prompt for x in data['validation']][:64], device='cpu', checkpoints=run/'checkpoints'/name)
    elif name in BASELINES: source = folder; info = train_baseline(name, base, data, folder, equal_budget(config.grpo), reward, 'cpu')
    elif name == 'base': info = {}
    else: raise ConfigError(f'unknown variant {name!r}. Choose among: base, {", ".join([*GRPO, *BASELINES])}')
    model, tok, answer = load_baseline(source, base, reward, 'cpu'); rows = []
    metrics = evaluate_policy(model, tok, answer, data, judge, reward, *held_out_text(run.config), samples, config.analysis.split_prompts, config.seed, rows)
    write_jsonl(folder/'samples.jsonl', rows); write_json(folder/'metrics.json', metrics)
    return to_plain(dict(training={k: v for k, v in info.items() if k != 'losses'}))


def interval(values):
    "Mean over seeds with Student's 95 % interval; none for a single seed."
    n = len(values); m = sum(values)/n
    if n < 2: return dict(value=m, low=None, high=None, n=n, values=values)
    h = float(stats.t.ppf(.975, n - 1))*math.sqrt(sum((v - m)**2 for v in values)/(n - 1)/n)
    return dict(value=m, low=m - h, high=m + h, n=n, values=values)


def numbers(folder, base):
    "The measures of one variant of one seed."
    m, b, out = read_json(folder/'metrics.json'), read_json(base/'metrics.json'), {}
    for k in MEASURES:
        part = m
        for key in k.split('/'): part = part.get(key) if isinstance(part, dict) else None
        if part and part.get('value') is not None: out[k] = part['value']
    out['perplexity_change'] = m['perplexity']['value']/b['perplexity']['value'] - 1
    return out


def summarise(out, seeds, variants):
    "seeds.json: every measure of every variant over the seeds that have it, and differences from the base seed by seed."
    found = {v: {s: numbers(f, out/f'seed-{s}/variants/base') for s in seeds if (f := out/f'seed-{s}/variants/{v}/metrics.json').is_file() and (f := f.parent)} for v in variants}
    table = {v: {k: interval([x[k] for x in by.values() if k in x]) for k in MEASURES if any(k in x for x in by.values())} for v, by in found.items() if by}
    gain = {v: {k: interval([x[k] - found['base'][s][k] for s, x in by.items() if k in x and k in found['base'].get(s, {})]) for k in MEASURES if k in table['base']} for v, by in found.items() if by and v != 'base'}
    met = {v: {k: bool(t[k]['value'] >= goal if k in ('fairness', 'by_split/test_categories') else t[k]['value'] <= goal) for k, goal in TARGETS.items() if k in t} for v, t in table.items()}
    return dict(table=table, difference_from_base=gain, targets=TARGETS, met=met)


def draw(summary, path):
    "Each seed a dot, the mean and its interval a bar; dotted: the target."
    import matplotlib.pyplot as plt
    from debias_nb.report import model_style, use_style
    use_style(); t = summary['table']; names = list(t)[::-1]
    panels = (('fairness', 'fairness, held-out groups and templates'), ('by_split/test_categories', 'fairness, held-out categories'), ('perplexity_change', 'perplexity against the base'), ('refusal_rate', 'refusals'), ('distinct_2', 'distinct-2'))
    fig, axs = plt.subplots(1, len(panels), figsize=(3.1*len(panels), .42*len(names) + 1.6), sharey=True, layout='constrained')
    for ax, (k, label) in zip(axs, panels):
        for i, n in enumerate(names):
            if k not in t[n]: continue
            e, c = t[n][k], model_style(n)[1]
            if e['low'] is not None: ax.plot([e['low'], e['high']], [i, i], color=c, lw=2.2, alpha=.6)
            ax.plot(e['values'], [i]*len(e['values']), 'o', color=c, ms=3.5, alpha=.5, mew=0); ax.plot(e['value'], i, 'D', color=c, ms=6, mec='white')
        if k in summary['targets']: ax.axvline(summary['targets'][k], color='k', lw=1, ls=':')
        ax.set_xlabel(label); ax.set_yticks(range(len(names)), [model_style(n)[0] for n in names])
    fig.savefig(path, dpi=150); plt.close(fig)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--preset', default='tiny', choices=list(PRESETS)); p.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4]); p.add_argument('--out', default='runs/seeds')
    p.add_argument('--variants', nargs='+', default=['grpo', 'decoupled', 'constrained', 'sft_neutral', 'dpo', 'rloo', 'grpo_single', 'best_of_n', 'prompting'], help=f'besides the base: {", ".join([*GRPO, *BASELINES])}')
    p.add_argument('--samples', type=int, default=3, help='answers to each held-out prompt')
    a = p.parse_args(); out, variants, judge = Path(a.out), ['base', *dict.fromkeys(v for v in a.variants if v != 'base')], RuleJudge(load_taxonomy()); _quiet_libraries()
    try:
        for v in variants[1:]:
            if v not in GRPO and v not in BASELINES: raise ConfigError(f'unknown variant {v!r}. Choose among: {", ".join([*GRPO, *BASELINES])}')
        for seed in a.seeds:
            c = get_preset(a.preset, seed); run = RunFolder(out/f'seed-{seed}', c); say = lambda s, seed=seed: print(f'seed {seed} {s}', flush=True)
            for name, fn in {'dataset': stage_dataset, 'policy/base': stage_base, 'reward': stage_reward}.items(): run.stage(name, lambda folder, fn=fn, run=run, c=c: fn(run, c, folder), log=say)
            for v in variants:
                run.stage(f'variants/{v}', lambda folder, v=v, run=run, c=c: stage_variant(run, c, v, folder, a.samples, judge), log=say)
                m = read_json(run/f'variants/{v}/metrics.json'); say(f'[{v}] fairness {m["fairness"]["value"]:.3f}, categories {m["by_split"]["test_categories"]["value"]:.3f}, perplexity {m["perplexity"]["value"]:.4f}, refusals {m["refusal_rate"]["value"]:.3f}')
                s = summarise(out, a.seeds, variants); env = environment()
                write_json(out/'seeds.json', dict(**s, preset=a.preset, seeds=a.seeds, config_hash=stable_hash(get_preset(a.preset, 0)), commit=env['commit'], versions=env['versions'], hardware=env['hardware'])); draw(s, out/'seeds.png')
    except DebiasError as e: raise SystemExit(f'seeds: {e}') from None
    for v, t in s['table'].items(): print(f'{v:24}' + '  '.join(f'{k} {t[k]["value"]:.3f}' + (f' [{t[k]["low"]:.3f}, {t[k]["high"]:.3f}]' if t[k]['low'] is not None else '') for k in ('fairness', 'by_split/test_categories', 'perplexity_change', 'refusal_rate') if k in t))


if __name__ == '__main__': main()
