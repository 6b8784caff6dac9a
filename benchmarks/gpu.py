"""One script for a borrowed GPU: every measurement that needs one, in order, within a few minutes.

    python benchmarks/gpu.py --minutes 8 --out nbs/results/gpu                   # on a GPU
    python benchmarks/gpu.py --device cpu --minutes 60 --out nbs/results/cpu     # what a CPU can say
    python benchmarks/gpu.py --tiny --minutes 1 --out /tmp/tried                 # the same paths, on tiny shapes
    python benchmarks/gpu.py --unpack DIR/results.json --out nbs/results/gpu     # what --one-file made, a JSON each

Each part runs in a process of its own, gets its share of the minutes that are left, and writes PART.json in --out as
soon as it knows something: whoever interrupts loses only the rest. With `--one-file` all parts are in
--out/results.json, written as often. A part whose library, data or device is not here is skipped by name. Where a goal
is missed the profile of a step is in the part's JSON as tables; the trace stays beside it (PART.trace.json.gz), unless
it is larger than `--trace-mib`. So there are at most a dozen files, or with `--one-file` one and a trace for each
GRPO part.
`--model` is a folder of a policy, a .gguf file, or the parts that model_parts.py made of one; without it, or where it
cannot be read, a shape of the same size with random weights is measured, and the result says so. `--encoder` is the
same for the reward of the real preset, which is fetched where there is a network.
`--commit` (or DEBIAS_NB_COMMIT) says which commit this is where the code was copied without its .git.
"""

import argparse
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # asking for a GPU leaves it alone, so that we may fork

import gpu_parts
import torch
from gpu_parts import Job, Skipped
from model_parts import PLAN, join
from part_files import Results, unpack

from debias_nb.core.devices import get_device
from debias_nb.core.errors import DebiasError
from debias_nb.core.files import read_json, write_json
from debias_nb.core.run_folder import environment

FORK = multiprocessing.get_context("fork")  # what is imported once serves all parts


@dataclass(frozen=True)
class Part:
    """One measurement."""

    work: object  # called with a `Job`; gives what is written
    weight: float  # its share of the minutes, beside the others'
    asks: str  # what it answers


GPU = {
    "grpo_135m": Part(gpu_parts.grpo_135m, 3, "a GRPO step of a 135 M policy beside stock TRL"),
    "grpo_500m": Part(gpu_parts.grpo_500m, 3, "the same of a 0.5 B shape"),
    "grpo_vllm": Part(gpu_parts.grpo_vllm, 2, "the same with vLLM colocated"),
    "scoring": Part(gpu_parts.scoring, 3, "BBQ beside lm-evaluation-harness on the same requests"),
    "reward": Part(gpu_parts.reward, 2, "the reward scorer beside three padded forwards"),
    "memory": Part(gpu_parts.memory, 3, "an 8 B shape: peak memory of a GRPO step beside the calculator"),
    "small": Part(gpu_parts.small_preset, 6, "the small preset, as far as the time reaches"),
    "real": Part(gpu_parts.real_preset, 4, "the real preset with more steps and seeds, as far as the time reaches"),
}
CPU = {
    "grpo_tiny": Part(gpu_parts.grpo_tiny, 2, "a step of the tiny preset beside stock TRL"),
    "grpo_135m": GPU["grpo_135m"],
    "scoring": GPU["scoring"],
    "reward": GPU["reward"],
    "memory": GPU["memory"],
    "growth_items": Part(gpu_parts.growth_items, 2, "scoring of 100 to 3,200 items"),
    "growth_prompts": Part(gpu_parts.growth_prompts, 2, "a GRPO step of 4 to 64 prompts"),
    "growth_group": Part(gpu_parts.growth_group, 2, "a GRPO step with 2 to 32 answers to each prompt"),
    "growth_data": Part(gpu_parts.growth_data, 4, "1,000 to 1,000,000 instances"),
    "growth_ids": Part(gpu_parts.growth_ids, 1, "which of 1,000 to 1,000,000 ids came before"),
    "profile_tiny": Part(gpu_parts.profile_tiny, 2, "where the tiny preset's step spends its time"),
}


def driver() -> str | None:
    """The version of the NVIDIA driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip().splitlines()[0] if said.returncode == 0 and said.stdout.strip() else None


def machine(device: torch.device) -> dict:
    """What a reader needs to know about where a number comes from."""
    out = environment()
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        out["gpu"] = dict(name=card.name, memory_gib=round(card.total_memory / 2**30, 1), driver=driver())
        out["gpu"] |= dict(cuda=torch.version.cuda, capability=f"{card.major}.{card.minor}")
    out["load_average"] = [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return out


def find_model(given: str | None, folder: Path) -> tuple[Path | None, str]:  # the folder, and why it is not there
    """The real policy as a folder."""
    if given is None:
        return None, "no --model was given"
    path = Path(given)
    try:
        if (path / PLAN).is_file():
            path = join(path, folder / read_json(path / PLAN, dict)["file"])
        if path.suffix == ".gguf":
            from debias_nb.models.gguf_files import gguf_to_folder

            out = folder / "policy"
            if not out.exists():
                gguf_to_folder(path, out, log=lambda line: None)
            path = out
        if not (path / "config.json").is_file():
            return None, f"{given} holds no config.json"
    except (DebiasError, OSError) as error:
        return None, str(error)
    return path, ""


def prepare_model(given, work: Path):
    """Note where the policy is, in a process of its own: reading one starts threads, which a fork does not survive."""
    path, why = find_model(given, work)
    write_json(work / "model.json", dict(path=str(path) if path else None, why=why))


def run_part(part: Part, job: Job, head: dict):
    """In its own process: measure, and write what is known."""
    os.setpgid(0, 0)  # so that whatever it starts can be stopped with it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(job.threads)
    begun = time.monotonic()
    head = head | dict(environment=machine(get_device(job.device)))

    def write(state, **more):
        took = round(time.monotonic() - begun, 1)
        job.results.put(job.name, head | dict(state=state, took_s=took, **more))

    job.save = lambda result: write("unfinished", result=result)
    try:
        write("whole", result=part.work(job))
    except Skipped as why:
        write("skipped", why=str(why))
    except Exception as error:
        write("failed", why=f"{type(error).__name__}: {error}"[:2000])
        raise


def stop(process):
    """End a part and whatever it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        process.join(5)
        if not process.is_alive():
            return


def in_its_process(part: Part, job: Job, head: dict) -> str:  # how it ended
    """Run a part until its time is up."""
    job.results.put(job.name, head | dict(state="begun"))
    process = FORK.Process(target=run_part, args=(part, job, head))
    process.start()
    try:
        process.join(job.seconds)
    finally:
        if process.is_alive():
            stop(process)
    found = job.results.get(job.name)
    if found["state"] in ("begun", "unfinished"):
        why = "the time was up" if process.exitcode in (None, -15, -9) else f"exit code {process.exitcode}"
        job.results.put(job.name, found | dict(why=why))
    return found["state"]


def told(name: str, found: dict) -> str:
    """One line about a finished part."""
    goals = found.get("result", {}).get("goals", {}).items()
    said = [f"{what} {g['found']} (goal {g['goal']}{'' if g['met'] else ', missed'})" for what, g in goals]
    return f"{name:15} {found['state']:10} {found.get('took_s', 0):6.1f} s  {', '.join(said) or found.get('why', '')}"


def parser():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--minutes", type=float, default=8, help="for all parts together")
    p.add_argument("--out", type=Path, required=True, help="folder of the results")
    p.add_argument("--work", type=Path, default=Path("runs/measured"), help="for models and runs that need not stay")
    p.add_argument("--parts", help=f"with commas, of {', '.join({**GPU, **CPU})}; default: all of the device's")
    p.add_argument("--model", help="folder of a policy, .gguf file, or folder of its parts")
    p.add_argument("--encoder", help="folder of the encoder of the real preset's reward, instead of the packaged one")
    p.add_argument("--commit", help="of this code, where there is no .git (else DEBIAS_NB_COMMIT says it)")
    p.add_argument("--one-file", action="store_true", help="one results.json for all parts")
    p.add_argument("--unpack", type=Path, help="make a JSON for each part of such a file in --out, and measure nothing")
    p.add_argument("--trace-mib", type=float, default=12, help="larger traces are not kept")
    p.add_argument("--tiny", action="store_true", help="tiny shapes: tests that the script works")
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1, help="of the CPU")
    return p


def chosen(asked: str | None, device: str) -> dict[str, Part]:
    """The parts to run, in their order."""
    cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    known = {**GPU, **CPU}
    if not asked:
        return CPU if cpu else GPU
    names = asked.split(",")
    for name in names:
        if name not in known:
            sys.exit(f"gpu: no part {name!r}; there are {', '.join(known)}")
    return {name: known[name] for name in names}


def main():
    a = parser().parse_args()
    if a.unpack:
        print("\n".join(unpack(a.unpack, a.out)))
        return 0
    if a.commit:
        os.environ["DEBIAS_NB_COMMIT"] = a.commit
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that the part at work is stopped too
    end = time.monotonic() + 60 * a.minutes
    parts = chosen(a.parts, a.device)
    a.out.mkdir(parents=True, exist_ok=True)
    command = "python benchmarks/gpu.py " + " ".join(x for x in sys.argv[1:])
    a.work.mkdir(parents=True, exist_ok=True)
    reading = FORK.Process(target=prepare_model, args=(None if a.tiny else a.model, a.work))
    reading.start()
    reading.join()
    model = read_json(a.work / "model.json", dict)
    names, failed, results = list(parts), False, Results(a.out, a.one_file)
    for i, name in enumerate(names):
        left = end - time.monotonic()
        share = parts[name].weight / sum(parts[other].weight for other in names[i:])
        job = Job(name, results, a.work, left * share, a.device, a.threads, a.tiny, model["path"], model["why"])
        job.encoder, job.trace_mib = a.encoder, a.trace_mib
        head = dict(part=name, asks=parts[name].asks, command=command, seconds_given=round(job.seconds, 1))
        if job.seconds < 2:
            results.put(name, head | dict(state="skipped", why="no time was left"))
        else:
            failed |= in_its_process(parts[name], job, head) == "failed"
        print(told(name, results.get(name)), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
