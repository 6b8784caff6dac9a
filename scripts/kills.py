#!/usr/bin/env python3
"""Kill each long command at random moments, start it again, and see whether the result is that of an undisturbed run.

    python scripts/kills.py --out nbs/results/kills.json

`run` is killed 20 times, the others 10 times each (SIGKILL to the whole process group, at a moment drawn evenly over
the time that the undisturbed command took). After each kill the same command is started again; a folder that becomes
whole is compared with the undisturbed one, file by file, and a new folder is begun. Commands are forked from one
process that has imported the libraries already, so that the kills fall into the work and not into the imports.
Times, memory and the names of folders are left out of the comparison (`VOLATILE`); pages and pictures are not compared.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from debias_nb.core.files import read_json, read_jsonl, write_json
from debias_nb.core.run_folder import environment
from debias_nb.core.seeds import stable_hash
from debias_nb.models.scripted_server import ScriptedServer
from debias_nb.synthesis.llm_texts import SETTINGS
from debias_nb.synthesis.small_grammar import load_grammar, realise
from debias_nb.synthesis.taxonomy_file import load_taxonomy

VOLATILE = re.compile(
    r"second|_time|^time/|runtime|rss|created|per_sec|^environment$|^commit$|^date|^resumed|(^|_)eta$"
)
COMPARED = (".json", ".jsonl", ".safetensors", ".yaml", ".md", ".parquet")
LEFT_OUT = (".lock", "journal.jsonl", "cache.jsonl", "answers.jsonl", "environment.json")  # may lie in any order


NAMES = ("run", "synth", "synth-llm", "train-reward", "grpo", "regift", "baselines", "evaluate")


def fork_command(argv: list[str], log: Path) -> int:
    """Start `debias-nb argv` in a forked process of a group of its own: its id."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.setsid()
        with open(log, "ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        from debias_nb.run.commands import main

        code = main(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def wait_for(child: int, seconds: float) -> int | None:
    """The exit code, or None where the process still ran and was killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def steady(value):
    """A value without what changes from run to run."""
    if isinstance(value, dict):
        return {k: steady(v) for k, v in value.items() if not VOLATILE.search(k)}
    return [steady(v) for v in value] if isinstance(value, list) else value


def contents(folder: Path) -> dict[str, str]:
    """{file: hash of what stands in it}, of the files that are compared."""
    out = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if not file.is_file() or file.suffix not in COMPARED or file.name in LEFT_OUT:
            continue
        if file.suffix == ".safetensors" or file.suffix == ".parquet":
            out[name] = stable_hash(file.read_bytes().hex())
            continue
        text = file.read_text(encoding="utf-8").replace(str(folder), "OUT")
        text = re.sub(r"^- resumed at: .*\n", "", text, flags=re.M)  # of a card: what a killed one says besides
        if file.suffix == ".json":
            text = steady(json.loads(text))
        elif file.suffix == ".jsonl":
            text = [steady(json.loads(line)) for line in text.splitlines()]
        out[name] = stable_hash(text)
    return out


def differing(a: dict, b: dict) -> list[str]:
    """The files that differ, or that one of the two lacks."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


def grammar_answers():
    """A scripted endpoint's answers: what the small grammar says about the meaning that is asked for."""
    taxonomy, grammar = load_taxonomy(), load_grammar("small_world")

    def line(text, name):
        return re.search(rf"^{name}: (.*?)[.;(]", text, re.M)[1].strip()

    def answer(body, i):
        text = body["messages"][1]["content"]
        group = taxonomy.find(line(text, "The group"))[0][0]
        scenario = next(name for name, setting in SETTINGS.items() if setting == line(text, "The occasion"))
        said = line(text, "The stereotype")
        dimension = next(d for d in group.dimensions if taxonomy.dimensions[d].neg_adj[0] == said)
        other = taxonomy.counterparts(group, dimension)[0]
        x = realise(grammar, taxonomy, group, other, dimension, scenario, seed=text)
        texts = {r.grade: r.text for r in x["responses"] if "disfluent" not in r.grade}
        time.sleep(0.02)
        return json.dumps({"prompt": x["prompt"], **texts})

    return answer


def commands(material: Path, url: str) -> dict:
    """{name: (folder -> command line, what is laid into the folder first)}; `material` is a smoke run."""
    policy, reward, data = material / "policy/base", material / "reward", material / "dataset"
    rows = read_jsonl(data / "train.jsonl")[:24]
    prompts = material.parent / "prompts.jsonl"
    prompts.write_text("".join(json.dumps(dict(prompt=row["prompt"])) + "\n" for row in rows))
    traces = material.parent / "traces.jsonl"
    lines = (material / "policy/regift/traces.jsonl").read_text().splitlines()[:48]
    traces.write_text("\n".join(lines) + "\n")
    grpo = "steps=8 save_every=2 prompts_per_step=2 num_generations=4 max_completion_length=12 judge_every=0"
    cpu = "--device cpu"
    nothing = lambda folder: None
    return {
        "run": (lambda o: f"run --preset smoke --out {o}", nothing),
        "synth": (lambda o: f"synth --n 150 --n-eval 12 --out {o}", nothing),
        "synth-llm": (
            lambda o: f"synth-llm --model grammar --base-url {url} --n 40 --n-eval 6 --concurrency 4 --out {o}",
            nothing,
        ),
        "train-reward": (
            lambda o: (
                f"train-reward --data {data} --out {o} --examples 600 --checkpoint-every 4 {cpu} "
                "--set hidden_size=32 layers=1"
            ),
            nothing,
        ),
        "grpo": (
            lambda o: (
                f"grpo --policy {policy} --prompts {prompts} --reward reward:{reward} --out {o} {cpu} --set {grpo}"
            ),
            nothing,
        ),
        "regift": (
            lambda o: f"regift --policy {policy} --traces {traces} --preset released --out {o} --bbq 4 {cpu}",
            nothing,
        ),
        "baselines": (
            lambda o: (
                f"baselines --run {o} --only sft_neutral dpo --samples 1 --set completions=96 max_completion_length=12"
            ),
            lambda folder: shutil.copytree(material, folder, dirs_exist_ok=True),
        ),
        "evaluate": (
            lambda o: f"evaluate --model {policy} --benchmarks ccbbq,crows_pairs,bbq --limit 40 --out {o}",
            nothing,
        ),
    }


def undisturbed(name, make, prepare, place: Path) -> tuple[Path, float]:
    """The folder of the command left alone, and its seconds."""
    folder, log = place / name / "undisturbed", place / name / "undisturbed.log"
    folder.parent.mkdir(parents=True, exist_ok=True)
    prepare(folder)
    start = time.monotonic()
    code = wait_for(fork_command(make(folder).split(), log), 3600)
    if code:
        raise SystemExit(f"{name} fails undisturbed (exit code {code}): {log.read_text()[-600:]}")
    return folder, time.monotonic() - start


def disturbed(name, make, prepare, place: Path, kills: int, seed: int) -> dict:
    """Kill a command again and again, and compare what it comes to."""
    reference, seconds = undisturbed(name, make, prepare, place)
    wanted, draw, moments, compared = contents(reference), random.Random(f"{seed} {name}"), [], []
    folder = None
    while len(moments) < kills or folder is not None:
        if folder is None:
            folder = place / name / f"killed-{len(compared)}"
            prepare(folder)
            before = len(moments)
        limit = draw.uniform(0, seconds) if len(moments) < kills else 3600
        code = wait_for(fork_command(make(folder).split(), place / name / "killed.log"), limit)
        if code is None:
            moments.append(round(limit, 2))
            continue
        found = differing(wanted, contents(folder)) if code == 0 else []
        compared.append(dict(kills=len(moments) - before, exit_code=code, differing=found))
        print(f"[{name}] {compared[-1]}", flush=True)
        folder = None
    said = (place / name / "killed.log").read_text(errors="replace")
    equal = all(c["exit_code"] == 0 and not c["differing"] for c in compared)
    return dict(
        command=make(Path("OUT")).replace(str(place), "PLACE"),
        seconds_undisturbed=round(seconds, 1),
        kills=len(moments),
        moments=moments,
        files_compared=len(wanted),
        folders=compared,
        tracebacks=said.count("Traceback (most recent call last)"),
        equal=equal,
    )


def warm_up():
    """Import what the commands import."""
    import torch

    import debias_nb.grpo.training
    import debias_nb.run.compare_baselines
    import debias_nb.run.pipeline
    import debias_nb.run.regift_commands  # noqa: F401

    torch.set_num_threads(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="nbs/results/kills.json")
    parser.add_argument("--only", nargs="*", choices=NAMES, help="names of commands; all if left out")
    parser.add_argument("--kills", type=int, default=10, help="of each command; run gets twice as many")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warm_up()
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    found = read_json(args.out) if Path(args.out).is_file() else dict(commands={})
    with ScriptedServer(grammar_answers()) as server:
        material = place / "run/undisturbed"
        undisturbed("run", lambda o: f"run --preset smoke --out {o}", lambda folder: None, place)
        shutil.move(material, place / "material")
        for name, (make, prepare) in commands(place / "material", server.url).items():
            if args.only and name not in args.only:
                continue
            kills = 2 * args.kills if name == "run" else args.kills
            found["commands"][name] = disturbed(name, make, prepare, place, kills, args.seed)
            found |= dict(seed=args.seed, environment=environment(args.seed))
            write_json(args.out, found)
    shutil.rmtree(place, ignore_errors=True)
    for name, f in found["commands"].items():
        print(f"{name:14}{f['kills']:3} kills, {len(f['folders'])} folders, equal: {f['equal']}")


if __name__ == "__main__":
    main()
