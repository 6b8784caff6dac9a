"""What gpu.py measures, a function for each part: it gets a `Job`, gives a dict, and saves what it knows on the way."""

import itertools
import shlex
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import growth
import grpo_step
import reward_throughput
import scoring_vs_lm_eval
import step_memory
import torch
from part_files import Results

from debias_nb.core.devices import get_device
from debias_nb.core.files import read_json
from debias_nb.grpo.settings import GRPOSettings
from debias_nb.run.pipeline import quiet_libraries, run_pipeline
from debias_nb.run.presets import PRESETS, RunConfig, get_preset

PROFILED_BASE = 100  # steps of the base that is profiled; what a step does hardly depends on how good it is
REAL_STEPS = 120  # of GRPO in the real preset on a GPU: three times as many as on a CPU


@dataclass
class Job:
    """What a part is told."""

    name: str  # of the part
    results: Results
    work: Path  # for what need not stay
    seconds: float  # it has; then it is stopped
    device: str
    threads: int
    tiny: bool  # tiny shapes, to test the way
    model: str | None  # folder of a real policy
    why_no_model: str = ""
    encoder: str | None = None  # folder of an encoder for the real preset's reward
    trace_mib: float = 12  # larger traces are not kept
    save: Callable = lambda result: None  # writes what is known so far

    @property
    def on(self) -> torch.device:
        """The device."""
        return get_device(self.device)

    @property
    def gpu(self) -> bool:
        """Whether there is a GPU."""
        return self.on.type == "cuda"


class Skipped(Exception):
    """The part cannot be measured here."""


def require(package: str):
    """Skip without this package."""
    if find_spec(package) is None:
        raise Skipped(f"{package} is not installed")


def real_settings(job: Job) -> GRPOSettings:
    """A step as in a real run."""
    if job.tiny:
        return GRPOSettings(steps=2, prompts_per_step=2, num_generations=4, max_completion_length=8)
    if job.gpu:
        return GRPOSettings(steps=20, prompts_per_step=16, num_generations=8, max_completion_length=96)
    return replace(PRESETS["real"].grpo, steps=6, save_every=0)


def compared(job: Job, material, settings, ways) -> dict:
    """The ways side by side, and a profile where a goal is missed."""
    quiet_libraries()
    begun = time.monotonic()
    found = grpo_step.compare(material, settings, job.on, ways, seconds=0.75 * job.seconds, save=job.save)
    left = job.seconds - (time.monotonic() - begun)
    missed = not all(goal["met"] for goal in found["goals"].values())
    if missed and left > 4 * found["ways"][ways[-1]]["wall"]["whole"]:
        job.save(found)
        found["profile"] = profiled(job, material, settings, ways[-1])
    return found


def profiled(job: Job, material, settings, way: str) -> dict:
    """The tables of a step's profile; its trace stays beside them where it is small."""
    trace = job.results.folder / f"{job.name}.trace.json.gz"
    found = grpo_step.profile(material, settings, job.on, trace, way)
    mib = round(trace.stat().st_size / 2**20, 1)
    if mib > job.trace_mib:
        trace.unlink()
        return found | dict(trace=f"not kept: {mib} MiB")
    return found | dict(trace=f"{trace.name}, {mib} MiB")


def policy_of_135m(job: Job):
    """The real policy, or its shape."""
    reward = "deberta-v3-base" if job.gpu else "minilm-l6"
    if job.tiny:
        return grpo_step.from_shapes(grpo_step.SMALL_POLICY, grpo_step.SMALL_REWARD, job.on)
    if job.model:
        return grpo_step.from_model(Path(job.model), reward, job.on)
    found = grpo_step.from_shapes("smollm2-135m", reward, job.on)
    return replace(found, what=f"{found.what} (not the real one: {job.why_no_model})")


def grpo_135m(job: Job) -> dict:
    """A GRPO step of a 135 M policy."""
    ways = grpo_step.COMPARED if job.gpu else ("stock", "ours")
    return compared(job, policy_of_135m(job), real_settings(job), ways)


def grpo_500m(job: Job) -> dict:
    """A GRPO step of a 0.5 B shape."""
    shapes = (grpo_step.SMALL_POLICY, grpo_step.SMALL_REWARD) if job.tiny else ("qwen2.5-0.5b", "deberta-v3-base")
    return compared(job, grpo_step.from_shapes(*shapes, job.on), real_settings(job), ("stock", "ours"))


def grpo_vllm(job: Job) -> dict:
    """Both trainers with vLLM sharing the GPU."""
    require("vllm")
    if not job.gpu:
        raise Skipped("vLLM colocated needs a GPU")
    if not job.model:
        raise Skipped(f"vLLM reads a policy from a folder ({job.why_no_model})")
    settings = replace(real_settings(job), vllm="colocate")
    return compared(job, policy_of_135m(job), settings, ("stock", "as set"))


def grpo_tiny(job: Job) -> dict:
    """A step of the tiny preset."""
    settings = replace(PRESETS["tiny"].grpo, steps=4 if job.tiny else 16)
    if job.tiny:
        shapes = (grpo_step.SMALL_POLICY, grpo_step.SMALL_REWARD)
        return compared(job, grpo_step.from_shapes(*shapes, job.on), real_settings(job), grpo_step.COMPARED)
    return compared(job, grpo_step.small_world(job.work / "tiny", job.on), settings, grpo_step.COMPARED)


def scoring(job: Job) -> dict:
    """BBQ and its like beside lm-evaluation-harness, in turn in one process."""
    quiet_libraries()
    model, tokenizer = policy_of_135m(job).policy()
    items = 16 if job.tiny else (960 if job.gpu else 160)
    theirs = find_spec("lm_eval") is not None
    out = dict(what=policy_of_135m(job).what, lm_eval="" if theirs else "lm_eval is not installed", tasks={}, goals={})
    tasks = ("bbq", "bbq_chat", "bbq_chat_answers")
    end = time.monotonic() + 0.9 * job.seconds
    for i, task in enumerate(tasks):
        seconds = (end - time.monotonic()) / (len(tasks) - i)
        found = scoring_vs_lm_eval.in_turn(model, tokenizer, task, items, seconds, theirs=theirs)
        out["tasks"][task] = found
        if "goal" in found:
            ratio = found["ratio" if job.gpu else "ratio_cpu"]
            out["goals"][task] = dict(goal=found["goal"], found=ratio, met=ratio >= found["goal"])
        job.save(out)
    return out


def reward(job: Job) -> dict:
    """The reward scorer beside three padded forwards."""
    quiet_libraries()
    shapes = ("deberta-v3-base", "modernbert-base") if job.gpu else ("deberta-v3-small", "modernbert-base", "minilm-l6")
    if job.tiny:
        shapes = (grpo_step.SMALL_REWARD,)
    out = dict(shapes={})
    end = time.monotonic() + 0.9 * job.seconds
    for i, shape in enumerate(shapes):
        seconds = (end - time.monotonic()) / (len(shapes) - i)
        name = shape if isinstance(shape, str) else "a tiny shape"
        rounds = 1 if job.tiny else (10 if job.gpu else 3)
        out["shapes"][name] = reward_throughput.of_shape(shape, job.on, seconds, rounds=rounds)
        job.save(out)
    return out


def memory(job: Job) -> dict:
    """The peak of real steps beside the calculator."""
    quiet_libraries()
    s = real_settings(job)
    small = (grpo_step.SMALL_POLICY, grpo_step.SMALL_REWARD)
    if job.tiny:
        cases = {"a tiny shape": (*small, s, 16)}
    elif job.gpu:
        large = replace(s, prompts_per_step=8, gradient_checkpointing=True, gradient_accumulation=2)
        cases = {
            "8 B, bf16": ("llama-3.1-8b", "deberta-v3-base", large, 16),
            "8 B, 4 bits": ("llama-3.1-8b", "deberta-v3-base", large, 4),
            "0.5 B, bf16": ("qwen2.5-0.5b", "deberta-v3-base", s, 16),
        }
    else:
        cases = {"135 M, fp32": ("smollm2-135m", "minilm-l6", s, 32)}
    out: dict = dict(cases={}, goals={})
    for name, (policy, reward_shape, settings, bits) in cases.items():
        if bits == 4 and find_spec("bitsandbytes") is None:
            out["cases"][name] = dict(skipped="bitsandbytes is not installed")
            continue
        found = step_memory.measure(policy, reward_shape, settings, job.on, bits)
        out["cases"][name], out["goals"][name] = found, found["goals"]["memory"]
        job.save(out)
    return out


def preset(job: Job, configs: Iterable[RunConfig], more: tuple = ()) -> dict:
    """Whole runs, one after the other while time is left; what is whole is kept, and a second call goes on."""
    end, took, out = time.monotonic() + 0.95 * job.seconds, 0.0, dict(runs={})
    for config in configs:
        if took > end - time.monotonic():
            out["stopped"] = f"no time was left for seed {config.seed}"
            break
        begun, folder = time.monotonic(), job.work / f"{job.name}-{config.grpo.steps}-{config.seed}"
        command = shlex.join(["debias-nb", "run", "--preset", config.preset, "--seed", str(config.seed), *more])

        def log(line, config=config, folder=folder):
            out["runs"][f"seed {config.seed}"] = found_in(folder)
            job.save(out)

        run_pipeline(config, folder, command, log, job.device)
        log("")
        took = time.monotonic() - begun
    return out


def found_in(folder: Path) -> dict:
    """All numbers of a run so far: its metrics where it is whole, else those of each model that is measured."""
    files = sorted(folder.rglob("stage.json"), key=lambda file: file.stat().st_mtime) if folder.exists() else []
    infos = [read_json(file, dict) for file in files if ".partial-" not in str(file)]
    stages = {info["stage"]: {k: info[k] for k in ("seconds", "peak_rss_mb") if k in info} for info in infos}
    out: dict = dict(stages=stages)
    if (log := folder / "policy/grpo/training_log.json").is_file():
        out["training_log"] = read_json(log)
    if (whole := folder / "metrics.json").is_file():
        return out | dict(metrics=read_json(whole, dict))
    analysed = [stage for stage in stages if (folder / stage / "metrics.json").is_file()]
    return out | dict(analysed={stage: read_json(folder / stage / "metrics.json", dict) for stage in analysed})


TINY_RUN = ("policy.steps=20", "reward.examples=300", "grpo.steps=1", "regift.n_traces=64")  # of the smoke preset


def tiny_run(model: str | None = None) -> RunConfig:
    """The smoke preset, smaller still."""
    c = get_preset("smoke", 0, model)
    for change in TINY_RUN:
        (part, name), value = change.split("=")[0].split("."), int(change.split("=")[1])
        c = replace(c, **{part: replace(getattr(c, part), **{name: value})})
    return c


def small_preset(job: Job) -> dict:
    """The small preset."""
    if job.tiny:
        return preset(job, [tiny_run()], ("--set", *TINY_RUN))
    return preset(job, [get_preset("small")])


def real_preset(job: Job) -> dict:
    """The real preset with more steps, and with further seeds while time is left."""
    if job.tiny:
        folder = job.work / "tiny_policy"
        for made in policy_of_135m(job).policy():
            made.save_pretrained(folder)
        return preset(job, [tiny_run(str(folder))], ("--policy", str(folder), "--set", *TINY_RUN))
    if not job.model:
        raise Skipped(f"it needs a real policy ({job.why_no_model})")
    more = ["--policy", job.model, *(["--encoder", job.encoder] if job.encoder else [])]
    more += ["--set", f"grpo.steps={REAL_STEPS}"]
    more += [f"text.topic_encoder={job.encoder}"] if job.encoder else []
    return preset(job, (real_run(job, seed) for seed in itertools.count()), tuple(more))


def real_run(job: Job, seed: int) -> RunConfig:
    """The real preset, on the models that were brought."""
    c = get_preset("real", seed, job.model, job.encoder)
    text = replace(c.text, topic_encoder=job.encoder) if job.encoder else c.text
    return replace(c, text=text, grpo=replace(c.grpo, steps=REAL_STEPS))


def grown(job: Job, sizes, measure, what: str, unit: str) -> dict:
    """One measurement at growing sizes, as long as the time lasts."""
    quiet_libraries()
    end, out = time.monotonic() + 0.95 * job.seconds, dict(what=what, unit=unit, rows=[])
    for size in sizes:
        begun = time.monotonic()
        out["rows"].append(measure(size))
        job.save(out)
        left, took = end - time.monotonic(), time.monotonic() - begun
        if size != sizes[-1] and left < 2.5 * took:  # the next one is at least twice as long
            out["stopped"] = f"no time was left after {size}"
            break
    return out


def growth_items(job: Job) -> dict:
    """Scoring of more and more items."""
    sizes = (8, 16) if job.tiny else (100, 200, 400, 800, 1600, 3200)
    score = growth.scoring(job.on)
    return grown(job, sizes, score, "items scored by likelihood, a policy of a tiny shape", "items")


def growth_prompts(job: Job) -> dict:
    """GRPO steps of more and more prompts."""
    sizes = (2, 4) if job.tiny else (4, 8, 16, 32, 64)
    return grown(job, sizes, growth.steps(job.on, job.tiny, "prompts"), growth.WHAT_STEP, "prompts a step")


def growth_group(job: Job) -> dict:
    """GRPO steps with more and more answers to each prompt."""
    sizes = (2, 4) if job.tiny else (2, 4, 8, 16, 32)
    return grown(job, sizes, growth.steps(job.on, job.tiny, "answers"), growth.WHAT_STEP, "answers to each prompt")


def growth_data(job: Job) -> dict:
    """More and more instances written and read."""
    sizes = (50, 100) if job.tiny else (1_000, 10_000, 100_000, 1_000_000)
    return grown(job, sizes, growth.data(job.work), growth.WHAT_DATA, "instances")


def growth_ids(job: Job) -> dict:
    """What reading has to remember of more and more instances."""
    sizes = (50, 100) if job.tiny else (1_000, 10_000, 100_000, 1_000_000)
    return grown(job, sizes, growth.remembered, growth.WHAT_IDS, "ids")


def profile_tiny(job: Job) -> dict:
    """The profile of a step of the tiny preset."""
    quiet_libraries()
    if job.tiny:
        material = grpo_step.from_shapes(grpo_step.SMALL_POLICY, grpo_step.SMALL_REWARD, job.on)
        settings = real_settings(job)
    else:
        material = grpo_step.small_world(job.work / "profiled", job.on, PROFILED_BASE)
        settings = PRESETS["tiny"].grpo
    return dict(what=material.what) | profiled(job, material, settings, "ours")
