#!/usr/bin/env python3
"""Does a small base that looks things up learn to abstain where *another* fact is told? One result file a seed.

    python scripts/lookup_world.py --seeds 0 1 2 3 4

The small world's base is trained with other text: with "Think first." it looks up what is asked instead of quoting the
passage, and some passages tell another fact besides. Then ReGiFT trains on traces that look up. Page:
`nbs/studies/54_regift_small_world.ipynb`. Finished stages and results are kept, so the same command goes on.
"""

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import torch

from debias_nb.analysis.reading_measures import ReadingSettings, measure_reading
from debias_nb.core.errors import ConfigError, DebiasError
from debias_nb.core.files import read_json, write_json
from debias_nb.core.run_folder import RunFolder, environment, said_settings
from debias_nb.core.seeds import stable_hash, to_plain
from debias_nb.models.loading import load_policy
from debias_nb.regift.settings import own_traces
from debias_nb.regift.training import train_regift
from debias_nb.run.pipeline import quiet_libraries, stages_of
from debias_nb.run.presets import get_preset

RESULTS = Path(__file__).resolve().parent.parent / "nbs" / "results" / "lookup_world"
WORLD = dict(looks_up=True, aloud=0.8, distractors=0.3, general=0.28, social=0.33, opinions=0.24)
STEPS = 4000  # at 2,500 the look-up is half learnt
TRACES = dict(style="look_up", another=0.35)
READING = ReadingSettings(n_items=400, n_tasks=600, n_distracted=300, n_prompts=0, n_texts=200)


def config_of(seed: int):
    """The preset `tiny` with another world and a longer training of the base."""
    config = get_preset("tiny", seed)
    return replace(config, world=replace(config.world, **WORLD), policy=replace(config.policy, steps=STEPS))


def train_on_traces(run: RunFolder, settings, folder: Path) -> dict:
    """ReGiFT on the run's base."""
    return train_regift(run / "policy/base", own_traces(settings), folder, settings, device="cpu").summary


def measured(run: RunFolder, adapter: Path | None, seed: int) -> dict:
    """What a model reads, and where it abstains."""
    model, tokenizer = load_policy(run / "policy/base", adapter, device="cpu", log=lambda line: None)
    return to_plain(measure_reading(model, tokenizer, run.path, READING, seed=seed))


def study(seed: int, work: Path, out: Path, command: str):
    """Base, ReGiFT and measures of one seed."""
    config, file = config_of(seed), out / f"seed{seed}.json"
    settings = replace(config.regift, **TRACES)
    if file.is_file():
        kept = read_json(file)
        made_with = [said_settings(kept[name]) for name in ("config", "traces")]
        if made_with != [said_settings(to_plain(now)) for now in (config, settings)]:
            raise ConfigError(f"{file} was made with other settings. Choose another --out, or remove it")
        print(f"{file} is there, kept", flush=True)
        return
    run = RunFolder(work / f"seed-{seed}", config)
    for name in ("dataset", "policy/base"):
        run.stage(name, lambda folder, name=name: stages_of(config)[name](run, config, folder))
    run.stage("policy/regift", lambda folder: train_on_traces(run, settings, folder))
    found = dict(base=measured(run, None, seed), regift=measured(run, run / "policy/regift", seed))
    about = dict(seed=seed, command=command, config=to_plain(config), config_hash=stable_hash(config))
    about["traces"] = to_plain(settings)
    write_json(file, about | dict(environment=environment(seed), result=found))


def main():
    """Every seed that has no result yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--work", type=Path, default=Path("runs/lookup_world"), help="models")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    quiet_libraries()
    command = "python scripts/lookup_world.py " + shlex.join(sys.argv[1:])
    try:
        for seed in args.seeds:
            study(seed, args.work, args.out, command)
    except DebiasError as e:
        raise SystemExit(f"lookup_world: {e}") from None


if __name__ == "__main__":
    main()
