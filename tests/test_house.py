"""The house stays easy to read: small functions and patterns, notebooks that open well, a README of one screen."""

import ast
import json
import re

import pytest
from conftest import notebooks, root

FUNCTION, CLASS, MODULE, PATTERN, README = 60, 200, 500, 120, 120  # most lines (of a pattern: most characters)

# What may be larger, and why.
LARGER: dict[str, str] = {}

package = sorted(p for p in (root / "debias_nb").rglob("*.py") if p.name != "_modidx.py")


def lines(node):
    """How many lines a definition takes, without its docstring."""
    body = node.body
    doc = body[0].end_lineno - body[0].lineno + 1 if ast.get_docstring(node) else 0
    return node.end_lineno - node.lineno + 1 - doc


def too_large(path):
    """What in a module is larger than agreed."""
    text = path.read_text(encoding="utf-8")
    where = path.relative_to(root / "debias_nb").with_suffix("").as_posix().replace("/", ".")
    found = [f"{where}: {len(text.splitlines())} lines"] if len(text.splitlines()) > MODULE else []
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and lines(node) > FUNCTION
            or isinstance(node, ast.ClassDef)
            and lines(node) > CLASS
        ):
            found.append(f"{where}.{node.name}: {lines(node)} lines")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and getattr(node.func.value, "id", "") == "re"
        ):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and len(first.value) > PATTERN:
                found.append(f"{where}:{node.lineno}: a pattern of {len(first.value)} characters")
    return [f for f in found if f.split(": ")[0] not in LARGER]


@pytest.mark.parametrize("path", package, ids=lambda p: p.relative_to(root / "debias_nb").as_posix())
def test_sizes(path):
    found = too_large(path)
    assert not found, "\n".join(found)


def test_exceptions_are_needed():
    """An exception that is no longer needed is taken off the list."""
    names = {f"{p.relative_to(root / 'debias_nb').with_suffix('').as_posix().replace('/', '.')}" for p in package}
    assert all(any(key == n or key.startswith(n + ".") for n in names) for key in LARGER)


@pytest.mark.parametrize("notebook", [n for n in notebooks() if n != "nbs/index.ipynb"])
def test_notebook_opens_well(notebook):
    """The first cell is a title and one line; text comes before the first exported function."""
    cells = json.loads((root / notebook).read_text(encoding="utf-8"))["cells"]
    first = "".join(cells[0]["source"])
    assert re.match(r"# \w+\n\n> \S", first), first[:100]
    for cell in cells[1:]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            break
        assert not re.search(r"^#\| *export", text, re.M) or "import" in text, "code before any word of explanation"


FOR_A_GPU = {"nbs/tutorials/70_colab.ipynb"}  # a session on Colab's GPU from its first cell


@pytest.mark.parametrize("notebook", [n for n in notebooks() if n not in FOR_A_GPU])
def test_run_all_needs_no_gpu(notebook):
    """`Run all` in JupyterLab also runs the cells flagged `gpu`: without a GPU they are left out and say so."""
    for cell in json.loads((root / notebook).read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and re.search(r"^#\| *gpu\b", text, re.M):
            guarded = re.search(r'^if (get_device\(\)\.type == "cpu"|torch\.cuda\.device_count\(\) < \d+):', text, re.M)
            assert guarded and 'print("left out' in text, text


def test_readme_is_one_screen():
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= README


def test_doors():
    """Rooms hand out their names, and the names that matter first are there."""
    import importlib

    import debias_nb.all

    assert len(debias_nb.all.__all__) >= 12
    for room in ("core", "models", "synthesis", "reward", "grpo", "regift", "analysis", "run"):
        module = importlib.import_module(f"debias_nb.{room}")
        names = dir(module)
        assert names, room
        getattr(module, names[0])
