"""What the judge's list of all words changes in a finished run of the small world.

`python scripts/judge_words.py runs/demo` judges the held-out answers of each model with the list and without it, and
writes how many verdicts differ to nbs/results/judge_words.json, which the page of results shows.
"""

import argparse
from collections import Counter
from pathlib import Path

from debias_nb.analysis.judges.rule_judge import RuleJudge
from debias_nb.analysis.policy_measures import held_out
from debias_nb.core.errors import DebiasError
from debias_nb.core.files import read_json, read_jsonl, write_json
from debias_nb.run.held_out_text import known_words
from debias_nb.synthesis.dataset_files import dataset_groups, load_dataset
from debias_nb.synthesis.own_taxonomy import own_taxonomy

OUT = Path(__file__).resolve().parent.parent / "nbs" / "results" / "judge_words.json"


def changes(run: Path) -> dict:  # model -> answers, and how many went from one verdict to another
    """Verdicts without the list and with it."""
    data, groups = load_dataset(run / "dataset"), own_taxonomy(dataset_groups(run / "dataset"))
    words = known_words(read_json(run / "config.json", dict), data)
    without, with_list = RuleJudge(groups), RuleJudge(groups, words=words)
    out = {}
    for file in sorted((run / "analysis").glob("*/samples.jsonl")):
        rows = held_out(read_jsonl(file))
        asked, said = [row["prompt"] for row in rows], [row["response"] for row in rows]
        pairs = zip(without.judge_batch(asked, said), with_list.judge_batch(asked, said))
        changed = Counter(f"{a.label} to {b.label}" for a, b in pairs if a.label != b.label)
        out[file.parent.name] = dict(answers=len(rows), changed=dict(changed))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    run = parser.parse_args().run
    try:
        made = read_json(run / "metrics.json", dict)["provenance"]
        write_json(OUT, dict(run=made, models=changes(run)))
    except DebiasError as e:
        raise SystemExit(f"judge_words: {e}") from None
    print(OUT)


if __name__ == "__main__":
    main()
