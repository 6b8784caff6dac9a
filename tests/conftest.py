"""Shared by all tests: one thread a process, the notebook runners, and what was skipped inside notebooks."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from configparser import ConfigParser
from pathlib import Path

for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "HF_HUB_OFFLINE"):
    os.environ.setdefault(k, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("DEBIAS_NB_PROGRESS", "0")  # no lines a minute among the output of slow notebooks

import pytest
from packaging.requirements import Requirement

root = Path(__file__).resolve().parent.parent
seconds_file = root / "tests" / "notebook_seconds.json"


def notebooks():
    """Every notebook of the project, relative to the root."""
    found = sorted(
        p for p in (root / "nbs").rglob("*.ipynb") if not any(part[0] in "_." for part in p.relative_to(root).parts)
    )
    return [p.relative_to(root).as_posix() for p in found]


def requirements_of(*extras):
    """What settings.ini requires of the package itself and for these extras; an extra may name others."""
    ini = ConfigParser(delimiters=["="], interpolation=None)
    ini.read(root / "settings.ini", encoding="utf-8")
    found = [Requirement(line) for line in ini["package"]["requirements"].split("\n") if line.strip()]
    for extra in extras:
        for requirement in (Requirement(line) for line in ini["extras"][extra].split("\n") if line.strip()):
            ours = requirement.name == ini["package"]["name"]
            found += requirements_of(*sorted(requirement.extras)) if ours else [requirement]
    return list(dict.fromkeys(found))


def run(*cmd, **kw):
    """Run a command, capturing its output."""
    return subprocess.run(
        [str(c) for c in cmd], capture_output=True, text=True, encoding="utf-8", errors="replace", **kw
    )


def pytest_addoption(parser):
    g = parser.getgroup("debias_nb")
    g.addoption("--flags", default="", help="also run notebook cells with these flags, e.g. --flags 'slow gpu'")
    g.addoption(
        "--jobs",
        type=int,
        default=min(os.cpu_count() or 1, 4),
        help="notebooks that run at once (default: one per core, at most 4)",
    )
    g.addoption("--notebook-timeout", type=int, default=900, help="seconds before a notebook is stopped (default 900)")
    g.addoption(
        "--record-times",
        action="store_true",
        help="write the seconds of each notebook to tests/notebook_seconds.json, from where the README takes its "
        "minutes",
    )


def pytest_configure(config):
    config.notebook_notes, config.notebook_times = {}, {}


def one_notebook(config, name):
    """Run one notebook in a process of its own, as nbdev-test would."""
    flags, begun = config.getoption("--flags"), time.perf_counter()
    command = [sys.executable, root / "tests" / "run_notebook.py", name, *flags.split()]
    try:
        p = run(*command, cwd=root, timeout=config.getoption("--notebook-timeout"))
    except subprocess.TimeoutExpired as e:
        out = e.stdout.decode(errors="replace") if isinstance(e.stdout, bytes) else e.stdout or ""
        return dict(rc=-1, out=out, err=f"stopped after {e.timeout:.0f} s", seconds=time.perf_counter() - begun)
    return dict(rc=p.returncode, out=p.stdout, err=p.stderr, seconds=time.perf_counter() - begun)


class NotebookServer:
    """Notebooks run by `notebook_server.py`, which imports torch and transformers once for all of them."""

    def __init__(self, config):
        command = [sys.executable, str(root / "tests" / "notebook_server.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, text=True)
        self.config, self.waiting, self.lock = config, {}, threading.Lock()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Hand each answer to whoever waits for it; when the server dies, say so to all."""
        for line in self.process.stdout:
            answer = json.loads(line)
            self.waiting.pop(answer["notebook"]).set_result(answer)
        for future in self.waiting.values():
            future.set_exception(RuntimeError("tests/notebook_server.py ended before its notebooks did"))

    def run(self, config, name):
        """Run one notebook and wait for it."""
        request = dict(notebook=name, flags=config.getoption("--flags").split())
        future = self.waiting[name] = Future()
        with self.lock:
            timeout = config.getoption("--notebook-timeout")
            self.process.stdin.write(json.dumps(dict(request, timeout=timeout)) + "\n")
            self.process.stdin.flush()
        return future.result()

    def stop(self):
        """End the server; what still runs is killed with it."""
        self.process.kill()


@pytest.fixture(scope="session")
def notebook_runs(request):
    """{notebook: future}: those selected start at once, `--jobs` at a time."""
    items = [i for i in request.session.items if "notebook_runs" in getattr(i, "fixturenames", ())]
    names = [i.callspec.params["notebook"] for i in items]
    jobs = max(1, request.config.getoption("--jobs"))
    server = NotebookServer(request.config) if hasattr(os, "fork") and len(names) > 1 else None
    longest = json.loads(seconds_file.read_text()) if seconds_file.exists() else {}
    order = sorted(names, key=lambda n: -longest.get(n, 0)) if len(names) > 1 else names
    with ThreadPoolExecutor(jobs) as pool:
        runs = {n: pool.submit(server.run if server else one_notebook, request.config, n) for n in order}
        yield runs
        for r in runs.values():
            r.cancel()
        if server:
            server.stop()


def pytest_terminal_summary(terminalreporter, config):
    if config.notebook_times:
        t = config.notebook_times
        terminalreporter.section("notebooks, seconds")
        for n in sorted(t, key=t.get, reverse=True):
            terminalreporter.line(f"{t[n]:7.1f}  {n}")
    if config.notebook_notes:
        terminalreporter.section("skipped inside notebooks")
        for n, notes in sorted(config.notebook_notes.items()):
            for note in notes:
                terminalreporter.line(f"{n}: {note}")
    if config.getoption("--record-times") and config.notebook_times:
        old = json.loads(seconds_file.read_text()) if seconds_file.exists() else {}
        new = {**old, **{n: round(t, 1) for n, t in config.notebook_times.items()}}
        seconds_file.write_text(json.dumps({n: new[n] for n in notebooks() if n in new}, indent=1) + "\n")
