"""The study of `nbs/studies/70_real_text_judge.ipynb`: rewards and a judge for real text, on what they never saw.

    debias-nb train-reward --real-text --seed 0 --out real/reward
    debias-nb train-judge --out real/judge
    python scripts/judge_study.py --reward real/reward --judge real/judge

Writes a JSON file for each into nbs/results/judges; files that are there are left alone. About 5 minutes on one core.
"""

import argparse
import sys
from pathlib import Path

from debias_nb.studies.real_text_judge import study

RESULTS = Path(__file__).resolve().parent.parent / "nbs" / "results" / "judges"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reward", nargs="*", default=[], help="folders, the first is seed 0")
    parser.add_argument("--judge", help="folder of the judge")
    parser.add_argument("--out", default=RESULTS, help="folder of the JSON files")
    args = parser.parse_args()
    named = " ".join(Path(a).name if "/" in a else a for a in sys.argv[1:])
    study(args.reward, args.judge, args.out, f"python scripts/judge_study.py {named}")


if __name__ == "__main__":
    main()
