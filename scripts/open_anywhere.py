"""Makes notebooks open where people open them: an install cell in each, and badges at the address in settings.ini.

Each tutorial gets its badge below its title; badges that other notebooks hold are kept at the right address.

`python scripts/open_anywhere.py` writes, `--check` only names the notebooks that are not so.
"""

import json
import re
import sys
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
BADGE = re.compile(r"https://colab\.research\.google\.com/github/[^\s)\"\\]+")
IMAGE = "https://colab.research.google.com/assets/colab-badge.svg"
BADGED = "nbs/tutorials/"  # notebooks that carry their badge below title and line
BADGE_LINE = re.compile(rf"^\[!\[[^\]]*\]\({re.escape(IMAGE)}\)\]\([^)]*\)\n*", re.M)
CELL_ID = "install"
INSTALL = """#| hide
# Installs the package where it is absent (Colab, Kaggle). Made by scripts/open_anywhere.py
import importlib.util

if importlib.util.find_spec("debias_nb") is None:
    package = "{source}"
    get_ipython().run_line_magic("pip", f'install -q "{{package}}"')"""


def places():
    """Where people open what is here, from settings.ini."""
    ini = ConfigParser(delimiters=["="], interpolation=None)
    ini.read(root / "settings.ini", encoding="utf-8")
    return {key: ini["package"][key] for key in ("repository", "branch", "site", "install")}


def notebooks():
    """Every notebook of the project."""
    found = sorted((root / "nbs").rglob("*.ipynb"))
    return [p for p in found if not any(part[0] in "_." for part in p.relative_to(root).parts)]


def colab(name):
    """Colab's address of a notebook, `name` relative to the root."""
    where = places()
    front = where["repository"].replace("github.com", "colab.research.google.com/github")
    return f"{front}/blob/{where['branch']}/{name}"


def kaggle(name):
    """Kaggle's address of a notebook, `name` relative to the root."""
    where = places()
    return f"https://kaggle.com/kernels/welcome?src={where['repository']}/blob/{where['branch']}/{name}"


def install_cell():
    """The cell that installs the package where it is absent."""
    source = INSTALL.format(source=places()["install"]).splitlines(keepends=True)
    return dict(cell_type="code", execution_count=None, id=CELL_ID, metadata={}, outputs=[], source=source)


def badged(cell, name):
    """A tutorial's first cell with its badge below the one line; wherever else the badge stood, it is gone."""
    text = BADGE_LINE.sub("", "".join(cell["source"]))
    badge = f"[![Open in Colab]({IMAGE})]({colab(name)})"
    text = re.sub(r"^(?:>.*\n?)+", lambda m: f"{m[0].rstrip()}\n\n{badge}\n", text, count=1, flags=re.M)
    return dict(cell, source=text.rstrip().splitlines(keepends=True))


def opened(nb, name):
    """The notebook with the install cell after its title, and its own badges at today's address."""
    cells = [cell for cell in nb["cells"] if cell.get("id") != CELL_ID]
    if name.startswith(BADGED):
        cells[0] = badged(cells[0], name)
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = [BADGE.sub(lambda m: named_address(m[0], name), line) for line in cell["source"]]
    return dict(nb, cells=[*cells[:1], install_cell(), *cells[1:]])


def named_address(address, name):
    """A badge's address as it should be: that of the notebook it names, else of the one it stands in."""
    named = re.search(r"/blob/[^/]+/(nbs/.+\.ipynb)$", address)
    return colab(named[1] if named and (root / named[1]).is_file() else name)


def main():
    wrong = []
    for path in notebooks():
        have, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
        nb = opened(json.loads(have), name)
        if nb == json.loads(have):
            continue
        wrong.append(name)
        if "--check" not in sys.argv:
            path.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if "--check" in sys.argv and wrong:
        sys.exit("\n".join([*wrong, "run: python scripts/open_anywhere.py"]))
    print(f"{len(notebooks())} notebooks, {len(wrong)} changed")


if __name__ == "__main__":
    main()
