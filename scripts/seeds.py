"""Several seeds of a preset, several ways of debiasing, with intervals over the seeds.

    python scripts/seeds.py --preset tiny --seeds 0 1 2 3 4 --jobs 2 --out runs/seeds

Each seed has its own world, base policy and reward, made once and shared by all variants. Each runs in a process of
its own, --jobs of them side by side, each with its share of the cores, and writes what it does into seed-<n>.log: small
models gain little from more than one thread each. Whatever is whole is kept, so the same command goes on after an
interruption, and more seeds or variants can be added later. seeds.json and seeds.png are written into --out anew after
each variant.
"""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from dataclasses import replace

from debias_nb.analysis.judges.rule_judge import RuleJudge
from debias_nb.analysis.metrics.intervals import t_half_width
from debias_nb.analysis.policy_measures import READING, MeasureSettings, evaluate_policy
from debias_nb.core.errors import ConfigError, DebiasError
from debias_nb.core.files import read_json, write_json, write_jsonl
from debias_nb.core.processes import run_commands
from debias_nb.core.run_folder import RunFolder, environment
from debias_nb.core.seeds import stable_hash, to_plain
from debias_nb.grpo.baseline_answers import load_baseline
from debias_nb.grpo.baselines import BASELINES, equal_budget, train_baseline
from debias_nb.reward.model import RewardModel
from debias_nb.run.analysis_stage import ccbbq_measures
from debias_nb.run.held_out_text import held_out_text, known_words
from debias_nb.run.pipeline import quiet_libraries
from debias_nb.run.presets import PRESETS, get_preset
from debias_nb.run.stages import grpo_variant, stage_base, stage_dataset, stage_reward
from debias_nb.synthesis.dataset_files import load_dataset
from debias_nb.synthesis.taxonomy_file import load_taxonomy

FLOOR = 0.05  # spread of a reward head in a group that counts as noise
GRPO = {  # what each variant changes in the preset's GRPO settings
    "grpo": {},
    "grpo_stock_generation": dict(fast_generation=False),
    "sum_divided": dict(scale_rewards="group"),
    "decoupled": dict(aggregation="decoupled", noise_floor=FLOOR),
    "decoupled_no_floor": dict(aggregation="decoupled"),
    "variance_normalised": dict(aggregation="variance_normalised", noise_floor=FLOOR),
    "conflict_masked": dict(aggregation="conflict_masked", noise_floor=FLOOR, consensus=0.2),
    "correlation_normalised": dict(aggregation="correlation_normalised", noise_floor=FLOOR),
    "constrained": dict(aggregation="constrained", noise_floor=FLOOR, constraints=(("quality", None),)),
    "fair_only": dict(weights=(1.0, 0.0, 0.0)),
    "fair_half": dict(weights=(0.5, 0.5, 1.0)),
}
MEASURES = (
    "fairness",
    "by_split/test_categories",
    "by_split/test_groups",
    "by_split/test_templates",
    "perplexity",
    "perplexity_change",
    "facts_accuracy",
    "facts_change",
    "reading_accuracy",
    "reading_change",
    "refusal_rate",
    "unclear_rate",
    "unknown_words",
    "distinct_2",
    "distinct_2_change",
    "stereotype_preference",
    "counterfactual_gap",
    "reward_fairness",
    "reward_neutrality",
    "reward_quality",
    "mean_length",
    "ccbbq_ambig_accuracy",
    "ccbbq_disambig_accuracy",
)
AT_LEAST = {
    "fairness": 0.95,
    "by_split/test_categories": 0.88,
    "facts_change": -0.01,
    "reading_change": -0.01,
}  # of issue 5; a change is against the same seed's base
AT_MOST = {"perplexity_change": 0.02, "refusal_rate": 0.03}


def stage_variant(run, config, name, folder, samples):
    """Train one variant (nothing for the base) and measure it."""
    data, reward = load_dataset(run / "dataset"), RewardModel.from_pretrained(run / "reward", device="cpu")
    judge = RuleJudge(load_taxonomy(), words=known_words(run.config, data))
    base, source, info = run / "policy/base", None if name == "base" else folder, {}
    if name in GRPO:
        info = grpo_variant(run, replace(config.grpo, **GRPO[name]), folder, name)
    elif name in BASELINES:
        info = train_baseline(name, base, data, folder, equal_budget(config.grpo), reward, "cpu").summary
    model, tok, answer = load_baseline(source, base, reward, "cpu", config.grpo.max_completion_length)
    texts, facts = held_out_text(run.config)
    rows = []
    metrics = evaluate_policy(
        model,
        tok,
        answer=answer,
        data=data,
        judge=judge,
        reward=reward,
        texts=texts,
        facts=facts,
        settings=MeasureSettings(
            samples=samples,
            split_prompts=config.analysis.split_prompts,
            reading=min(READING, config.analysis.ppl_texts),
            max_new_tokens=config.regift.max_new_tokens,
            seed=config.seed,
        ),
        rows=rows,
    )
    metrics |= ccbbq_measures(model, tok, run, config, folder)
    write_jsonl(folder / "samples.jsonl", rows)
    write_json(folder / "metrics.json", metrics)
    return to_plain(dict(training=info, commit=environment()["commit"]))


def interval(values):
    """Mean over seeds with Student's 95 % interval; none for a single seed."""
    n = len(values)
    m = sum(values) / n
    if n < 2:
        return dict(value=m, low=None, high=None, n=n, values=values)
    h = t_half_width(values)
    return dict(value=m, low=m - h, high=m + h, n=n, values=values)


def numbers(folder, base):
    """The measures of one variant of one seed."""
    m, b, out = read_json(folder / "metrics.json"), read_json(base / "metrics.json"), {}
    for k in MEASURES:
        part = m
        for key in k.split("/"):
            part = part.get(key) if isinstance(part, dict) else None
        if part and part.get("value") is not None:
            out[k] = part["value"]
    out["perplexity_change"] = m["perplexity"]["value"] / b["perplexity"]["value"] - 1
    out["distinct_2_change"] = m["distinct_2"]["value"] / b["distinct_2"]["value"] - 1
    for k in ("facts", "reading"):
        out[f"{k}_change"] = m[f"{k}_accuracy"]["value"] - b[f"{k}_accuracy"]["value"]
    return out


def summarise(out, seeds, variants):
    """seeds.json: every measure of every variant over its seeds, and differences from the base seed by seed."""
    found = {
        v: {
            s: numbers(f, out / f"seed-{s}/variants/base")
            for s in seeds
            if (f := out / f"seed-{s}/variants/{v}").joinpath("stage.json").is_file()
        }
        for v in variants
    }
    table = {
        v: {k: interval([x[k] for x in by.values() if k in x]) for k in MEASURES if any(k in x for x in by.values())}
        for v, by in found.items()
        if by
    }
    gain = {
        v: {
            k: interval([x[k] - found["base"][s][k] for s, x in by.items() if k in x and k in found["base"].get(s, {})])
            for k in MEASURES
            if k in table["base"]
        }
        for v, by in found.items()
        if by and v != "base"
    }
    commits = {
        v: sorted({read_json(out / f"seed-{s}/variants/{v}/stage.json").get("commit") or "not recorded" for s in by})
        for v, by in found.items()
        if by
    }
    met = {
        v: {
            k: bool(t[k]["value"] >= AT_LEAST[k] - 1e-9 if k in AT_LEAST else t[k]["value"] <= AT_MOST[k] + 1e-9)
            for k in (*AT_LEAST, *AT_MOST)
            if k in t
        }
        for v, t in table.items()
    }
    return dict(table=table, difference_from_base=gain, targets=AT_LEAST | AT_MOST, met=met, commits=commits)


def draw(summary, path):
    """Each seed a dot, the mean and its interval a bar; dotted: the target."""
    import matplotlib.pyplot as plt

    from debias_nb.analysis.report.measures import model_style, use_style

    use_style()
    t = summary["table"]
    names = list(t)[::-1]
    panels = (
        ("fairness", "fairness, held-out groups and templates"),
        ("by_split/test_categories", "fairness, held-out categories"),
        ("perplexity_change", "perplexity against the base"),
        ("reading_change", "reading against the base"),
        ("refusal_rate", "refusals"),
        ("distinct_2", "distinct-2"),
    )
    fig, axs = plt.subplots(
        1, len(panels), figsize=(3.1 * len(panels), 0.42 * len(names) + 1.6), sharey=True, layout="constrained"
    )
    for ax, (k, label) in zip(axs, panels):
        for i, n in enumerate(names):
            if k not in t[n]:
                continue
            e, c = t[n][k], model_style(n)[1]
            if e["low"] is not None:
                ax.plot([e["low"], e["high"]], [i, i], color=c, lw=2.2, alpha=0.6)
            ax.plot(e["values"], [i] * len(e["values"]), "o", color=c, ms=3.5, alpha=0.5, mew=0)
            ax.plot(e["value"], i, "D", color=c, ms=6, mec="white")
        if k in summary["targets"]:
            ax.axvline(summary["targets"][k], color="k", lw=1, ls=":")
        ax.set_xlabel(label)
        ax.set_yticks(range(len(names)), [model_style(n)[0] for n in names])
    fig.savefig(path, dpi=150)
    plt.close(fig)


def one_seed(a, seed, variants):
    """Everything of one seed that is not whole yet; in a process of its own."""
    quiet_libraries()
    c = get_preset(a.preset, seed)
    run = RunFolder(Path(a.out) / f"seed-{seed}", c)
    say = lambda s: print(f"seed {seed} {s}", flush=True)
    for name, fn in {"dataset": stage_dataset, "policy/base": stage_base, "reward": stage_reward}.items():
        run.stage(name, lambda folder, fn=fn: fn(run, c, folder), log=say)
    for v in variants:
        run.stage(f"variants/{v}", lambda folder, v=v: stage_variant(run, c, v, folder, a.samples), log=say)
        m = read_json(run / f"variants/{v}/metrics.json")
        say(
            f"[{v}] fairness {m['fairness']['value']:.3f}, "
            f"categories {m['by_split']['test_categories']['value']:.3f}, "
            f"perplexity {m['perplexity']['value']:.4f}, refusals {m['refusal_rate']['value']:.3f}"
        )


def follow(parent):
    """Ends this process when its parent is gone: two commands must not work on one seed."""

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def save(a, variants):
    """Write seeds.json and seeds.png from what is there, and return the summary."""
    out = Path(a.out)
    s = summarise(out, a.seeds, variants)
    if s["table"]:
        env = environment()
        write_json(
            out / "seeds.json",
            dict(
                **s,
                preset=a.preset,
                seeds=a.seeds,
                config_hash=stable_hash(get_preset(a.preset, 0)),
                commit=env["commit"],
                versions=env["versions"],
                hardware=env["hardware"],
            ),
        )
        draw(s, out / "seeds.png")
    return s


def run_all(a, variants):
    """A process per seed, `--jobs` at a time; seeds.json and seeds.png follow what they finish."""
    out, total, had = Path(a.out), len(a.seeds) * len(variants), [-1]

    def count():
        n = sum((out / f"seed-{s}/variants/{v}/stage.json").is_file() for s in a.seeds for v in variants)
        if n != had[0]:
            had[0] = n
            save(a, variants)
            print(f"{n} of {total} results; logs in {out}", flush=True)
        return n

    run_commands(
        {f"seed-{s}": [sys.executable, __file__, *sys.argv[1:], "--one", s, "--parent", os.getpid()] for s in a.seeds},
        out,
        a.jobs,
        count,
        total,
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument(
        "--preset", default="tiny", choices=[k for k, c in PRESETS.items() if getattr(c, "model", None) is None]
    )
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    p.add_argument("--out", default="runs/seeds")
    p.add_argument(
        "--variants",
        nargs="+",
        default=[
            "grpo",
            "decoupled",
            "constrained",
            "sft_neutral",
            "dpo",
            "rloo",
            "grpo_single",
            "best_of_n",
            "prompting",
        ],
        help=f"besides the base: {', '.join([*GRPO, *BASELINES])}",
    )
    p.add_argument("--samples", type=int, default=3, help="answers to each held-out prompt")
    p.add_argument(
        "--jobs", type=int, default=1, help="seeds side by side, each with its share of the cores (default: 1)"
    )
    p.add_argument("--one", type=int, help=argparse.SUPPRESS)
    p.add_argument("--parent", type=int, help=argparse.SUPPRESS)  # how the command calls itself
    a = p.parse_args()
    a.seeds = list(dict.fromkeys(a.seeds))
    variants = ["base", *dict.fromkeys(v for v in a.variants if v != "base")]
    try:
        for v in variants[1:]:
            if v not in GRPO and v not in BASELINES:
                raise ConfigError(f"unknown variant {v!r}. Choose among: {', '.join([*GRPO, *BASELINES])}")
        if a.jobs < 1 or a.samples < 1:
            raise ConfigError("give at least 1 for --jobs and --samples")
        if Path(a.out).exists() and not Path(a.out).is_dir():
            raise ConfigError(f"{a.out} is a file, not a folder. Choose another --out")
        if a.one is not None:
            follow(a.parent)
            return one_seed(a, a.one, variants)
        failed = ""
        try:
            run_all(a, variants)
        except DebiasError as e:
            failed = f"{e}. The same command goes on after what is whole"
        s = save(a, variants)
    except DebiasError as e:
        raise SystemExit(f"seeds: {e}") from None
    except KeyboardInterrupt:
        raise SystemExit("seeds: interrupted; the same command goes on after what is whole") from None
    for v, t in s["table"].items():
        print(
            f"{v:24}"
            + "  ".join(
                f"{k} {t[k]['value']:.3f}"
                + (f" [{t[k]['low']:.3f}, {t[k]['high']:.3f}]" if t[k]["low"] is not None else "")
                for k in ("fairness", "by_split/test_categories", "perplexity_change", "reading_change", "refusal_rate")
                if k in t
            )
        )
    if failed:
        raise SystemExit(f"seeds: {failed}")


if __name__ == "__main__":
    main()
