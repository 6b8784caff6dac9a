"""Every notebook is one case, in a process of its own: the same cells and directives as nbdev-test."""

import pytest
from conftest import notebooks

names = notebooks()


def test_there_are_notebooks():
    """A wrong path would otherwise leave nothing to run, and nothing to fail."""
    assert len(names) >= 2 and "nbs/core/10_errors.ipynb" in names


@pytest.mark.parametrize("notebook", names)
def test_notebook(notebook, notebook_runs, request):
    r = notebook_runs[notebook].result()
    config = request.config
    notes = [line.strip() for line in r["out"].splitlines() if line.strip().lower().startswith("skipped:")]
    if notes:
        config.notebook_notes[notebook] = list(dict.fromkeys(notes))
    if r["rc"] == 3:
        pytest.skip("every cell is flagged (`#| eval: false`, slow or gpu)")
    config.notebook_times[notebook] = r["seconds"]
    if r["rc"]:
        pytest.fail(f"{notebook} failed (exit code {r['rc']})\n{r['out'][-1500:]}\n{r['err'][-6000:]}", pytrace=False)
