"""Runs notebooks as strangers do: from an empty folder, with the installed package, through Jupyter's own kernel.

`python scripts/empty_folder.py NOTEBOOK...`, `--sample` (one a room) or `--all`, with the Python that has the wheel;
`--all --part 2/6` is the second of six parts, for machines side by side.
Files of the repository come from an archive of this checkout, fetched as the one on GitHub would be.
Cells flagged slow, gpu or `eval: false` are left out, as in the suite. `--log FILE` keeps what passed, for another go.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from open_anywhere import notebooks, root

LEFT_OUT = re.compile(r"^#\| *(eval: *false|slow|gpu)\b", re.M)


def archive(folder):
    """The committed files of this checkout as GitHub packs them."""
    place = Path(folder, "debias_nb.tar.gz")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    with tarfile.open(place, "w:gz") as packed:
        for name in filter(None, names):
            if (root / name).is_file():
                packed.add(root / name, f"debias_nb-main/{name}")
    return place.as_uri()


def sample():
    """The first notebook of each folder, and the pages and tutorials."""
    first = {path.parent: path for path in reversed(notebooks())}
    whole = [path for path in notebooks() if path.parent.name in ("pages", "tutorials")]
    return sorted({*first.values(), *whole})


def part_of(paths, part):
    """Every N-th of the notebooks from the K-th on, where `part` is K/N."""
    k, _, n = part.partition("/")
    if not (k.isdigit() and n.isdigit() and 1 <= int(k) <= int(n)):
        sys.exit(f"error: --part {part} is none. Write K/N, such as 2/6")
    return paths[int(k) - 1 :: int(n)]


def run(path, timeout):
    """Execute one notebook in an empty folder; give what went wrong, or nothing."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    nb = nbformat.read(path, as_version=4)
    nb.cells = [c for c in nb.cells if c.cell_type != "code" or not LEFT_OUT.search(c.source)]
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(nb, timeout=timeout, kernel_name="python3", resources=dict(metadata=dict(path=folder)))
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return str(error)[-1500:]
        left = sorted(p.name for p in Path(folder).iterdir())
    return f"left in the reader's folder: {', '.join(left)}" if left and "tutorials" not in path.parts else ""


def environment(home):
    """What the kernels see: a home of their own, no path of the checkout, no network for models."""
    os.environ.update(
        HOME=home,
        XDG_CACHE_HOME=f"{home}/.cache",
        HF_HUB_OFFLINE="1",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
    )
    os.environ.update(DEBIAS_NB_ARCHIVE=archive(home), OMP_NUM_THREADS="1", DEBIAS_NB_PROGRESS="0")
    os.environ.pop("PYTHONPATH", None)
    os.environ.pop("NBDEV_TEST", None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--sample", action="store_true", help="one notebook a folder, all pages and tutorials")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--part", default="1/1", help="K/N: only every N-th of them from the K-th on")
    parser.add_argument("--timeout", type=int, default=900, help="seconds that a cell may take (default 900)")
    parser.add_argument("--log", type=Path, help="a file that names what passed; those are not run again")
    given = parser.parse_args()
    chosen = notebooks() if given.all else sample() if given.sample else [path.resolve() for path in given.notebooks]
    if not chosen:
        parser.error("name notebooks, or give --sample or --all")
    chosen = part_of(chosen, given.part)
    passed = set(given.log.read_text().split()) if given.log and given.log.exists() else set()
    failed = []
    with tempfile.TemporaryDirectory() as home:
        environment(home)
        where = "import debias_nb, pathlib; print(pathlib.Path(debias_nb.__file__).parent)"
        package = subprocess.run([sys.executable, "-c", where], cwd=home, capture_output=True, text=True).stdout.strip()
        if not package or Path(package).is_relative_to(root / "debias_nb"):
            sys.exit(f"this Python has no debias_nb of its own ({package or 'none'}): pip install dist/*.whl")
        for path in chosen:
            name, begun = path.relative_to(root).as_posix(), time.perf_counter()
            if name in passed:
                continue
            problem = run(path, given.timeout)
            print(f"{'FAILED' if problem else 'ok':6} {time.perf_counter() - begun:6.1f} s  {name}", flush=True)
            if problem:
                failed.append(name)
                print(problem, flush=True)
            elif given.log:
                with open(given.log, "a") as log:
                    log.write(name + "\n")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
