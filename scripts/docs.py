"""Builds the docs site into `site/`: the notebooks, an API page a room, the pages of the project (MkDocs Material).

`python3 scripts/docs.py` makes `.venv` with the extra `docs` first; `--here` uses the Python that runs it;
`--stage` only writes the Markdown to `build/docs`.
"""

import base64
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from open_anywhere import BADGE_LINE, CELL_ID, colab, kaggle, notebooks, places
from readme import ANALYSIS, ROOMS, one_line, read_nb, root, source

BUILD = root / "build" / "docs"
PAGES = BUILD / "pages"
KINDS = {  # where a page of nbs/pages stands; the rest are explanations
    "How-to": "examples command_line choosing_a_metric choosing_an_aggregation choosing_hardware other_tools "
    "errors_and_remedies",
    "Project": "files",
}
WRITTEN = {  # words that a title does not write in small letters
    "grpo": "GRPO",
    "regift": "ReGiFT",
    "squad": "SQuAD",
    "bbq": "BBQ",
    "ccbbq": "CC-BBQ",
    "llm": "LLM",
    "lm": "LM",
    "trl": "TRL",
    "stereoset": "StereoSet",
    "crows": "CrowS",
    "hatecheck": "HateCheck",
    "redditbias": "RedditBias",
    "seegull": "SeeGULL",
    "cold": "COLD",
    "bold": "BOLD",
    "cbbq": "CBBQ",
    "winobias": "WinoBias",
    "gguf": "GGUF",
    "yaml": "YAML",
}
PROJECT = {  # files of the repository that are pages
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "SECURITY.md": "security.md",
    "tests/README.md": "tests.md",
}


# Links -----------------------------------------------------------------------------------------------------


def page_of(target):
    """The page of a file or folder of the repository, relative to the site; None where it has none."""
    relative = target.relative_to(root).as_posix()
    if relative in ("README.md", "nbs/index.ipynb", "nbs"):
        return "index.md"
    if relative in PROJECT:
        return "project/" + PROJECT[relative]
    if relative.startswith("nbs/") and target.suffix == ".ipynb" and target.is_file():
        return relative.removeprefix("nbs/").removesuffix(".ipynb") + ".md"
    if relative.startswith("nbs/") and relative != "nbs/pages" and target.is_dir() and any(target.glob("*.ipynb")):
        return relative.removeprefix("nbs/") + "/index.md"
    return None


def link(target, here, page):
    """A link as it stands in `here` (a file of the repository), as `page` of the site needs it."""
    if re.match(r"[a-z]+:|#|/", target):
        return target
    path, mark, anchor = target.partition("#")
    file = (here.parent / path).resolve()
    if not file.exists() or not file.is_relative_to(root):
        raise SystemExit(f"{here.relative_to(root)}: link to {target}, which is not there")
    found = page_of(file)
    if found:
        return os.path.relpath(found, Path(page).parent) + mark + anchor
    if file.suffix in (".png", ".svg"):
        copy = PAGES / "files" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
        return os.path.relpath(f"files/{file.name}", Path(page).parent)
    where, kind = places(), "tree" if file.is_dir() else "blob"
    return f"{where['repository']}/{kind}/{where['branch']}/{file.relative_to(root).as_posix()}{mark}{anchor}"


# Markdown --------------------------------------------------------------------------------------------------


def mathml(text):
    """Formulas between dollars as MathML, which browsers show by themselves."""
    from latex2mathml.converter import convert

    def block(found):
        return f'\n\n<div class="math" markdown="0">{convert(found[1].strip(), display="block")}</div>\n\n'

    def inline(found):
        return f'<span class="math">{convert(found[1])}</span>'

    text = re.sub(r"\$\$(.+?)\$\$", block, text, flags=re.S)
    return re.sub(r"(?<![\w$\\])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\w$])", inline, text)


def outside_code(text, change):
    """`change` applied to Markdown, but not to fenced blocks and code spans."""
    parts = re.split(r"(^```.*?^```[^\n]*$|`[^`\n]+`)", text, flags=re.M | re.S)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def spaced_lists(text):
    """A blank line before each list: GitHub and Jupyter need none, Python-Markdown does."""
    lines = []
    for line in text.split("\n"):
        item = re.match(r" {0,3}(?:[-*+]|\d+\.) ", line)
        before = lines[-1] if lines else ""
        if item and before.strip() and not re.match(r"\s*(?:[-*+]|\d+\.) |\s{2,}", before):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def markdown(text, here, page):
    """Markdown of the repository as Markdown of the site."""

    def change(part):
        part = re.sub(r"(\]\()([^)\s]+)(\))", lambda m: m[1] + link(m[2], here, page) + m[3], part)
        return mathml(spaced_lists(part))

    # code spans inside link texts ([`name`](target)) are put aside first, so that their links are seen
    spans = []
    text = re.sub(r"\[`([^`\n]+)`\]", lambda m: f"[\0{spans.append(m[1]) or len(spans) - 1}\0]", text)
    return re.sub(r"\0(\d+)\0", lambda m: f"`{spans[int(m[1])]}`", outside_code(text, change))


def fenced(text, language):
    """A block of code or text, with a fence that the text does not hold."""
    ticks = "`" * max(3, 1 + max((len(m) for m in re.findall(r"`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def plain_html(html):
    """HTML of a cell without styles of its own and blank lines, which would end it in Markdown."""
    html = re.sub(r"<style.*?</style>", "", html, flags=re.S).replace(' border="1"', "")
    return '<div class="output" markdown="0">' + re.sub(r"\n\s*\n", "\n", html).strip() + "</div>"


def first_sentence(text):
    """The first sentence of prose in Markdown, plain, for the alternative text of a figure."""
    prose = [
        part for part in re.split(r"\n\s*\n", text) if part.strip() and not re.match(r"\s*(#|\||```|!\[|- )", part)
    ]
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`_$>\[\]]", lambda m: m[1] or "", prose[0] if prose else "")
    return re.split(r"(?<=[.:!?])\s", " ".join(plain.split()))[0].replace('"', "'").strip()


def heading(text):
    """The last heading in Markdown."""
    found = re.findall(r"^#+ (.+)", text, re.M)
    return re.sub(r"[`*]", "", found[-1]) if found else ""


def directives(text):
    """The lines `#| ...` of a cell, without their marks."""
    return re.findall(r"^#\| *(.+)", text, re.M)


def written_alt(text):
    """The alternative text that a cell states for its figures (`#| fig-alt: "..."`); empty where it states none."""
    found = next((d.partition(":")[2].strip() for d in directives(text) if d.startswith("fig-alt:")), "")
    return re.sub(r'^(["\'])(.*)\1$', r"\2", found)


def picture(data):
    """The picture in the data of an output, as (ending, bytes): vectors where there are any; None without one."""
    if "image/svg+xml" in data:
        return "svg", "".join(data["image/svg+xml"]).encode()
    if "image/png" in data:
        return "png", base64.b64decode("".join(data["image/png"]))
    return None


class Page:
    """A notebook on its way to a page: its parts so far, and what was said last, for alternative texts."""

    def __init__(self, path):
        self.here, self.page = path, page_of(path)
        self.parts, self.said, self.headed, self.figures = [], "", "", 0

    def figure(self, drawn, alt):
        """Write a `picture` beside the page; give its Markdown."""
        ending, content = drawn
        self.figures += 1
        name = f"{Path(self.page).stem}-{self.figures}.{ending}"
        place = PAGES / Path(self.page).parent / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        if not alt:
            alt = f"Figure, {self.headed}: {self.said}" if self.headed else f"Figure: {self.said}"
        return f"![{alt.replace('[', '(').replace(']', ')')}]({name})"

    def output(self, output, alt):
        """One output of a cell."""
        data, text = output.get("data", {}), "".join(output.get("text", []))
        drawn = picture(data)
        if "text/markdown" in data:
            self.parts.append(markdown("".join(data["text/markdown"]), self.here, self.page))
        elif drawn:
            self.parts.append(self.figure(drawn, alt))
        elif "text/html" in data:
            self.parts.append(plain_html("".join(data["text/html"])))
        elif text or "text/plain" in data:
            self.parts.append(fenced(text or "".join(data["text/plain"]), "text"))

    def cell(self, cell):
        """One cell, by its directives."""
        text = source(cell).strip()
        if cell["cell_type"] == "markdown":
            self.said, self.headed = first_sentence(text) or self.said, heading(text) or self.headed
            self.parts.append(markdown(text, self.here, self.page))
            return
        if cell["cell_type"] == "raw" or cell.get("id") == CELL_ID or not text:
            return
        if any(re.match(r"hide$|default_exp", d) for d in directives(text)):
            return
        code = re.sub(r"^#\|.*\n?", "", text, flags=re.M).strip()
        if code and not any(re.match(r"(echo: *false|hide_input)", d) for d in directives(text)):
            self.parts.append(fenced(code, "python"))
        for output in cell.get("outputs", []):
            self.output(output, written_alt(text))


def title(path):
    """A notebook's name as a heading."""
    name = re.search(r"^# (.+)", source(read_nb(path)["cells"][0]), re.M)[1]
    words = [WRITTEN.get(word, word) for word in name.replace("_", " ").split(" ")]
    return words[0][0].upper() + " ".join(words)[1:]


def write_notebook(path):
    """A page from a notebook."""
    nb, name = read_nb(path), path.relative_to(root).as_posix()
    page = Page(path)
    for cell in nb["cells"]:
        page.cell(cell)
    where = places()
    code = f"{where['repository']}/blob/{where['branch']}/{name}"
    buttons = f"[Open in Colab]({colab(name)}) · [Kaggle]({kaggle(name)}) · [Notebook]({code})\n{{ .open }}"
    first, rest = BADGE_LINE.sub("", page.parts[0]), page.parts[1:]  # the site has a link for the badge
    exported = next(
        (re.match(r"#\| *default_exp (\S+)", source(c)) for c in nb["cells"] if "default_exp" in source(c)), None
    )
    if exported:
        api = os.path.relpath(api_page(exported[1].rpartition(".")[0]), Path(page.page).parent)
        anchor = exported[1].rpartition(".")[2].replace("_", "-")
        buttons = buttons.replace("\n", f" · [API of `{exported[1]}`]({api}#{anchor})\n")
    first = re.sub(r"^# .+", f"# {title(path)}", first, count=1)
    body = "\n\n".join([first, buttons, *rest]) + "\n"
    front = f"---\ntitle: {title(path)}\ndescription: {one_line(path).replace(':', ' -')!r}\n---\n\n"
    place = PAGES / page.page
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(front + body, encoding="utf-8")


# API -------------------------------------------------------------------------------------------------------


def api_page(room):
    """The page of a room, given as in `analysis.judges`."""
    return f"api/{room.replace('.', '-') or 'all'}.md"


def described(thing, level):
    """The documentation, by nbdev, of a function or class: signature with a comment per parameter, and docstring."""
    from nbdev.showdoc import BasicMarkdownRenderer, show_doc

    try:
        text = show_doc(thing, renderer=BasicMarkdownRenderer)._repr_markdown_()
    except (TypeError, ValueError, AttributeError, KeyError):  # a constant, an alias
        return ""
    text = re.sub(r"^---\n+", "", text)
    return re.sub(r"^#+", "#" * level, text, count=1)


def module_section(module, name):
    """All public names of a module."""
    parts = [
        f"## {name.rpartition('.')[2]} {{ #{name.rpartition('.')[2].replace('_', '-')} }}",
        inspect.getdoc(module) or "",
    ]
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            parts.append(described(thing, 3) or f"### {public}\n\n{inspect.getdoc(thing) or ''}")
        else:
            shown = re.sub(r"<function (\w+) at 0x\w+>", r"\1", repr(thing))
            parts.append(
                f"### {public}\n\n" + fenced(f"{public} = {shown[:300]}{' ...' if len(shown) > 300 else ''}", "python")
            )
        if inspect.isclass(thing):
            for method, value in vars(thing).items():
                if not method.startswith("_") and inspect.isfunction(value) and value.__doc__:
                    parts.append(described(value, 4))
    return "\n\n".join(part for part in parts if part)


def write_api():
    """A page per room and inner room; give {room: title}."""
    everything = PAGES / api_page("")
    everything.parent.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module("debias_nb.all")
    lines = [f"- `{name}` of `{getattr(module, name).__module__}`" for name in module.__all__]
    head = "---\ntitle: all\n---\n\n# debias_nb.all\n\n> `from debias_nb.all import *`: the names that matter first\n"
    everything.write_text(head + "\n## all { #all }\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    folders = sorted({path.parent for path in (root / "debias_nb").rglob("*.py")} - {root / "debias_nb"})
    made = {"all": api_page("")}
    for folder in folders:
        room = folder.relative_to(root / "debias_nb").as_posix().replace("/", ".")
        files = sorted(file for file in folder.glob("*.py") if not file.stem.startswith("_"))
        if not files:
            continue
        sections = [
            module_section(importlib.import_module(f"debias_nb.{room}.{f.stem}"), f"{room}.{f.stem}") for f in files
        ]
        place = PAGES / api_page(room)
        place.parent.mkdir(parents=True, exist_ok=True)
        about = ROOMS.get(room) or ANALYSIS.get(room.rpartition(".")[2], "")
        head = f"---\ntitle: {room}\n---\n\n# debias_nb.{room}\n\n> {about}\n"
        place.write_text("\n\n".join([head, *sections]) + "\n", encoding="utf-8")
        made[room] = api_page(room)
    return made


# The site --------------------------------------------------------------------------------------------------


def write_room(folder):
    """The page that lists the notebooks of a folder."""
    page = page_of(folder)
    room = folder.relative_to(root / "nbs").as_posix()
    about = ROOMS.get(room) or ANALYSIS.get(room.rpartition("/")[2], "")
    rows = ["| notebook | what |", "|---|---|"]
    rows += [f"| [{title(p)}]({p.stem}.md) | {one_line(p)} |" for p in sorted(folder.glob("*.ipynb"))]
    inner = [
        f"- [{d.name}]({d.name}/index.md)" for d in sorted(folder.iterdir()) if d.is_dir() and any(d.glob("*.ipynb"))
    ]
    text = f"---\ntitle: {folder.name}\n---\n\n# {folder.name}\n\n> {about or 'Notebooks'}\n\n" + "\n".join(rows)
    (PAGES / page).write_text(text + "\n\n" + "\n".join(inner) + "\n", encoding="utf-8")


def write_project():
    """The files of the repository that are pages, and the front page."""
    for name, page in {**PROJECT, "README.md": ""}.items():
        target = f"project/{page}" if page else "index.md"
        text = markdown((root / name).read_text(encoding="utf-8"), root / name, target)
        place = PAGES / target
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def kind_of(path):
    """Under which heading of the sidebar a page of nbs/pages stands."""
    name = re.sub(r"^\d+_", "", path.stem)
    return next((kind for kind, names in KINDS.items() if name in names.split()), "Explanations")


def in_room(folder):
    """Sidebar entries of a folder of notebooks."""
    entries = [{"Overview": page_of(folder)}]
    entries += [{title(path): page_of(path)} for path in sorted(folder.glob("*.ipynb"))]
    inner = [d for d in sorted(folder.iterdir()) if d.is_dir() and any(d.glob("*.ipynb"))]
    return entries + [{d.name: in_room(d)} for d in inner]


def navigation(api):
    """The sidebar, by kind: what do I want to do, know, look up?"""
    pages = {"How-to": [], "Explanations": [], "Project": []}
    for path in sorted((root / "nbs" / "pages").glob("*.ipynb")):
        pages[kind_of(path)].append({title(path): page_of(path)})
    tutorials = [{title(p): page_of(p)} for p in sorted((root / "nbs" / "tutorials").glob("*.ipynb"))]
    named = {"contributing": "Contributing", "changelog": "Changelog", "conduct": "Code of conduct"}
    named |= {"security": "Security", "tests": "Tests"}
    project = [{named[Path(page).stem]: f"project/{page}"} for page in PROJECT.values()]
    rooms = [{room: in_room(root / "nbs" / room)} for room in ROOMS if room not in ("studies", "tutorials")]
    return [
        {"Home": "index.md"},
        *([{"Tutorials": tutorials}] if tutorials else []),
        {"How-to": pages["How-to"]},
        {"Explanations": pages["Explanations"]},
        {"Studies": in_room(root / "nbs" / "studies")},
        {"API": [{room: page} for room, page in api.items()]},
        {"Notebooks": [*rooms, {"all": page_of(root / "nbs" / "all.ipynb")}]},
        {"Project": [*pages["Project"], *project]},
    ]


def stage():
    """Write every page and the settings of the site to `build/docs`."""
    import yaml

    shutil.rmtree(BUILD, ignore_errors=True)
    PAGES.mkdir(parents=True)
    for path in notebooks():
        if path.name != "index.ipynb":
            write_notebook(path)
    for folder in sorted({path.parent for path in notebooks()} - {root / "nbs", root / "nbs" / "pages"}):
        write_room(folder)
    write_project()
    where = places()
    settings = dict(
        INHERIT=str(root / "mkdocs.yml"),
        site_url=where["site"],
        repo_url=where["repository"],
        docs_dir="pages",
        site_dir=str(root / "site"),
        nav=navigation(write_api()),
    )
    shutil.copy(root / "scripts" / "docs.css", PAGES / "docs.css")
    (BUILD / "mkdocs.yml").write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")


def require_searchable(pages, site, names):
    """Stop unless the site's search knows every page, and every one of the names from the API's pages."""
    said = {}
    for entry in json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]:
        page = entry["location"].partition("#")[0]
        said[page] = f"{said.get(page, '')} {entry['title']} {entry['text']}"
    addresses = {page: page.relative_to(pages).with_suffix("").as_posix() + "/" for page in pages.rglob("*.md")}
    addresses = {page: re.sub(r"(^|(?<=/))index/$", "", address) for page, address in addresses.items()}
    missing = [str(page.relative_to(pages)) for page, address in addresses.items() if not said.get(address, "").strip()]
    api = " ".join(text for page, text in said.items() if page.startswith("api/"))
    missing += [name for name in names if name not in api]
    if missing:
        raise SystemExit(f"the search of the site does not find: {', '.join(sorted(missing))}")
    print(f"the search knows {len(addresses)} pages and {len(names)} names")


def main():
    if "--here" not in sys.argv and "--stage" not in sys.argv:
        from bootstrap import ensure

        sys.exit(subprocess.run([ensure("docs"), __file__, "--here"], cwd=root).returncode)
    sys.path.insert(0, str(root))
    stage()
    if "--stage" in sys.argv:
        return
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(BUILD / "mkdocs.yml")]
    code = subprocess.run(command, cwd=root).returncode
    if not code:
        from debias_nb.all import __all__ as names

        require_searchable(PAGES, root / "site", names)
        print(f"open {root / 'site' / 'index.html'}")
    sys.exit(code)


if __name__ == "__main__":
    main()
