"""Notebooks, package and README say the same, and the notebooks are clean."""

import difflib
import json
import re
import shutil
import sys
import tomllib

import pytest
from conftest import notebooks, root, run

GENERATED = {"__init__.py", "_modidx.py"}
modules = lambda d: {
    p.relative_to(d).as_posix(): p.read_text(encoding="utf-8")
    for p in sorted(d.rglob("*.py"))
    if p.name not in GENERATED
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what nbdev reads, with the package emptied of its modules."""
    d = tmp_path_factory.mktemp("copy")
    for f in ("pyproject.toml", "settings.ini", "README.md"):
        shutil.copy(root / f, d / f)
    shutil.copytree(root / "nbs", d / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    (d / "debias_nb").mkdir()
    shutil.copy(root / "debias_nb" / "__init__.py", d / "debias_nb")
    return d


def test_package_equals_fresh_export(copy):
    p = run(sys.executable, "-c", "from nbdev.doclinks import nbdev_export; nbdev_export()", cwd=copy)
    assert p.returncode == 0, p.stdout + p.stderr
    fresh, ours = modules(copy / "debias_nb"), modules(root / "debias_nb")
    assert fresh, "the export wrote no module"
    diff = []
    for name in sorted({*fresh, *ours}):
        a, b = ours.get(name, ""), fresh.get(name, "")
        if a != b:
            diff += [
                f"{name}: " + ("no notebook exports it" if not b else "is not in the package" if not a else "differs")
            ]
        diff += list(
            difflib.unified_diff(a.splitlines(), b.splitlines(), f"debias_nb/{name}", "fresh export", lineterm="", n=1)
        )[:20]
    if diff:
        pytest.fail(
            "The package is out of step with the notebooks: run nbdev-export and commit.\n" + "\n".join(diff),
            pytrace=False,
        )


def test_notebooks_are_clean(copy):
    p = run(sys.executable, "-c", "from nbdev.clean import nbdev_clean; nbdev_clean()", cwd=copy)
    assert p.returncode == 0, p.stdout + p.stderr
    dirty = [
        n
        for n in notebooks()
        if json.loads((root / n).read_text(encoding="utf-8")) != json.loads((copy / n).read_text(encoding="utf-8"))
    ]
    if dirty:
        pytest.fail(f"run nbdev-clean and commit: {', '.join(dirty)}", pytrace=False)


HOME = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|tmp|work|content|private|var/folders)/|[A-Z]:\\\\?Users")
BAR = re.compile(r"\d+%\|.*\||\b\d+(?:\.\d+)?(?:it/s|s/it)\b|\d+(?:\.\d+)?s/ba")


PATH = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work)/")
MOST = 400_000  # characters of one output


def output_problems(output):
    """What an output of a cell should not hold."""
    data = output.get("data", {})
    parts = ["".join(v) for k, v in data.items() if k.startswith("text/") and isinstance(v, (str, list))]
    text = "".join(output.get("text", [])) + "\n".join(parts)
    if output["output_type"] == "error":
        yield "an error is kept as output"
    if m := HOME.search(text):
        yield f"absolute path in the output: {text[max(0, m.start() - 20) : m.end() + 40]!r}"
    if m := BAR.search(text):
        yield f"a progress bar in the output: {m[0][:60]!r}"
    if "application/vnd.jupyter.widget-view+json" in data:
        yield "a widget as output"
    if len(json.dumps(output)) > MOST:
        yield f"output of {len(json.dumps(output)) // 1000} kB ({MOST // 1000} at most)"


def cell_problems(cell):
    """What a cell should not hold."""
    for line in "".join(cell["source"]).splitlines():
        if PATH.search(line):
            yield f"absolute path in the source: {line.strip()[:100]}"
    if cell.get("execution_count") is not None:
        yield "execution count kept"
    for output in cell.get("outputs", []):
        yield from output_problems(output)


@pytest.mark.parametrize("notebook", notebooks())
def test_notebook_content(notebook):
    """No absolute paths, progress bars, errors, leftovers or bulky outputs; the first cell is a title and one line."""
    assert not re.search(r"untitled|[/\\]old[/\\]|-Copy\d|-checkpoint|_checkpoints/", notebook, re.I), "a leftover"
    path = root / notebook
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    problems = [f"cell {i}: {problem}" for i, cell in enumerate(cells) for problem in cell_problems(cell)]
    if path.stat().st_size > 1_500_000:
        problems.append(f"{path.stat().st_size // 1000} kB in all (1500 at most)")
    first = "".join(cells[0]["source"]) if cells else ""
    if not re.match(r"# \S.*\n(?:.*\n)*?> \S", first):
        problems.append("the first cell is not '# name', then '> one line'")
    if problems:
        pytest.fail(f"{notebook}:\n" + "\n".join(problems), pytrace=False)


def test_colab_badges():
    """Every badge points at its own notebook, in the repository that pyproject.toml names."""
    url = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
    base = url.replace("https://github.com/", "https://colab.research.google.com/github/") + "/blob/main/"
    wrong = []
    for n in notebooks():
        if n in ("nbs/index.ipynb", "nbs/pages/40_files.ipynb"):  # these list the badges of others
            continue
        for link in re.findall(
            r'https://colab\.research\.google\.com/github/[^\s)"\\]+', (root / n).read_text(encoding="utf-8")
        ):
            if link != base + n:
                wrong.append(f"{n}: {link}")
    assert not wrong, "\n".join(wrong)


def test_readme_matches_index():
    p = run(sys.executable, root / "scripts" / "readme.py", "--check", cwd=root)
    if p.returncode:
        pytest.fail(p.stdout + p.stderr, pytrace=False)


def test_readme_says_what_was_not_measured(monkeypatch):
    """A judge that reads too little, or was not checked, has no number; its first sentence stands there."""
    monkeypatch.syspath_prepend(root / "scripts")
    import readme

    from debias_nb.analysis.judges.verdicts import Verdict, headline, verdict_shares

    answers = [Verdict("biased", 1.0, "")] * 3 + [Verdict("unclear", 0.0, "")] * 22
    unread = headline(verdict_shares(answers))
    unchecked = headline(verdict_shares(answers[:3]))
    measured = dict(value=0.9, low=0.85, high=0.95, n=100)
    results = [dict(model=dict(fairness=found)) for found in (unread, unchecked, measured, dict(value=None))]
    unfair = readme.REAL_ROWS["unfair answers about held-out groups"]
    assert [readme.real_cell(result, *unfair) for result in results] == [
        "not measured: this judge reads 12 % of these answers",
        "not measured: this judge was not checked against labels of people",
        "10 [5, 15] %",
        "not measured",
    ]
    alone = readme.real_cell(results[0], "fairness", lambda value: f"{value:.1f}", False)  # without an interval
    assert alone == "not measured: this judge reads 12 % of these answers"
