"""Runs notebooks with nbdev's tester, each in a forked process that finds torch and transformers imported.

Reads one JSON request a line, `{"notebook": ..., "flags": [...], "timeout": seconds}`, and answers
one JSON line each as it ends.
Where the system cannot fork, `run_notebook.py` does the same one process at a time.
"""

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path


def preload():
    """Import once what nearly every notebook imports."""
    import datasets  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import nbdev.test  # noqa: F401
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import seaborn  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torch
    from peft import LoraConfig  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer  # noqa: F401
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def start(request):
    """Fork a child that runs one notebook with its output in two files; give its state."""
    out, err = (tempfile.mkstemp(suffix=suffix) for suffix in (".out", ".err"))
    temporary = tempfile.mkdtemp(prefix="notebook-")  # a notebook leaves its temporary folders to the end of its kernel
    pid = os.fork()
    if pid == 0:
        os.environ["TMPDIR"], tempfile.tempdir = temporary, None
        os.setsid()
        os.dup2(out[0], 1)
        os.dup2(err[0], 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        from run_notebook import run_one

        code = 1
        try:
            code = run_one(request["notebook"], request["flags"])
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(out[0])
    os.close(err[0])
    return pid, dict(request, out=out[1], err=err[1], temporary=temporary, begun=time.perf_counter())


def text_of(path):
    """The text of a file, which is then removed."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    os.unlink(path)
    return text


def finish(state, status, stopped):
    """The answer to a request whose process has ended."""
    seconds = time.perf_counter() - state["begun"]
    err = text_of(state["err"])
    shutil.rmtree(state["temporary"], ignore_errors=True)
    if stopped:
        err += f"\nstopped after {state['timeout']:.0f} s"
    code = -1 if stopped else os.waitstatus_to_exitcode(status)
    return dict(notebook=state["notebook"], rc=code, out=text_of(state["out"]), err=err, seconds=seconds)


def serve():
    """Answer requests until the input ends and every child is done."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    running, stopped, pending, open_input = {}, set(), b"", True
    while open_input or running:
        ready = select.select([0], [], [], 0.05)[0] if open_input else time.sleep(0.05) or []
        if ready:
            data = os.read(0, 1 << 16)
            open_input = bool(data)
            pending += data
            *lines, pending = pending.split(b"\n")
            running.update(start(json.loads(line)) for line in lines if line.strip())
        for pid, state in list(running.items()):
            if time.perf_counter() - state["begun"] > state["timeout"] and pid not in stopped:
                stopped.add(pid)
                os.killpg(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del running[pid]
                print(json.dumps(finish(state, status, pid in stopped)), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    preload()
    serve()
