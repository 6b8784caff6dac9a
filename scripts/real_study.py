"""More ways of debiasing on finished runs of `--preset real`, on the same prompts, reward and judge.

    debias-nb run --preset real --seed 0 --out runs/real/seed-0
    python scripts/real_study.py --runs runs/real/seed-0 --methods prompting best_of_n dpo decoupled constrained

Each method is trained with GRPO's budget and measured as the run measured its own models. Whatever is whole is kept, so
the same command goes on after an interruption. One file per run and method goes to --out, with seed, configuration,
commit and command; the run's own models are recorded beside them.
"""

import argparse
import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from debias_nb.core.errors import ConfigError, DebiasError
from debias_nb.core.files import read_json, write_json
from debias_nb.core.run_folder import RunFolder, environment
from debias_nb.core.seeds import stable_hash, to_plain
from debias_nb.grpo.baseline_answers import load_baseline
from debias_nb.grpo.baselines import equal_budget, train_baseline
from debias_nb.reward.model import RewardModel
from debias_nb.run.machine import run_device
from debias_nb.run.pipeline import models_of, quiet_libraries
from debias_nb.run.presets import get_preset
from debias_nb.run.real_analysis import measure_text_policy
from debias_nb.run.real_stages import grpo_on_text
from debias_nb.synthesis.dataset_files import load_dataset

FLOOR = 0.05  # spread of a reward head in a group that counts as noise
GRPO = {
    "decoupled": dict(aggregation="decoupled", noise_floor=FLOOR),
    "constrained": dict(aggregation="constrained", noise_floor=FLOOR, constraints=(("quality", None),)),
    "fair_only": dict(weights=(1.0, 0.0, 0.0)),
}
BASELINES = ("prompting", "best_of_n", "dpo")
UNCHANGED = ("prompting", "best_of_n")  # the base model with another way of answering: nothing else to measure


def run_config(run: Path):
    """The configuration of a finished run, from its preset, seed and changes."""
    kept = read_json(run / "config.json")
    config = get_preset(kept["preset"], kept["seed"], kept["model"])
    text = replace(config.text, **kept["text"])
    grpo = replace(config.grpo, **{k: tuple(v) if isinstance(v, list) else v for k, v in kept["grpo"].items()})
    return replace(config, text=text, grpo=grpo)


def train(run: RunFolder, config, name: str, folder: Path) -> dict:
    """One method, trained with GRPO's budget."""
    if name in GRPO:
        changed = replace(config, grpo=replace(config.grpo, **GRPO[name]))
        if name == "fair_only":
            changed = replace(changed, text=replace(changed.text, on_topic=0.0))
        return grpo_on_text(run, changed, folder, f"study/{name}")
    settings = equal_budget(config.grpo, temperature=config.text.temperature or 1.0, n=4)
    settings = replace(settings, max_completion_length=config.text.max_new_tokens)
    reward = RewardModel.from_pretrained(run / "reward", device=run_device(config))
    data = load_dataset(run / "dataset")
    return train_baseline(name, run / "policy/base", data, folder, settings, reward, run_device(config)).summary


def measure(run: RunFolder, config, name: str, folder: Path) -> dict:
    """All numbers of one method; what the base model shares with it is not measured again."""
    device = run_device(config)
    reward = RewardModel.from_pretrained(run / "reward", device=device)
    model, tokenizer, answer = load_baseline(run / "study" / name, run / "policy/base", reward, device)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload().eval()
    place = run / "checkpoints/study-analysis" / name
    way = (lambda texts, n: answer(texts, n, config.seed)) if name in UNCHANGED else None
    asked = config
    if name in UNCHANGED:
        nothing = dict(squad=0, passages=0, stereoset=0, likelihood_bbq=0, likelihood_crows=0)
        asked = replace(config, text=replace(config.text, **nothing))
    found = measure_text_policy(run, asked, model, tokenizer, place, way)
    shutil.copytree(place, folder, dirs_exist_ok=True)
    return found


def analyse(run: RunFolder, config, name: str, folder: Path) -> dict:
    """The stage of a method's numbers."""
    found = to_plain(measure(run, config, name, folder))
    write_json(folder / "metrics.json", found)
    return dict(fairness=found["model"]["fairness"]["value"])


def record(out: Path, run: Path, config, name: str, found: dict, command: str, commit: str | None = None):
    """One result with all that is needed to repeat it."""
    env = environment(config.seed)
    about = dict(method=name, seed=config.seed, preset=config.preset, command=command, commit=commit or env["commit"])
    about |= dict(config_hash=stable_hash(config), hardware=env["hardware"])
    write_json(out / f"seed-{config.seed}" / f"{name}.json", to_plain(about | found))


def study(run: Path, methods: list, out: Path, command: str):
    """The run's own models and the further methods."""
    config = run_config(run)
    if not (run / "metrics.json").is_file():
        raise ConfigError(f"{run} is not finished. Finish it with: debias-nb run --preset {config.preset} --out {run}")
    kept = read_json(run / "metrics.json")
    for name in models_of(config):
        found = read_json(run / f"analysis/{name}/metrics.json")
        made = kept["provenance"]
        record(out, run, config, name, found | dict(stages=kept["stages"]), made["command"], made["commit"])
    if not methods:
        return
    folder = RunFolder(run, config)
    for name in methods:
        folder.stage(f"study/{name}", lambda place, name=name: train(folder, config, name, place))
        folder.stage(f"study-analysis/{name}", lambda place, name=name: analyse(folder, config, name, place))
        record(out, run, config, name, read_json(run / f"study-analysis/{name}/metrics.json"), command)
        print(f"{run}: {name} done", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", type=Path, required=True, help="finished runs of --preset real")
    parser.add_argument("--methods", nargs="*", choices=[*BASELINES, *GRPO], default=[*BASELINES, *GRPO])
    parser.add_argument("--out", type=Path, default=Path("nbs/results/real"))
    args = parser.parse_args()
    quiet_libraries()
    command = "python scripts/real_study.py " + shlex.join(sys.argv[1:])
    try:
        for run in args.runs:
            study(run, args.methods, args.out, command)
    except DebiasError as e:
        sys.exit(f"error: {e}")


if __name__ == "__main__":
    main()
