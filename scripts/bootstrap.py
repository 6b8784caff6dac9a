"""Makes and keeps `.venv`, the environment behind the README's two commands. Needs nothing but Python.

Idempotent: a stamp in `.venv` holds a hash of what was asked for; while it still matches, nothing is installed.
Settings: `PYTHON` (which interpreter to use), `DEBIAS_NB_VENV` (where the environment goes, default `.venv`)."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

root = Path(__file__).resolve().parent.parent
venv = Path(os.environ.get("DEBIAS_NB_VENV") or root / ".venv").absolute()
bin_dir = venv / ("Scripts" if os.name == "nt" else "bin")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def say(msg):
    print("== " + msg, flush=True)


def fail(msg):
    sys.exit("error: " + msg)


def works(python):
    """Whether `python` is 3.11 or newer and can make environments."""
    code = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    try:
        return (
            subprocess.run([str(python), "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
            == 0
        )
    except OSError:
        return False


def find_python():
    """The interpreter to build the environment with."""
    if os.environ.get("PYTHON"):
        names = [os.environ["PYTHON"]]
    else:
        names = [sys.executable] + ["python3.11", "python3.12", "python3.13", "python3", "python"]
    for n in names:
        path = shutil.which(n)
        if path and works(path):
            return path
    fail(
        "no Python 3.11 or newer with the venv module was found (tried: %s). Install one (Debian, Ubuntu: apt "
        "install python3-venv) "
        "or name it: PYTHON=/path/to/python" % ", ".join(names)
    )


def wants_cpu_torch():
    """A Linux machine without a working NVIDIA driver: PyPI would bring gigabytes of CUDA libraries."""
    if platform.system() != "Linux":
        return False
    try:
        return (
            subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0
        )
    except OSError:
        return True


def reachable(url):
    """Whether a package index answers (many machines see only a mirror)."""
    try:
        urllib.request.urlopen(url, timeout=10).close()
        return True
    except OSError:
        return False


def pip(*args):
    """Pip with warnings hidden (a mirror that lacks a package is noise) and errors shown."""
    cmd = [
        str(bin_dir / "python"),
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
        "-c",
        str(root / "constraints.txt"),
    ] + list(args)
    if subprocess.run(cmd, cwd=str(root)).returncode:
        fail("pip could not install the packages (see above). Is there a network or a package mirror?")


def fingerprint(python):
    """What an environment is made from: the metadata files, this checkout's place, the interpreter."""
    files = [
        root / f for f in ("constraints.txt", "settings.ini", "setup.py", "pyproject.toml", "scripts/bootstrap.py")
    ]
    version = subprocess.run([str(python), "-VV"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return hashlib.sha256(
        b"\0".join([f.read_bytes() for f in files] + [str(root).encode(), version.encode()])
    ).hexdigest()


def ensure(extras=""):
    """Make or update the environment with the package (editable) and `extras`; give the path of its Python."""
    os.chdir(str(root))
    python, stamp, t0 = bin_dir / ("python.exe" if os.name == "nt" else "python"), venv / "debias_nb.json", time.time()
    have = json.loads(stamp.read_text(encoding="utf-8")) if stamp.exists() else {}
    usable = works(python)
    current = usable and have.get("fingerprint") == fingerprint(python)
    if current and extras in have["extras"]:
        return str(python)
    if not usable:
        base = find_python()
        say("making %s with %s" % (venv, base))
        if subprocess.run([base, "-m", "venv", "--clear", str(venv)]).returncode:
            fail("could not make %s" % venv)
    say("installing debias_nb and the tested versions of its requirements (once; some minutes)")
    pins = dict(
        line.strip().split("==")
        for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and line[0] != "#"
    )
    if (
        wants_cpu_torch()
    ):  # pip prefers 2.13.0+cpu to 2.13.0 wherever it finds both: on that index, or on a mirror that has it
        pip(
            "--no-deps",
            "torch==" + pins["torch"],
            *(["--extra-index-url", CPU_INDEX] if reachable(CPU_INDEX + "/torch/") else []),
        )
    pip("-e", ".[%s]" % extras if extras else ".")
    made = {"fingerprint": fingerprint(python), "extras": sorted({"", extras} | set(have["extras"] if current else []))}
    stamp.write_text(json.dumps(made), encoding="utf-8")
    say("environment ready in %.0f s" % (time.time() - t0))
    return str(python)


if __name__ == "__main__":
    ensure(",".join(sys.argv[1:]))
