"""Notebooks open where people open them; what surrounds the package (workflows, versions, templates) says one thing."""

import json
import re
import sys
import tomllib
from configparser import ConfigParser

import pytest
import yaml
from conftest import notebooks, root, run

sys.path.insert(0, str(root / "scripts"))
import open_anywhere

ini = ConfigParser(delimiters=["="], interpolation=None)
ini.read(root / "settings.ini", encoding="utf-8")


def test_every_notebook_installs_the_package():
    """After its title, and once; a fork that changes settings.ini changes them all with one command."""
    p = run(sys.executable, root / "scripts" / "open_anywhere.py", "--check", cwd=root)
    if p.returncode:
        pytest.fail(p.stdout + p.stderr, pytrace=False)


def test_install_cell_acts_only_where_the_package_is_absent(monkeypatch):
    """The cell's own lines, with and without the package."""
    code = "".join(open_anywhere.install_cell()["source"])
    asked = []

    class Shell:
        def run_line_magic(self, name, line):
            asked.append((name, line))

    monkeypatch.setattr("importlib.util.find_spec", lambda name: "there")
    exec(code, dict(get_ipython=Shell))
    assert asked == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(code, dict(get_ipython=Shell))
    assert asked == [("pip", f'install -q "{ini["package"]["install"]}"')]


def test_a_changed_address_reaches_cell_and_badge(monkeypatch):
    here = dict(open_anywhere.places(), repository="https://github.com/a/fork", branch="dev", install="mine")
    monkeypatch.setattr(open_anywhere, "places", lambda: here)
    old = "[![x](y.svg)](https://colab.research.google.com/github/debias-nb/debias_nb/blob/main/nbs/gone.ipynb)"
    nb = open_anywhere.opened(dict(cells=[dict(cell_type="markdown", source=[old], id="a")]), "nbs/all.ipynb")
    assert "colab.research.google.com/github/a/fork/blob/dev/nbs/all.ipynb)" in nb["cells"][0]["source"][0]
    assert nb["cells"][1]["source"][-2] == '    package = "mine"\n'


def test_every_tutorial_has_its_badge():
    """One, below title and line, at the address in settings.ini; a lost or old one is put right."""
    names = [name for name in notebooks() if name.startswith("nbs/tutorials/")]
    assert len(names) == 9
    for name in names:
        nb = json.loads((root / name).read_text(encoding="utf-8"))
        first = "".join(nb["cells"][0]["source"])
        address = f"{ini['package']['repository']}/blob/{ini['package']['branch']}/{name}"
        address = address.replace("github.com", "colab.research.google.com/github")
        badge = f"[![Open in Colab]({open_anywhere.IMAGE})]({address})"
        assert re.match(r"# \w+\n\n> .+\n\n" + re.escape(badge) + r"\n\n\S", first), first
        assert open_anywhere.BADGE.findall(json.dumps(nb)) == [address], name
        lost = dict(nb["cells"][0], source=[first.replace(badge + "\n\n", "")])
        late = dict(lost, source=[lost["source"][0] + f"\n\n{badge.replace('/main/', '/old/')}"])
        for changed in (lost, late):
            assert open_anywhere.opened(dict(nb, cells=[changed, *nb["cells"][1:]]), name) == nb


def test_one_address_everywhere():
    """settings.ini, pyproject.toml, CITATION.cff and the issue templates name the same repository."""
    repository = ini["package"]["repository"]
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]["Source"] == repository
    assert yaml.safe_load((root / "CITATION.cff").read_text())["repository-code"] == repository
    assert repository in ini["package"]["install"] or ini["package"]["install"].startswith("debias_nb")
    for name in ("SECURITY.md", "CODE_OF_CONDUCT.md", ".github/ISSUE_TEMPLATE/config.yml"):
        links = re.findall(r"https://github\.com/[\w-]+/[\w-]+", (root / name).read_text(encoding="utf-8"))
        assert links and set(links) == {repository}, name


def test_one_version_everywhere():
    """The package, CITATION.cff and the newest entry of the changelog."""
    version = re.search(r'__version__ = "(.+)"', (root / "debias_nb" / "__init__.py").read_text())[1]
    assert yaml.safe_load((root / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)[1] == version


def workflow(name):
    return yaml.safe_load((root / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))


def test_workflows_run_what_is_promised():
    """Every Python of the classifiers; the commands that the workflows name exist; a release needs no token."""
    tests, release = workflow("tests"), workflow("release")
    promised = re.findall(r"Python :: (3\.\d+)", ini["package"]["classifiers"])
    assert tests["jobs"]["suite"]["strategy"]["matrix"]["python"] == promised
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"} and publish["environment"] == "pypi"
    commands = [
        step["run"]
        for name in ("tests", "docs", "release")
        for job in workflow(name)["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    for script in re.findall(r"(?:scripts|tests)/\w+\.py|\.ci/run", "\n".join(commands)):
        assert (root / script).is_file(), script
    for extras in re.findall(r"\.\[([\w,]+)\]", "\n".join(commands)):
        assert set(extras.split(",")) <= set(ini["extras"]), extras
    assert not re.search(r"secrets\.", (root / ".github" / "workflows" / "release.yml").read_text())


def test_templates_are_whole():
    """Each issue form asks for something, and the dev container is JSON."""
    for path in (root / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert path.name == "config.yml" or {"name", "description", "body"} <= set(form), path.name
    container = json.loads((root / ".devcontainer" / "devcontainer.json").read_text())
    assert "scripts/bootstrap.py dev" in container["postCreateCommand"]


def test_no_notebook_looks_for_the_checkout_by_itself():
    """`repository()` finds it, or fetches a copy: a path with dots works only in a checkout."""
    wrong = []
    for name in notebooks():
        for cell in json.loads((root / name).read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and re.search(
                r"[\"'](?:\.\./)+(?:nbs|results|benchmarks|scripts|tests)", source
            ):
                wrong.append(f"{name}: {source[:80]}")
    assert not wrong, "\n".join(wrong)
