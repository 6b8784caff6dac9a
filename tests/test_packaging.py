"""Metadata says one thing everywhere, and a wheel and an sdist carry what a user needs."""

import json
import os
import re
import shutil
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from configparser import ConfigParser
from importlib import metadata

import pytest
from conftest import requirements_of, root, run
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from debias_nb.core.extras import EXTRA_OF, TRAINING

ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(root / "settings.ini", encoding="utf-8")
norm = lambda n: re.sub(r"[-_.]+", "-", n).lower()


def version_here():
    return re.search(r'__version__ = "(.+)"', (root / "debias_nb" / "__init__.py").read_text(encoding="utf-8"))[1]


def pins():
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {
        norm(r.name): next(iter(r.specifier)).version
        for r in (Requirement(line) for line in lines if line.strip() and line[0] != "#")
    }


def test_pyproject_agrees_with_settings():
    p = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert p["name"] == ini["package"]["name"] and p["description"] == ini["package"]["description"]
    assert p["requires-python"] == f">={ini['package']['min_python']}"


def test_constraints_cover_requirements():
    """Each requirement of the package and of `dev` is pinned, inside its range."""
    pinned, wrong = pins(), []
    for r in requirements_of("dev"):
        v = pinned.get(norm(r.name))
        if v is None:
            wrong.append(f"{r.name} is not pinned")
        elif not r.specifier.contains(v):
            wrong.append(f"{r.name}=={v} is outside {r.specifier}")
    assert not wrong, "\n".join(wrong)


def test_the_table_of_extras_is_that_of_settings():
    """What the error line promises is what pip brings; `all` leaves out only what must not be mixed in."""
    brings = {extra: {norm(r.name) for r in requirements_of(extra)} for extra in ini["extras"]}
    assert not [p for p, extra in EXTRA_OF.items() if norm(p) not in brings[extra]]
    assert {norm(p) for p in TRAINING} <= brings["train"] - brings["notebooks"]
    assert brings["train"] | brings["notebooks"] | brings["real"] <= brings["all"] and "vllm" not in brings["all"]
    assert brings["train"] | brings["notebooks"] <= brings["dev"], "the test command's environment"


def test_commands_set_up_what_they_need():
    """The README's two commands, the docs and the notebooks' install cell ask for the extras of trainings."""
    for script in ("demo", "test", "docs"):
        (extra,) = re.findall(r'ensure\("(\w+)"\)', (root / "scripts" / f"{script}.py").read_text(encoding="utf-8"))
        assert {"trl", "peft", "datasets"} <= {r.name for r in requirements_of(extra)}, script
    source = Requirement(ini["package"]["install"])
    assert (
        source.name == "debias_nb"
        and source.extras == {"train", "llm", "sentiment"}
        and source.url.endswith("debias_nb")
    )


def test_pins_admit_every_python_we_promise():
    """A pin that needs a late patch release of the oldest Python cannot be installed on, say, Debian's 3.11.2."""
    oldest, wrong = f"{ini['package']['min_python']}.0", []
    for name in pins():
        try:
            needs = metadata.metadata(name).get("Requires-Python")
        except metadata.PackageNotFoundError:
            continue
        if needs and not SpecifierSet(needs).contains(oldest):
            wrong.append(f"{name} needs Python {needs}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A wheel and an sdist, built from a copy."""
    src, out = tmp_path_factory.mktemp("src") / "s", tmp_path_factory.mktemp("out")
    shutil.copytree(
        root,
        src,
        ignore=shutil.ignore_patterns(
            ".git", ".venv", "runs", ".ipynb_checkpoints", "*.egg-info", "__pycache__", "build", "dist"
        ),
    )
    p = run(
        sys.executable,
        "-c",
        f"from setuptools.build_meta import build_wheel, build_sdist; build_wheel({str(out)!r}); "
        f"build_sdist({str(out)!r})",
        cwd=src,
    )
    assert p.returncode == 0, p.stderr[-3000:]
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_wheel(built):
    with zipfile.ZipFile(built[0]) as z:
        names = set(z.namelist())
        text = lambda end: z.read(next(n for n in names if n.endswith(end))).decode()
        meta, entry = text("METADATA"), text("entry_points.txt")
    ours = {
        p.relative_to(root).as_posix()
        for p in (root / "debias_nb").rglob("*")
        if p.suffix in (".py", ".yaml", ".html", ".css") or p.name == "py.typed"
    } - {"debias_nb/_modidx.py"}
    assert ours <= names, sorted(ours - names)
    assert not [n for n in names if n.startswith(("tests/", "nbs/", "runs/"))]
    assert "debias-nb = debias_nb.run.commands:main" in entry
    for line in (
        f"Version: {version_here()}",
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.11",
        "Provides-Extra: vllm",
        "Provides-Extra: eval",
        "Provides-Extra: track",
    ):
        assert line in meta, line
    required = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", meta, re.M))
    assert {"torch", "transformers", "matplotlib", "seaborn"} <= required
    extras = {"trl", "peft", "accelerate", "datasets", "jupyterlab", "nbdev", "vllm", "lm_eval", "wandb"}
    assert not required & extras, "an extra became a requirement"


def test_sdist(built):
    with tarfile.open(built[1]) as t:
        names = {n.partition("/")[2] for n in t.getnames()}
    for n in (
        "settings.ini",
        "setup.py",
        "constraints.txt",
        "LICENSE",
        "nbs/core/10_errors.ipynb",
        "tests/test_notebooks.py",
        "scripts/demo.py",
    ):
        assert n in names, n


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The bin folder of an empty environment into which pip put the wheel; the requirements are lent by this one."""
    place = tmp_path_factory.mktemp("installed") / "env"
    venv.create(place, with_pip=True)
    bin = place / ("Scripts" if os.name == "nt" else "bin")
    p = run(bin / "python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", built[0])
    assert p.returncode == 0, p.stderr[-3000:]
    packages = run(bin / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    lent = [path for path in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) if path != packages]
    with open(os.path.join(packages, "lent.pth"), "w", encoding="utf-8") as file:
        file.write("\n".join(dict.fromkeys(lent)) + "\n")  # a path in a .pth does not have its own .pth files read
    return bin


def test_installed_wheel_works_in_an_empty_folder(installed, tmp_path):
    """The command scores there, with the wheel's files and no checkout."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    where = run(installed / "python", "-c", "import debias_nb; print(debias_nb.__file__)", cwd=tmp_path, env=env)
    assert where.stdout.strip().startswith(str(installed.parent)), where.stdout + where.stderr
    pairs = [dict(id=str(k), sent_more=f"Hat {k}.", sent_less=f"Cap {k}.", category="hats") for k in range(3)]
    said = [dict(id=row["id"], more=1.0, less=0.5) for row in pairs]
    for name, rows in dict(pairs=pairs, said=said).items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = (installed / "debias-nb", "score", "--benchmark", "pairs:pairs.jsonl", "--predictions", "said.jsonl")
    scored = run(*command, cwd=tmp_path, env=env)
    assert scored.returncode == 0, scored.stderr[-3000:]
    assert json.loads(scored.stdout)["n_predicted"] == 3
    version = run(installed / "debias-nb", "--version", cwd=tmp_path, env=env)
    assert version.stdout.strip().endswith(version_here())
