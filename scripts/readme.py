"""Makes README.md from nbs/index.ipynb, without Quarto: `python scripts/readme.py` writes, `--check` only compares."""

import ast
import difflib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

root = Path(__file__).resolve().parent.parent
url = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
colab = url.replace("https://github.com/", "https://colab.research.google.com/github/") + "/blob/main/"

# What the files that hold no comment of their own are
NOTES = {
    "README.md": "made from nbs/index.ipynb",
    "LICENSE": "Apache-2.0",
    "CHANGELOG.md": "what changed, newest first",
    "MANIFEST.in": "what the sdist carries",
    ".ci/run": "what CI runs: the test command",
    "tests/notebook_seconds.json": "how long each notebook took in the suite",
    "tests/README.md": "which test command when, what is skipped and why",
    "nbs/results/metrics.json": "the numbers of the run shown in the README",
    "nbs/results/before_after.png": "its picture",
}
FOLDERS = {
    "nbs/results": "what real runs gave, with command, seed and commit",
    "nbs/synthesis/recorded": "replies kept so that notebooks run offline",
}


def read_nb(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def notebooks(folder=root / "nbs"):
    """Notebooks of the project, but for the index."""
    return [
        p
        for p in sorted(folder.rglob("*.ipynb"))
        if p.name != "index.ipynb" and not any(x[0] in "_." for x in p.relative_to(root).parts)
    ]


def one_line(path):
    """A notebook's `> one line`."""
    m = re.search(r"^(?:>.*\n?)+", source(read_nb(path)["cells"][0]), re.M)
    return " ".join(line.lstrip("> ").strip() for line in m[0].splitlines()).strip() if m else ""


def runs_on(nb):
    """What a notebook needs: Colab's accelerator entry, or cells flagged `#| gpu`."""
    if nb["metadata"].get("accelerator") == "GPU":
        return "GPU"
    return "CPU, more on a GPU" if any(re.search(r"^#\| *gpu\b", source(c), re.M) for c in nb["cells"]) else "CPU"


ROOMS = {
    "tutorials": "start here: nine roads from a question to a figure, on a CPU in minutes",
    "core": "what every room needs: errors, seeds, files, run folders, settings",
    "models": "any language model behind one door: loading, prompts, sampling, exact scoring, endpoints",
    "synthesis": "who may be stereotyped and what is said: taxonomy, graded pairs, small world, CC-BBQ, quality gates",
    "reward": "how good an answer is: fairness, neutrality, quality from one forward pass; calibration, attacks",
    "grpo": "several rewards into one policy: seven aggregations, TRL trainer, baselines, scale",
    "regift": "reasoning traces, teachers, filters, fine-tuning on them",
    "analysis": "how biased, and how sure: benchmarks, judges, intervals and tests, open answers, report",
    "run": "presets, stages, command line",
    "studies": "experiments of our own; nothing imports them",
}


ANALYSIS = {
    "benchmarks": "published benchmarks, one task in one file each",
    "judges": "judges that took no part in training, and their check against people",
    "metrics": "intervals, paired tests, calibration, gaps between groups",
    "report": "figures and the page of a run",
}


def room_table():
    """A line per room, with a link to its folder."""
    rows = ["| room | what is in it | notebooks |", "|---|---|---|"]
    for room, what in ROOMS.items():
        rows.append(f"| [`{room}`]({room}) | {what} | {len(notebooks(root / 'nbs' / room))} |")
        if room == "analysis":
            for inner, about in ANALYSIS.items():
                count = len(notebooks(root / "nbs" / room / inner))
                rows.append(f"| [`{room}/{inner}`]({room}/{inner}) | {about} | {count} |")
    return "\n".join(rows)


def headline():
    """What five seeds of the main job show, in three sentences."""
    seeds = read_nb(root / "nbs" / "results" / "seeds.json")
    table = seeds["table"]
    abstain = read_nb(root / "nbs" / "results" / "regift_studies" / "verdicts.json")[0]["contrasts"]
    (gain,) = abstain.values()

    def show(e, unit=1.0, digits=2):
        numbers = [f"{unit * e[k]:+.0f}" if unit != 1 else f"{e[k]:.{digits}f}" for k in ("value", "low", "high")]
        return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"

    fairness = {name: show(table[name]["fairness"]) for name in ("base", "grpo", "sft_neutral")}
    return (
        "In a small world whose bias is planted and therefore known, multi-reward GRPO raises the share of fair "
        "answers about held-out groups in held-out "
        f"templates from {fairness['base']} to {fairness['grpo']}; plain fine-tuning on neutral answers reaches "
        f"{fairness['sft_neutral']}. "
        f"ReGiFT (fine-tuning on reasoning) raises the share of ambiguous questions that are answered with "
        f"*unknown* by {show(gain, 100)} points. "
        f"The price of GRPO is variety: distinct-2 changes by {show(table['grpo']['distinct_2_change'], 100)} %. "
        f"Five seeds, 95 % intervals; the picture shows one of them. "
        "Commands, settings and commits: [results](pages/10_results.ipynb)."
    )


def listed(parts):
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


REAL_ROWS = {  # name: where it stands in a result, how it is written, with its interval or not
    "unfair answers about held-out groups": ("fairness", lambda share: f"{100 * (1 - share):.0f}", True),
    "refusals": ("refusal_rate", lambda share: f"{100 * share:.1f} %", False),
    "SQuAD F1": ("squad_f1", lambda share: f"{100 * share:.0f}", True),
    "perplexity of real English": ("perplexity", lambda value: f"{value:.1f}", False),
    "gap in likelihood between prompts about two groups": ("likelihood_swap_gap", lambda value: f"{value:.2f}", False),
}


def real_cell(result, measure, write, with_interval):
    """One number of a recorded result, or why there is none."""
    estimate = result["model"][measure]
    if estimate["value"] is None:
        return estimate.get("why", "not measured").partition(". ")[0]
    if not with_interval:
        return write(estimate["value"])
    low, high = sorted(float(write(estimate[end])) for end in ("low", "high"))
    return f"{write(estimate['value'])} [{low:.0f}, {high:.0f}] %"


def real_headline():
    """What the recorded runs on a pretrained model show: two sentences and a table; empty where none is recorded."""
    folder = root / "nbs" / "results" / "real"
    runs = [(read_nb(f.parent / "base.json"), read_nb(f)) for f in sorted(folder.glob("seed-*/grpo.json"))]
    if not runs:
        return ""
    lines = [
        "On a **pretrained model** (SmolLM2-135M-Instruct, CPU) GRPO changes the answers to prompts about held-out "
        "groups in held-out wordings. The judge learnt from other sentences and files than the reward, and was "
        "checked against labels of people (it is at chance on Reddit text about women). The seeds share one reward and "
        "one judge. All measures, and where that judge errs: [study](studies/74_real_grpo.ipynb).",
        "",
        "| before → after | " + " | ".join(f"seed {base['seed']}" for base, _ in runs) + " |",
        "|---" * (len(runs) + 1) + "|",
    ]
    for name, how in REAL_ROWS.items():
        cells = [" → ".join(real_cell(result, *how) for result in pair) for pair in runs]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *real_others(folder)])


OTHER_WAYS = {
    "sft": "fine-tuning on neutral answers, which this judge misreads,",
    "prompting": "telling the model to be fair",
    "dpo": "DPO",
    "best_of_n": "best of four by the same reward",
    "decoupled": "GRPO with decoupled rewards",
    "constrained": "GRPO with quality as a constraint",
}


def real_others(folder):
    """A sentence for each seed on which other ways were tried."""
    out = []
    for seed in sorted(folder.glob("seed-*")):
        found = {said: seed / f"{name}.json" for name, said in OTHER_WAYS.items()}
        unfair = REAL_ROWS["unfair answers about held-out groups"]
        cells = [f"{said} {real_cell(read_nb(file), *unfair)}" for said, file in found.items() if file.is_file()]
        if cells:
            out += ["", f"Unfair answers by other ways, on {seed.name.replace('-', ' ')}: {listed(cells)}."]
    return out


def notebook_table(up=""):
    """The table of notebooks; minutes from `scripts/test.py --record-times`; `up` leads to nbs/."""
    f = root / "tests" / "notebook_seconds.json"
    seconds = json.loads(f.read_text(encoding="utf-8")) if f.exists() else {}
    rows = ["| notebook | what | runs on | minutes | |", "|---|---|---|---|---|"]
    for p in notebooks():
        rel = p.relative_to(root).as_posix()
        s = seconds.get(rel)
        minutes = "" if s is None else "under 1" if s < 60 else f"{s / 60:.0f}"
        rows.append(
            f"| [`{p.relative_to(root / 'nbs').with_suffix('')}`]({up}{p.relative_to(root / 'nbs').as_posix()}) | "
            f"{one_line(p)} | {runs_on(read_nb(p))} | {minutes} "
            f"| [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}{rel}) |"
        )
    return "\n".join(rows)


ROWS = {
    "fairness": "fairness of answers (held-out groups and templates, rule judge)",
    "stereotype_preference": "prefers the biased response",
    "counterfactual_gap": "counterfactual gap",
    "perplexity": "perplexity of neutral text",
    "distinct_2": "distinct-2",
    "refusal_rate": "refusals",
    "unclear_rate": "answers that the judge cannot read",
    "unknown_words": "words that are none",
    "facts_accuracy": "facts known",
    "ccbbq_ambig_accuracy": "CC-BBQ (small world), ambiguous: right",
    "ccbbq_disambig_accuracy": "CC-BBQ (small world), disambiguated: right",
    "ccbbq_ambig_bias": "CC-BBQ (small world), ambiguous: bias score",
}


def results_table():
    """The README's numbers, from the `metrics.json` that `scripts/record_demo.py` copied to nbs/results/."""
    m = read_nb(root / "nbs" / "results" / "metrics.json")
    p, names = m["provenance"], list(m["models"])

    def show(e):
        return f"{e['value']:.3g}" + (f" [{e['low']:.3g}, {e['high']:.3g}]" if e.get("low") is not None else "")

    rows = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)] + [
        f"| {label} | " + " | ".join(show(m["models"][n][k]) for n in names) + " |" for k, label in ROWS.items()
    ]
    minutes = sum(s["seconds"] for s in m["stages"].values()) / 60
    mib = max(s["peak_rss_mb"] for s in m["stages"].values())
    return (
        "\n".join(rows)
        + f"\n\n95 % intervals in brackets. From one run: `{p['command']}`, config {p['config_hash']}, data "
        f"{p['dataset_hash']}, commit {p['commit']}; "
        f"{minutes:.1f} minutes, peak {mib / 1024:.1f} GiB, on {m['hardware']['cores']} cores "
        f"({m['hardware']['cpu']}), no GPU. One seed: the intervals are about prompts, not about training again."
    )


SEED_COLUMNS = {
    "fairness": ("fairness, held-out groups and templates", 1),
    "by_split/test_categories": ("fairness, held-out categories", 1),
    "perplexity_change": ("perplexity against the base", 100),
    "facts_change": ("facts, points", 100),
    "reading_change": ("reading, points", 100),
    "refusal_rate": ("refusals", 1),
    "distinct_2_change": ("distinct-2 against the base", 100),
}


AT_LEAST = ("fairness", "by_split/test_categories", "facts_change", "reading_change")  # aims that are lower bounds


def seeds_table():
    """Several ways of debiasing over several seeds, from the `seeds.json` that `scripts/seeds.py` wrote."""
    f = root / "nbs" / "results" / "seeds.json"
    if not f.exists():
        return ""
    s = read_nb(f)

    def show(e, k, unit):
        if e is None:
            return ""
        v = [e["value"]] + ([e["low"], e["high"]] if e["low"] is not None else [])
        v = [f"{x * unit:+.1f}" if unit == 100 else f"{x:.3f}" for x in v]
        return (
            v[0]
            + (f" [{v[1]}, {v[2]}]" if len(v) > 1 else "")
            + (" %" if k in ("perplexity_change", "distinct_2_change") else "")
        )

    rows = [
        "| | " + " | ".join(label for label, _ in SEED_COLUMNS.values()) + " |",
        "|---|" + "---|" * len(SEED_COLUMNS),
    ]
    rows += [
        f"| {v} ({max(e['n'] for e in t.values())}) | "
        + " | ".join(show(t.get(k), k, u) for k, (_, u) in SEED_COLUMNS.items())
        + " |"
        for v, t in s["table"].items()
    ]
    commits = " and ".join(sorted({c for cs in s.get("commits", {}).values() for c in cs})) or s["commit"]
    aims = "; ".join(
        f"{SEED_COLUMNS[k][0]} {'at least' if k in AT_LEAST else 'at most'} "
        f"{show(dict(value=g, low=None), k, SEED_COLUMNS[k][1])}"
        for k, g in s["targets"].items()
        if k in SEED_COLUMNS
    )
    return "\n".join(rows) + (
        f"\n\nIn round brackets the number of seeds, in square ones 95 % intervals over them (Student's t). The "
        f"aims, set beforehand: {aims}. "
        f"`python scripts/seeds.py --preset {s['preset']} --seeds {' '.join(map(str, s['seeds']))} --variants "
        f"{' '.join(v for v in s['table'] if v != 'base')}`, config {s['config_hash']}, commit {commits}, "
        f"{s['hardware'].get('cores', '?')} cores of {s['hardware'].get('cpu', '?')}."
    )


def claims_table():
    """What became of the ReGiFT paper's claims, from the `verdicts.json` that `debias-nb regift-studies` wrote."""
    f = root / "nbs" / "results" / "regift_studies" / "verdicts.json"
    if not f.exists():
        return ""
    show = lambda e: (
        ""
        if e.get("value") is None
        else f"{100 * e['value']:+.1f}"
        + (f" [{100 * e['low']:+.1f}, {100 * e['high']:+.1f}]" if e.get("low") is not None else "")
    )
    line = lambda v: "<br>".join(
        f"{n}: {show(e)}, {e['n']} seed{'s' if e['n'] != 1 else ''}" for n, e in v["contrasts"].items()
    )
    rows = [f"| {v['claim']} | **{v['verdict']}** | {line(v)} |" for v in read_nb(f) if v["verdict"] != "not run"]
    return "\n".join(["| claim | here | difference in points |", "|---|---|---|"] + rows)


def reward_table():
    """How good reward models of several seeds are, from what `scripts/reward_study.py --seeds` wrote."""
    names = {"small, from scratch": "reward_worlds.json", "MiniLM, pretrained": "reward_worlds_minilm.json"}
    folder = root / "nbs" / "results" / "reward"
    got = {k: read_nb(folder / f) for k, f in names.items() if (folder / f).exists()}
    if not got:
        return ""
    splits = {
        "test_id": "in distribution",
        "test_groups": "new groups",
        "test_templates": "new templates",
        "test_held_out": "both new",
        "test_categories": "new categories",
    }
    what = {
        "pairwise": "pairs told apart",
        "ece_fairness": "calibration error of fairness",
        "ece_quality": "calibration error of quality",
        "invariance": "change when the group is swapped",
    }
    cell = lambda e: f"{e['mean']:.3f} ({e['worst']:.3f})"
    rows = ["| | " + " | ".join(splits.values()) + " |", "|---|" + "---|" * len(splits)]
    rows += [
        f"| {w}, {k} | " + " | ".join(cell(t["splits"][s][m]) for s in splits) + " |"
        for m, w in what.items()
        for k, t in got.items()
    ]
    return (
        "\n".join(rows)
        + "\n\nMean over seeds, in brackets the worst. "
        + " ".join(
            f"{k[0].upper() + k[1:]}: {t['runs']} seeds, {t['parameters'] / 1e6:.1f} million parameters, "
            f"{min(t['seconds']) / 60:.1f} to {max(t['seconds']) / 60:.1f} minutes of training on one core, "
            f"`{t['command'].replace('benchmarks/reward_study.py', 'scripts/reward_study.py')}`, commit "
            f"{', '.join(t['commits'])}."
            for k, t in got.items()
        )
    )


def first_comment(path):
    """The one line that a file says about itself: docstring, comment, heading, or a notebook's quote."""
    rel = path.relative_to(root).as_posix()
    if rel in NOTES:
        return NOTES[rel]
    if path.suffix == ".ipynb":
        return one_line(path) if path.name != "index.ipynb" else "the source of the README"
    if path.suffix in (".json", ".jsonl", ".png"):
        return "as measured, with settings, hardware and commit" if path.parent.name == "benchmarks" else ""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        doc = (ast.get_docstring(ast.parse(text)) or "").splitlines()
        return re.split(r"[.:](?:\s|$)", doc[0])[0] if doc else ""
    m = re.search(r"^(?:#+|;) *(?!!)(.+)", text, re.M)
    return re.split(r"[.;:](?:\s|$)", m[1])[0].strip() if m else ""


ABOUT = {
    "nbs": "the source: notebooks that teach, test and export",
    "debias_nb": "the package, exported by nbdev-export, one module per notebook; never edited by hand",
    "tests": "the suite around the notebooks",
    "scripts": "the README's commands",
    "benchmarks": "speed, measured side by side",
}
SHOWN = {".ipynb", ".py", ".md", ".json", ".jsonl", ".yaml", ".yml", ".png"}
TOP = "settings.ini setup.py pyproject.toml constraints.txt MANIFEST.in CHANGELOG.md CONTRIBUTING.md LICENSE README.md"


def tree_line(depth, name, note):
    """A line of the tree."""
    return (("  " * depth + name).ljust(30) + (f" # {note}" if note else "")).rstrip()


def folder_lines(folder, depth):
    """The files and folders in a folder; many files of one kind are one line."""
    lines = []
    for path in sorted(folder.iterdir(), key=lambda p: (p.is_dir(), p.name)):
        if path.name[0] in "_." or path.name.endswith(".egg-info"):
            continue
        if path.is_dir() and re.fullmatch(r"seed\d+", path.name):
            if path.name == "seed0":
                lines.append(tree_line(depth, "seed*/", "a file per setting, as debias-nb regift-studies wrote it"))
        elif path.is_dir() and any(inner.suffix in SHOWN for inner in path.rglob("*")):
            lines.append(tree_line(depth, path.name + "/", FOLDERS.get(path.relative_to(root).as_posix(), "")))
            lines += folder_lines(path, depth + 1)
        elif path.suffix in SHOWN:
            lines.append(tree_line(depth, path.name, first_comment(path)))
    return lines


def file_tree():
    """The repository with a comment per file. The package is one line: its modules are the notebooks'."""
    lines = []
    for name, note in ABOUT.items():
        lines.append(tree_line(0, name + "/", note))
        if name != "debias_nb":
            lines += folder_lines(root / name, 1)
            continue
        for path in sorted((root / name).rglob("*.yaml")):
            lines.append(tree_line(1, path.relative_to(root / name).as_posix(), first_comment(path)))
    lines.append(tree_line(0, ".ci/run", NOTES[".ci/run"]))
    lines += [tree_line(0, name, first_comment(root / name)) for name in TOP.split()]
    return "\n".join(lines)


def relink(md, depth="nbs"):
    """Links of a notebook in `nbs/`, as seen from the root."""

    def fix(m):
        target = m[2]
        if re.match(r"[a-z]+:|#|/", target):
            return m[0]
        return m[1] + os.path.normpath(f"{depth}/{target}").replace(os.sep, "/") + m[3]

    md = re.sub(r"(\]\()([^)\s]+)(\))", fix, md)
    return re.sub(r'((?:src|href)=")([^"]+)(")', fix, md)


def execute(path):
    """The index with its cells run, so that what it computes is of today."""
    from execnb.shell import CaptureShell
    from fastcore.nbio import read_nb as read_executable

    nb, here = read_executable(path), os.getcwd()
    os.chdir(path.parent)
    try:
        skipped = lambda cell: bool(re.search(r"^#\| *eval: *false", cell.source, re.M))
        CaptureShell(path, profile=False).run_all(nb, exc_stop=True, preproc=skipped)
    finally:
        os.chdir(here)
    return nb


def to_markdown(nb):
    """Markdown cells, code cells (unless hidden), and text, markdown and HTML outputs."""
    parts = ["<!-- Made from nbs/index.ipynb by scripts/readme.py: edit the notebook, not this file. -->"]
    for c in nb["cells"]:
        src = source(c).strip()
        directives = re.findall(r"^#\| *(.+)", src, re.M) if c["cell_type"] == "code" else []
        if c["cell_type"] == "raw" or "hide" in directives or not src:
            continue
        if c["cell_type"] == "markdown":
            parts.append(relink(src))
            continue
        code = re.sub(r"^#\|.*\n?", "", src, flags=re.M).strip()
        if not any(re.match(r"(echo: *false|hide_input)", d) for d in directives):
            parts.append(f"```python\n{code}\n```")
        for o in c.get("outputs", []):
            data, text = o.get("data", {}), "".join(o.get("text", []))
            if o["output_type"] == "error":
                raise SystemExit("nbs/index.ipynb fails: " + o.get("evalue", ""))
            if "text/markdown" in data:
                parts.append(relink("".join(data["text/markdown"])))
            elif "text/html" in data:
                parts.append("".join(data["text/html"]))
            elif text or "text/plain" in data:
                parts.append(f"```text\n{(text or ''.join(data['text/plain'])).rstrip()}\n```")
    return "\n\n".join(p.strip("\n") for p in parts) + "\n"


def main():
    made, path = to_markdown(execute(root / "nbs" / "index.ipynb")), root / "README.md"
    if "--check" not in sys.argv:
        path.write_text(made, encoding="utf-8")
        print(f"wrote {path.name}, {len(made.splitlines())} lines")
        return
    have = path.read_text(encoding="utf-8") if path.exists() else ""
    if made == have:
        print("README.md matches nbs/index.ipynb")
        return
    print(
        "\n".join(
            list(
                difflib.unified_diff(
                    have.splitlines(), made.splitlines(), "README.md", "from nbs/index.ipynb", lineterm="", n=0
                )
            )[:40]
        )
    )
    sys.exit("README.md is out of step: run python scripts/readme.py and commit")


if __name__ == "__main__":
    main()
