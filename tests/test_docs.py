"""The docs site before MkDocs: every notebook becomes a page, links lead somewhere, figures are described."""

import json
import re
import sys

import pytest
from conftest import root

sys.path.insert(0, str(root / "scripts"))
pytest.importorskip("latex2mathml", reason="skipped: latex2mathml belongs to the extra docs")
import docs


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All notebooks and files of the project as Markdown, in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("docs")
    before, docs.PAGES = docs.PAGES, folder
    for path in docs.notebooks():
        if path.name != "index.ipynb":
            docs.write_notebook(path)
    docs.write_project()
    docs.PAGES = before
    return folder


def test_figures_are_described(pages):
    """Each has an alternative text that says more than that it is a figure."""
    found, bare = 0, []
    for page in pages.rglob("*.md"):
        for alt, name in re.findall(r"!\[([^\]]*)\]\(([^)]+\.png)\)", page.read_text(encoding="utf-8")):
            found += 1
            if len(alt) < 20:
                bare.append(f"{page.relative_to(pages)}: {name}: {alt!r}")
            assert (page.parent / name).is_file(), f"{page.relative_to(pages)}: {name}"
    assert found > 20 and not bare, "\n".join(bare)


def test_figures_of_the_tutorials_have_a_text_of_their_own():
    """Each cell with a picture says in `#| fig-alt` what it shows; the site has all of it, without the quotes."""
    seen = 0
    for path in sorted((root / "nbs" / "tutorials").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if any(kind.startswith("image/") for o in cell.get("outputs", []) for kind in o.get("data", {})):
                seen += 1
                alt = docs.figure_alt("".join(cell["source"]))
                assert len(alt) > 60 and alt.endswith(".") and '"' not in alt, f"{path.name}: {alt!r}"
    assert seen > 8


def test_a_text_of_a_figure_may_be_long():
    cell = '#| hide_input\n#| fig-alt: "Bars of a,\n#|   of b\n#|   and of c."\n#| echo: false\nplot()'
    assert docs.figure_alt(cell) == "Bars of a, of b and of c."
    assert docs.figure_alt("#| fig-alt: Bars of a.\nplot()") == "Bars of a."
    assert docs.figure_alt("plot()  # without one") == ""


def test_pages_hide_what_readers_need_not_see(pages):
    """No directives, no install cell, no hidden checks; formulas are MathML."""
    text = (pages / "grpo" / "10_aggregation.md").read_text(encoding="utf-8")
    assert "#| " not in text and "find_spec" not in text and "fastcore.test" not in text
    assert '<span class="math"><math' in text and "\\sigma" not in re.sub(r"```.*?```", "", text, flags=re.S)


def test_sidebar_names_what_is_there():
    """Pages that the sidebar places by name exist, and every page is placed."""
    stems = {re.sub(r"^\d+_", "", path.stem) for path in (root / "nbs" / "pages").glob("*.ipynb")}
    assert {name for names in docs.KINDS.values() for name in names.split()} <= stems
    kinds = [next(iter(entry)) for entry in docs.navigation({})]
    assert [k for k in kinds if k != "Tutorials"] == [
        *["Home", "How-to", "Explanations", "Studies", "API", "Notebooks", "Project"]
    ]


def test_a_link_to_nothing_is_an_error():
    with pytest.raises(SystemExit, match="nothing.ipynb, which is not there"):
        docs.link("nothing.ipynb", root / "nbs" / "all.ipynb", "all.md")


def test_search_must_know_every_page_and_name(tmp_path):
    """On a site of three pages: whole, without a page, and with a page of the API that lost a name."""
    pages, site = tmp_path / "pages", tmp_path / "site"
    for name in ("index.md", "tutorials/10_tour.md", "api/grpo.md"):
        (pages / name).parent.mkdir(parents=True, exist_ok=True)
        (pages / name).touch()

    def searched(**texts):
        place = {"home": "", "tour": "tutorials/10_tour/", "grpo": "api/grpo/#training"}
        entries = [dict(location=place[key], title=key, text=text) for key, text in texts.items()]
        (site / "search").mkdir(parents=True, exist_ok=True)
        (site / "search" / "search_index.json").write_text(json.dumps(dict(docs=entries)))
        docs.require_searchable(pages, site, ["train_grpo"])

    searched(home="hello", tour="a tour", grpo="train_grpo trains")
    with pytest.raises(SystemExit, match="does not find: tutorials/10_tour.md"):
        searched(home="hello", grpo="train_grpo trains")
    with pytest.raises(SystemExit, match="does not find: train_grpo"):
        searched(home="train_grpo", tour="train_grpo", grpo="trains")
