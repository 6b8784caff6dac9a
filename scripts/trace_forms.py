"""How the models of the real ReGiFT study come to an answer where BBQ does not tell, counted.

`python scripts/trace_forms.py WORK...` reads the answers that `scripts/regift_real.py --size mixed` left in its --work
(one folder or several) and writes counts, and no text, to nbs/results/regift_real/mixed/forms.json.
"""

import argparse
from collections import Counter
from pathlib import Path

from regift_real import RESULTS, SIZES

from debias_nb.analysis.real_reading import bbq_items
from debias_nb.core.errors import DataError, DebiasError
from debias_nb.core.files import read_jsonl, write_json


def form(text: str) -> str:
    """What a worked answer says first."""
    if "The background says no more." in text:
        return "says no more"
    if "That does not show" in text:
        return "quotes, and it does not show"
    return "quotes, and it shows" if "That shows" in text else "other"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", nargs="+", type=Path, help="folders that regift_real.py was given as --work")
    try:
        items = bbq_items(SIZES["mixed"].reading, log=lambda line: None)
        found: dict = {}
        for work in parser.parse_args().work:
            for file in sorted((work / "mixed").glob("seed*/*/bbq.jsonl")):
                rows = read_jsonl(file)
                if len(rows) != len(items):
                    raise DataError(f"holds {len(rows)} answers of {len(items)}", file=file, remedy="Finish the study")
                pairs = zip(items, rows)
                untold = [row["text"] for item, row in pairs if item["context_condition"] == "ambig"]
                seed, setting = file.parts[-3], file.parts[-2]
                found.setdefault(setting, {})[seed] = dict(Counter(map(form, untold)))
        write_json(RESULTS / "mixed" / "forms.json", found)
    except DebiasError as e:
        raise SystemExit(f"trace_forms: {e}") from None
    print(RESULTS / "mixed" / "forms.json")


if __name__ == "__main__":
    main()
