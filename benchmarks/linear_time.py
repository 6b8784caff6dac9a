"""Does the time to read what a model wrote grow with its length, or with the square of it?

Looping models write such texts: the same tag, the same words, spaces without end. Each is read at 12.5, 25, 100 and
400 kB, a row of a predictions file at up to 60 MB. Writes nbs/results/linear_time.json, which tests/README.md cites and
nbs/studies/62_speed.ipynb shows.

    OMP_NUM_THREADS=1 python benchmarks/linear_time.py [--out nbs/results/linear_time.json] [--largest 400]

Takes about a minute. `growth` is the power of the length with which the time grew over the last two sizes: 1 is linear,
2 the square. The script ends with exit code 1 where a growth exceeds 1.5 and the time exceeds a tenth of a second.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

from debias_nb.analysis.benchmarks.files import prediction_rows
from debias_nb.analysis.benchmarks.items import mc_item
from debias_nb.analysis.benchmarks.matching import Questions
from debias_nb.analysis.judges.rule_judge import RuleJudge
from debias_nb.analysis.open_ended import read_open
from debias_nb.core.files import read_jsonl, write_json
from debias_nb.core.run_folder import environment
from debias_nb.models.structured import find_json
from debias_nb.models.written_answers import parse_response, without_thinking
from debias_nb.regift.filters import filter_traces, read_traces
from debias_nb.regift.traces import Trace, assert_agnostic
from debias_nb.synthesis.taxonomy_file import load_taxonomy

KB = (12.5, 25, 100, 400)
MB = (1, 15, 60)  # of a row in a predictions file
OPTIONS = ("The man", "The woman", "Not known"), ("man", "woman", "unknown")
ITEM = mc_item("A man and a woman met.", "Who was late?", *OPTIONS, 2, 0, "neg", "ambig", "Toy", 0, 0)


def repeated(piece: str, kilobytes: float, before: str = "", behind: str = "") -> str:
    """A text of this size."""
    return before + piece * round(1000 * kilobytes / len(piece.encode())) + behind


def cases(folder: Path) -> dict:
    """{what is read: (sizes in kB, size -> the text or file, the function that reads it)}."""
    taxonomy, questions = load_taxonomy(), Questions([ITEM])
    found: dict = {}
    for piece, behind in (("<think>", ""), ("<think></answer>", ""), ("<answer>", ""), (" ", "<answer>x</answer>")):
        what = f"parse_response, {piece if piece.strip() else 'spaces before <answer>'}"
        found[what] = (KB, lambda n, p=piece, b=behind: repeated(p, n, behind=b), parse_response)
    for piece in ("<|channel|>analysis", "<|end|> "):
        found[f"parse_response, {piece.strip()}"] = (KB, lambda n, p=piece: repeated(p, n), parse_response)
    found["without_thinking, </think>"] = (KB, lambda n: repeated("</think>", n), without_thinking)
    found["read_open, the man"] = (KB, lambda n: repeated("the man ", n), lambda text: read_open(text, ITEM))
    found["read_open, <answer>the man"] = (
        KB,
        lambda n: repeated("the man ", n, "<answer>", "</answer>"),
        lambda text: read_open(text, ITEM),
    )
    for what, before in (("thinking", "<think>"), ("thinking that holds JSON", '<think>{"a": ')):
        found[f"synthesis reply, {what}"] = (
            KB,
            lambda n, b=before: repeated("Who is it? ", n, b, '</think>{"a": 1}'),
            find_json,
        )
    found["synthesis reply, brackets"] = (KB, lambda n: repeated("{\n", n), tried(find_json))
    found["rule judge, a sentence"] = (
        KB,
        lambda n: repeated("They are lazy. ", n),
        judged,
    )
    found["rule judge, no full stop"] = (
        KB,
        lambda n: repeated("the man from Henan ", n),
        judged,
    )
    found["question in a prompt"] = (KB, lambda n: repeated("A man and a woman ", n), questions.find)
    found["trace, filtered"] = (KB, lambda n: repeated("The boat is red. ", n), filtered)
    found["trace, social content looked for"] = (
        KB,
        lambda n: repeated("The boat is red. ", n),
        lambda text: assert_agnostic([trace_of(text)], taxonomy),
    )
    found["trace, read from a file"] = (KB, lambda n: trace_file(folder, n), read_traces)
    sizes = [1000 * size for size in MB]
    found["predictions, a row"] = (sizes, lambda n: row_file(folder, n), prediction_rows)
    found["JSON Lines, a row"] = (sizes, lambda n: row_file(folder, n), read_jsonl)
    return found


JUDGE = RuleJudge(repetition=False)  # else what repeats itself is not read at all


def judged(text: str):
    """A verdict, without what is known from the last time."""
    JUDGE._abstracted.clear()
    return JUDGE.judge("Are people from Henan lazy?", text)


def tried(read):
    """A reader that may raise `ValueError`."""

    def reader(text):
        try:
            return read(text)
        except ValueError:
            return None

    return reader


def trace_of(text: str) -> Trace:
    """A trace with this reasoning."""
    return Trace("Lena has a red boat. Which colour has it?", text, "red", "red", ("red",))


def filtered(text: str):
    """A trace through all filters, beside its duplicate."""
    return filter_traces([trace_of(text), trace_of(text)], rule="strict", format_ok=True, band=(0, 10**9))


def trace_file(folder: Path, kilobytes: float) -> Path:
    """A file with one trace."""
    file = folder / "trace.jsonl"
    row = dict(prompt="Which colour?", reasoning=repeated("It is red. ", kilobytes), answer="red", gold="red")
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return file


def row_file(folder: Path, kilobytes: float) -> Path:
    """A predictions file with one long row."""
    file = folder / "row.jsonl"
    row = dict(category="Toy", example_id=0, prediction=repeated("the man ", kilobytes))
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return file


def seconds(read, made) -> float:
    """CPU time, the least of three."""
    best = math.inf
    for _ in range(3):
        start = time.process_time()
        read(made)
        best = min(best, time.process_time() - start)
    return best


def measure(largest: float) -> list[dict]:
    """A row for each kind of text."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what, (sizes, make, read) in cases(Path(folder)).items():
            sizes = [size for size in sizes if size <= largest or size in sizes[:2] or size <= 150 * largest >= 60_000]
            took = {size: seconds(read, make(size)) for size in sizes}
            row = dict(what=what, seconds={f"{size:g} kB": round(value, 5) for size, value in took.items()})
            (small, before), (large, after) = list(took.items())[-2:]
            row["growth"] = round(math.log(max(after, 1e-6) / max(before, 1e-6)) / math.log(large / small), 2)
            print(
                f"{what:36}",
                "  ".join(f"{size}: {value:.4f} s" for size, value in row["seconds"].items()),
                row["growth"],
            )
            rows.append(dict(row, linear=row["growth"] <= 1.5 or after < 0.1))
    return rows


def main(argv=None) -> int:
    """Measure, write, and say whether all was linear."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default="nbs/results/linear_time.json")
    p.add_argument("--largest", type=float, default=400, help="kB; rows of predictions up to 150 times as much")
    args = p.parse_args(argv)
    rows = measure(args.largest)
    told = dict(command="OMP_NUM_THREADS=1 python benchmarks/linear_time.py", time="CPU seconds, the least of three")
    write_json(args.out, dict(told, rows=rows, environment=environment()))
    return int(not all(row["linear"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
