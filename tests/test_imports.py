"""Every module imports with what settings.ini requires: extras and development tools are made invisible."""

import json
import sys

import pytest
from conftest import root, run

package = root / "debias_nb"
modules = sorted(
    ".".join(p.relative_to(package).with_suffix("").parts)
    for p in package.rglob("*.py")
    if p.stem not in ("__init__", "_modidx")
)

CODE = r"""
import re, sys, json
from configparser import ConfigParser
from importlib import metadata
from importlib.machinery import PathFinder

norm = lambda n: re.sub(r'[-_.]+', '-', n).lower()
ini = ConfigParser(delimiters=['='], interpolation=None); ini.read('settings.ini', encoding='utf-8')
name_of = lambda r: norm(re.match(r'[\w.-]+', r)[0])
todo, allowed = [name_of(r) for r in ini['package']['requirements'].split('\n') if r.strip()], {'debias-nb'}
while todo:                                     # what they require in turn, without extras
    n = todo.pop()
    if n in allowed: continue
    allowed.add(n)
    try: todo += [name_of(r) for r in metadata.requires(n) or [] if 'extra ==' not in r]
    except metadata.PackageNotFoundError: pass  # needed on another platform only
owners = metadata.packages_distributions()
blocked = {top for top, dists in owners.items() if not any(norm(d) in allowed for d in dists)}
blocked -= {'_distutils_hack', 'distutils-precedence', 'pkg_resources', 'setuptools'}
extras = {name_of(r) for v in ini['extras'].values() for r in v.split('\n') if r.strip()}
blocked |= {e.replace('-', '_') for e in extras if e not in allowed} - {'setuptools'}

class Veil(PathFinder):
    "Finds what `PathFinder` finds, except what is blocked: as on a machine where it is not installed."
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition('.')[0] in blocked else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Veil if f is PathFinder else f for f in sys.meta_path]
"""


def veiled(code):
    return run(sys.executable, "-c", CODE + code, cwd=root)


def test_veil_hides_extras():
    """The veil itself works: pytest is installed and cannot be seen."""
    p = veiled(
        "import importlib.util as u; print(json.dumps([u.find_spec('pytest') is None, u.find_spec('nbdev') is "
        "None, u.find_spec('vllm') is None, u.find_spec('torch') is not None]))"
    )
    assert p.returncode == 0, p.stderr
    assert json.loads(p.stdout) == [True] * 4


def test_imports_without_extras():
    assert "core.errors" in modules
    p = veiled(f"""
import importlib
failed = {{}}
for m in {modules!r}:
    try: importlib.import_module('debias_nb.' + m)
    except Exception as e: failed[m] = f'{{type(e).__name__}}: {{e}}'
print(json.dumps(failed))""")
    assert p.returncode == 0, p.stderr
    failed = json.loads(p.stdout.splitlines()[-1])
    if failed:
        pytest.fail(
            "need more than settings.ini requires:\n" + "\n".join(f"{m}: {e}" for m, e in failed.items()), pytrace=False
        )
