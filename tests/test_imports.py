"""Every module imports with what settings.ini requires; a missing extra is one line. Packages are made invisible."""

import json
import re
import sys
from configparser import ConfigParser

import pytest
from conftest import requirements_of, root, run

package = root / "debias_nb"
modules = sorted(
    ".".join(p.relative_to(package).with_suffix("").parts)
    for p in package.rglob("*.py")
    if p.stem not in ("__init__", "_modidx")
)

ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(root / "settings.ini", encoding="utf-8")
every_extra = list(ini["extras"])
TRAINERS = {"grpo.trainer"}  # made of TRL's own classes, so not even importable without it

CODE = r"""
import json, re, sys
from importlib import metadata
from importlib.machinery import PathFinder

norm = lambda n: re.sub(r'[-_.]+', '-', n).lower()
name_of = lambda r: norm(re.match(r'[\w.-]+', r)[0])
todo, allowed = TODO, {'debias-nb'}
while todo:                                     # what they require in turn, without extras
    n = todo.pop()
    if n in allowed: continue
    allowed.add(n)
    try: todo += [name_of(r) for r in metadata.requires(n) or [] if 'extra ==' not in r]
    except metadata.PackageNotFoundError: pass  # needed on another platform only
owners = metadata.packages_distributions()
blocked = {top for top, dists in owners.items() if not any(norm(d) in allowed for d in dists)}
blocked -= {'_distutils_hack', 'distutils-precedence', 'pkg_resources', 'setuptools'}
blocked |= {e.replace('-', '_') for e in EXTRAS if e not in allowed} - {'setuptools'}

class Veil(PathFinder):
    "Finds what `PathFinder` finds, except what is blocked: as on a machine where it is not installed."
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition('.')[0] in blocked else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Veil if f is PathFinder else f for f in sys.meta_path]
"""


def veiled(code, *extras):
    """Run `code` where nothing is to be seen but what settings.ini requires, and what these extras bring."""
    names = lambda *extras: [re.sub(r"[-_.]+", "-", r.name).lower() for r in requirements_of(*extras)]
    front = f"TODO, EXTRAS = {names(*extras)!r}, {names(*every_extra)!r}\n"
    return run(sys.executable, "-c", front + CODE + code, cwd=root)


def test_veil_hides_extras():
    """The veil itself works: pytest is installed and cannot be seen."""
    hidden = ("pytest", "nbdev", "vllm", "trl", "peft", "accelerate", "datasets", "jupyterlab", "ipywidgets")
    p = veiled(
        f"import importlib.util as u; print(json.dumps([u.find_spec(x) is None for x in {hidden!r}] + "
        "[u.find_spec('torch') is not None]))"
    )
    assert p.returncode == 0, p.stderr
    assert json.loads(p.stdout) == [True] * (len(hidden) + 1)


IMPORT_ALL = f"""
import importlib
failed = {{}}
for m in {modules!r}:
    try: importlib.import_module('debias_nb.' + m)
    except Exception as e: failed[m] = f'{{type(e).__name__}}: {{e}}'
print(json.dumps(failed))"""


def failed_imports(*extras):
    p = veiled(IMPORT_ALL, *extras)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout.splitlines()[-1])


def test_imports_without_extras():
    """Everything but the trainers, which say in one line what they lack."""
    assert "core.errors" in modules and set(modules) >= TRAINERS
    failed = failed_imports()
    line = "MissingPackage: the package trl (extra 'train') is not installed. Run: pip install \"debias_nb[train]\""
    assert {failed.pop(m, None) for m in TRAINERS} == {line}
    if failed:
        pytest.fail("\n".join(["need more than settings.ini requires:", *map(": ".join, failed.items())]), False)


def test_imports_with_the_extra_of_trainings():
    """The extra `train` is all that the package needs to be imported whole: neither nbdev nor Jupyter."""
    assert failed_imports("train") == {}


def test_a_missing_extra_is_one_line(tmp_path):
    """Every training and reading of parquet, through the command line and through Python."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(dict(prompt="Who?", response="One.", fairness=1.0)) + "\n", encoding="utf-8")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps(dict(peft_type="LORA", base_model_name_or_path="no")))
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    p = veiled(f"""
import contextlib, io, pathlib
from debias_nb.all import *
from debias_nb.analysis.benchmarks.files import read_rows
from debias_nb.core.errors import ConfigError
from debias_nb.grpo.baselines import train_baseline
from debias_nb.run.commands import main
place = pathlib.Path({str(tmp_path)!r})
kept = dict(train=synthesise(SynthesisConfig(n=8))["train"])
calls = dict(
    grpo=lambda: train_grpo('none', [len], ['a'], place / 'g', GRPOSettings(weights=(1.0,), judge_every=0)),
    regift=lambda: train_regift('none', ['a'], place / 'r'),
    sft=lambda: train_baseline('sft_neutral', 'none', kept, place / 's'),
    reward=lambda: train_reward(kept, RewardConfig(), place / 'w'),
    adapter=lambda: load_policy(place / 'adapter'),
    parquet=lambda: read_rows(place / 'a.parquet'),
    widget=lambda: __import__('debias_nb.synthesis.browse', fromlist=['x']).Browser(kept).widget(),
)
said = {{}}
for name, call in calls.items():
    try: call()
    except ConfigError as e: said[name] = str(e)
with contextlib.redirect_stderr(io.StringIO()) as err:
    code = main(['run', '--preset', 'smoke', '--out', str(place / 'run')])
said['command'] = err.getvalue().removeprefix('debias-nb: ').rstrip('\\n')
print(json.dumps([code, said]))""")
    assert p.returncode == 0, p.stderr[-3000:]
    code, said = json.loads(p.stdout.splitlines()[-1])
    line = lambda package, extra: (
        f'the package {package} (extra {extra!r}) is not installed. Run: pip install "debias_nb[{extra}]"'
    )
    training = line("trl", "train")
    assert code == 2 and said == dict(
        grpo=training,
        regift=training,
        sft=training,
        command=training,
        reward=line("accelerate", "train"),
        adapter=line("peft", "train"),
        parquet=line("datasets", "data"),
        widget=line("ipywidgets", "notebooks"),
    )
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").glob("*.html"))
