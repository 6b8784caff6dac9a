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
    drawn = r"!\[([^\]]*)\]\((?!https?:)([^)]+\.(?:png|svg))\)"  # badges come from elsewhere
    for page in pages.rglob("*.md"):
        for alt, name in re.findall(drawn, page.read_text(encoding="utf-8")):
            found += 1
            if len(alt) < 20:
                bare.append(f"{page.relative_to(pages)}: {name}: {alt!r}")
            assert (page.parent / name).is_file(), f"{page.relative_to(pages)}: {name}"
    assert found > 20 and not bare, "\n".join(bare)


def drawn_by(cell):
    """Outputs of a cell that hold a picture, in however many formats."""
    kinds = [output.get("data", {}) for output in cell.get("outputs", [])]
    return sum(any(kind.startswith("image/") for kind in data) for data in kinds)


def cells_with_figures():
    """Of all notebooks: (path, number, source, figures)."""
    for path in docs.notebooks():
        for k, cell in enumerate(docs.read_nb(path)["cells"]):
            figures = drawn_by(cell)
            if figures:
                yield path, k, docs.source(cell), figures


def test_alternative_texts_are_written():
    """Each cell that draws says what one sees: in sentences, between quotes, and in words of its own."""
    faults, texts = [], {}
    for path, k, source, _ in cells_with_figures():
        where = f"{path.relative_to(root)}, cell {k}"
        text = docs.written_alt(source)
        lines = [line for line in docs.directives(source) if line.startswith("fig-alt:")]
        if len(text) < 60 or not text.endswith(".") or len(lines) != 1:
            faults.append(f"{where}: {lines}")
        elif lines != [f'fig-alt: "{text}"'] or set('"\\') & set(text):
            faults.append(f"{where}: not a text between quotes")
        elif text in texts:
            faults.append(f"{where}: the text of {texts[text]}")
        texts[text] = where
    assert len(texts) > 30 and not faults, "\n".join(faults)


def test_written_texts_reach_the_pages(pages):
    """As they are, once a figure; a cell without one gets the heading and what was said before it."""
    for path, k, source, figures in cells_with_figures():
        page = (pages / docs.page_of(path)).read_text(encoding="utf-8")
        assert page.count(f"![{docs.written_alt(source)}](") == figures, f"{path.relative_to(root)}, cell {k}"
    page = docs.Page(root / "nbs" / "all.ipynb")
    page.headed, page.said = "Train", "A loss."
    assert docs.written_alt('#| echo: false\n#| fig-alt: "Bars: [a] falls."\nx = 1') == "Bars: [a] falls."
    assert docs.written_alt("#| fig-alt: Bars.\nx = 1") == "Bars." and docs.written_alt("x = 1") == ""
    before, docs.PAGES = docs.PAGES, pages / "tried"
    try:
        assert page.figure(("png", b""), "Bars: [a] falls.") == "![Bars: (a) falls.](all-1.png)"
        assert page.figure(("svg", b""), "") == "![Figure, Train: A loss.](all-2.svg)"
        page.headed = ""
        assert page.figure(("png", b""), "") == "![Figure: A loss.](all-3.png)"
    finally:
        docs.PAGES = before


def test_an_output_is_one_figure(tmp_path, monkeypatch):
    """As vectors where it holds vectors, else as pixels; counted once though it holds both, and text is none."""
    vectors, pixels = {"image/svg+xml": ["<svg>", "</svg>"]}, {"image/png": "AAEC"}
    held = [vectors, pixels, vectors | pixels, {"text/plain": "<Figure>"}]
    cell = dict(cell_type="code", source='#| fig-alt: "Bars."\nplot()', outputs=[dict(data=data) for data in held])
    monkeypatch.setattr(docs, "PAGES", tmp_path)
    page = docs.Page(root / "nbs" / "all.ipynb")
    page.cell(cell)
    assert drawn_by(cell) == 3
    assert page.parts[1:4] == [f"![Bars.](all-{name})" for name in ("1.svg", "2.png", "3.svg")]
    assert "<Figure>" in page.parts[4]
    assert [(tmp_path / f"all-{name}").read_bytes() for name in ("1.svg", "2.png", "3.svg")] == [
        *[b"<svg></svg>", b"\0\1\2", b"<svg></svg>"]
    ]


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
