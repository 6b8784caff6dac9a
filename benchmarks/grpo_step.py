"""Where a GRPO step's time goes, beside stock TRL with three separate reward functions at equal settings.

    python benchmarks/grpo_step.py --run runs/demo --steps 12          # a finished run's base and reward
    python benchmarks/grpo_step.py --model models/smollm2 --steps 4    # a real policy; the reward has random weights
    python benchmarks/grpo_step.py --shape qwen2.5-0.5b --steps 6      # random weights of a published shape

Four ways, step by step in turn so that a busy machine is busy for all: `stock` (TRL's GRPOTrainer, each reward head a
model and a forward of its own; its texts are sorted by length and packed as ours are, which is more than most would
write), `shared` (ours, one reward forward), `fast` (with fast_generation too) and `ours` (with share_prompts too: the
default). All take the same prompts in the same order and begin each step at the same seed. Each step's wall clock and
CPU seconds, split into generation, reward, reference forward, policy forward and backward; the rest of `whole` is the
optimiser and the trainer. The median over steps counts; ratios are of medians of CPU seconds on a CPU and of wall clock
on a GPU. Writes benchmarks/grpo_step.json (other devices and models already in it stay).
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from made_models import made_policy, made_reward
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import GRPOTrainer

from debias_nb.core.devices import get_device
from debias_nb.core.files import read_json, write_json
from debias_nb.core.run_folder import environment
from debias_nb.core.seeds import set_seed
from debias_nb.grpo.guarded_rewards import checked
from debias_nb.grpo.settings import GRPOSettings
from debias_nb.grpo.shapes import SHAPES
from debias_nb.grpo.trainer import MultiRewardTrainer
from debias_nb.grpo.training import grpo_config, prompt_rows
from debias_nb.models.loading import load_policy, lora_config
from debias_nb.models.prompts import with_template
from debias_nb.models.small_policy import PolicyConfig, train_base
from debias_nb.reward.model import RewardModel
from debias_nb.reward.settings import RewardConfig
from debias_nb.reward.training import train_reward
from debias_nb.reward.trl_rewards import reward_functions
from debias_nb.run.pipeline import quiet_libraries
from debias_nb.synthesis.dataset_files import load_dataset
from debias_nb.synthesis.opinions import planted_rates
from debias_nb.synthesis.small_world import world_texts
from debias_nb.synthesis.splits import SynthesisConfig, small_taxonomy, synthesise
from debias_nb.synthesis.taxonomy_file import load_taxonomy

INSIDE = ("generation", "reward", "reference", "forward", "backward")
PARTS = ("whole", *INSIDE)
MARK = "part of a step: "  # in a profile
GOAL_STEP, GOAL_REWARD = 1.3, 0.05  # times stock TRL; the reward's share of a step
SMALL_POLICY = dict(
    model_type="llama",
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=128,
    vocab_size=2048,
    tie_word_embeddings=True,
    max_position_embeddings=512,
)
SMALL_REWARD = dict(SHAPES["minilm-l6"], hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=2048)


@dataclass
class Material:
    """What is trained, and against what."""

    what: str  # in words
    policy: Callable  # () -> model and tokenizer, afresh each time
    reward: Callable  # () -> `RewardModel`, afresh each time
    prompts: list


def world_prompts(count: int = 400) -> list[str]:
    """Prompts of the small world."""
    data = synthesise(SynthesisConfig(n=count, n_eval=40))
    return list(dict.fromkeys(x.prompt for x in data["train"]))


def from_run(run: Path, device) -> Material:
    """The base and reward of a finished run."""
    prompts = list(dict.fromkeys(x.prompt for x in load_dataset(run / "dataset")["train"]))
    return Material(
        "the base and reward of a finished run",
        lambda: load_policy(run / "policy/base", device=str(device)),
        lambda: RewardModel.from_pretrained(run / "reward", device=str(device)),
        prompts,
    )


def from_shapes(policy, reward, device, prompts=None) -> Material:
    """Random weights of two shapes."""
    prompts = prompts or world_prompts()
    named = [shape if isinstance(shape, str) else "a tiny shape" for shape in (policy, reward)]
    return Material(
        f"random weights of the shape of {named[0]}, whose answers end only at the longest length, "
        f"and a reward of the shape of {named[1]}",
        lambda: made_policy(policy, prompts, device),
        lambda: made_reward(reward, prompts, device),
        prompts,
    )


def from_model(folder: Path, reward, device) -> Material:
    """A real policy, and a reward of random weights."""
    prompts = world_prompts()
    return Material(
        f"the policy {folder.name} and a reward of the shape of {reward} with random weights",
        lambda: load_policy(folder, device=str(device)),
        lambda: made_reward(reward, prompts, device),
        prompts,
    )


def small_world(folder: Path, device, steps: int = 400) -> Material:
    """The tiny preset's policy, trained for so many steps here, and a reward."""
    c = SynthesisConfig(n=400, n_eval=40)
    world, data = small_taxonomy(load_taxonomy(), c), synthesise(c)
    texts = world_texts(world, planted_rates(world), kinds=("opinions", "facts"))
    train_base(islice(texts, steps * 48), PolicyConfig(steps=steps), folder / "base")
    train_reward(data, RewardConfig(examples=2000), folder / "reward", device=str(device), log=lambda line: None)
    return Material(
        f"tiny preset, base trained for {steps} steps here",
        lambda: load_policy(folder / "base", device=str(device)),
        lambda: RewardModel.from_pretrained(folder / "reward", device=str(device)),
        list(dict.fromkeys(x.prompt for x in data["train"])),
    )


def now() -> np.ndarray:
    """Wall clock and CPU seconds, with nothing left to do on a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return np.array([time.perf_counter(), time.process_time()])


class Timed:
    """A trainer whose parts are timed."""

    inside: dict | None = None

    def clock(self, part, work, *arguments, **named):
        begun = now()
        with torch.profiler.record_function(f"{MARK}{part}"):
            out = work(*arguments, **named)
        self.inside[part] += now() - begun
        return out

    def _generate_single_turn(self, *arguments, **named):
        return self.clock("generation", super()._generate_single_turn, *arguments, **named)

    def _calculate_rewards(self, *arguments, **named):
        return self.clock("reward", super()._calculate_rewards, *arguments, **named)

    def _get_per_token_logps_and_entropies(self, *arguments, **named):
        part = "forward" if torch.is_grad_enabled() else "reference"
        return self.clock(part, super()._get_per_token_logps_and_entropies, *arguments, **named)

    def training_step(self, *arguments, **named):
        if self.inside is None:
            self._time_backward()
        return super().training_step(*arguments, **named)

    def _time_backward(self):
        backward, self.inside = self.accelerator.backward, defaultdict(lambda: np.zeros(2))
        self.accelerator.backward = lambda *arguments, **named: self.clock("backward", backward, *arguments, **named)


class Stock(Timed, GRPOTrainer):
    """TRL's own trainer."""


class Ours(Timed, MultiRewardTrainer):
    """The package's trainer."""


WAYS = {  # the trainer, and how its settings differ
    "stock": (Stock, {}),
    "shared": (Ours, dict(fast_generation=False, share_prompts=False)),
    "fast": (Ours, dict(fast_generation=True, share_prompts=False)),
    "ours": (Ours, dict(fast_generation=True, share_prompts=True)),
    "as set": (Ours, {}),
}
COMPARED = ("stock", "shared", "fast", "ours")


def separate(make: Callable) -> list:
    """Three reward functions, each with a model and a forward of its own."""
    functions = []
    for i in range(3):
        model = make()
        model.cache_size = 0
        functions.append(reward_functions(model)[i])
    return functions


def make_trainer(way: str, material: Material, settings: GRPOSettings, folder: Path, device):
    """A trainer that goes one of the ways."""
    trainer_class, changes = WAYS[way]
    s = replace(settings, **changes)
    set_seed(s.seed)
    model, tokenizer = material.policy()
    rows = prompt_rows(tokenizer, material.prompts, s.prompts_per_step * (s.steps + 1), s.template_arguments)
    functions = separate(material.reward) if way == "stock" else reward_functions(material.reward())
    trainer = trainer_class(
        model=model,
        args=grpo_config(s, folder / way, device),
        processing_class=with_template(tokenizer),
        train_dataset=rows,
        reward_funcs=[checked(function, s.saturation) for function in functions],
        peft_config=lora_config(s.lora_r, s.lora_alpha) if s.lora_r else None,
        **({} if way == "stock" else dict(settings=s)),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Turns:
    """Trainers in one process take a step each in turn, until the time is up."""

    def __init__(self, names: list[str], deadline: float | None = None):  # in seconds of `time.monotonic`
        self.names, self.deadline, self.at, self.failed = names, deadline, 0, None
        self.turn, self.last_round, self.begun = threading.Condition(), False, []

    def begin(self, name):
        """Wait until it is this one's turn."""
        with self.turn:
            self.turn.wait_for(lambda: self.failed or self.names[self.at % len(self.names)] == name)
            if self.failed:
                raise RuntimeError("another trainer failed") from self.failed
            if name == self.names[0]:
                self._new_round()

    def _new_round(self):
        self.begun.append(time.monotonic())
        rounds = [later - earlier for earlier, later in zip(self.begun, self.begun[1:])]
        if self.deadline and rounds:
            self.last_round = self.begun[-1] + 2 * rounds[-1] > self.deadline

    def end(self):
        """Let the next one go."""
        with self.turn:
            self.at += 1
            self.turn.notify_all()

    def fail(self, error):
        """Let all go, and stop them."""
        with self.turn:
            self.failed = self.failed or error
            self.turn.notify_all()


class OneStep(TrainerCallback):
    """Waits for its turn before each step, and notes what the step took."""

    def __init__(self, name, trainer, turns, after_step=None):
        self.name, self.trainer, self.turns, self.after_step, self.rows = name, trainer, turns, after_step, []

    def on_step_begin(self, args, state, control, **named):
        self.turns.begin(self.name)
        set_seed(1000 + state.global_step)
        if self.trainer.inside is not None:
            self.trainer.inside.clear()
        self.begun = now()

    def on_step_end(self, args, state, control, **named):
        self.rows.append({part: seconds.tolist() for part, seconds in self.trainer.inside.items()})
        self.rows[-1]["whole"] = (now() - self.begun).tolist()
        if self.after_step:
            self.after_step(self.name, self.rows)
        control.should_training_stop |= self.turns.last_round
        self.turns.end()


def in_turn(trainers: dict, turns: Turns, after_step=None) -> dict:  # name -> a row of seconds for each step
    """Train all of them, a step each in turn."""
    steps = {name: OneStep(name, trainer, turns, after_step) for name, trainer in trainers.items()}

    def train(name):
        trainers[name].add_callback(steps[name])
        try:
            trainers[name].train()
        except BaseException as error:
            turns.fail(error)

    threads = [threading.Thread(target=train, args=(name,), daemon=True) for name in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if turns.failed:
        raise turns.failed
    return {name: step.rows for name, step in steps.items()}


def summary(rows: dict, warmup: int, key: str) -> dict:
    """Medians of each way, and how they compare by the clock `key`."""
    column, ways = dict(wall=0, cpu=1)[key], {}

    def median(kept, part, j):
        return round(statistics.median(row.get(part, [0, 0])[j] for row in kept), 5)

    for name, all_rows in rows.items():
        kept = all_rows[warmup:] or all_rows
        ways[name] = {clock: {part: median(kept, part, j) for part in PARTS} for j, clock in enumerate(("wall", "cpu"))}
        ways[name].update(steps=len(kept), whole_of_each=[round(row["whole"][column], 4) for row in kept])
    first = next(iter(ways.values()))[key]
    return dict(
        measured=f"{key} seconds per step, median",
        ways=ways,
        times_faster_than_stock={name: round(first["whole"] / way[key]["whole"], 3) for name, way in ways.items()},
        reward_share_of_step={name: round(way[key]["reward"] / way[key]["whole"], 4) for name, way in ways.items()},
        generation_times_faster={
            name: round(first["generation"] / way[key]["generation"], 3) for name, way in ways.items()
        },
    )


def compare(
    material: Material,
    settings: GRPOSettings,  # its steps are the measured ones
    device,
    ways: tuple = COMPARED,  # stock first
    warmup: int = 1,  # steps that do not count
    seconds: float | None = None,  # no new round begins when it would end after so many
    save: Callable | None = None,  # told what is known after each round
) -> dict:
    """The ways side by side, in one process."""
    deadline = None if seconds is None else time.monotonic() + seconds
    key = "cpu" if device.type == "cpu" else "wall"
    settings = replace(settings, steps=settings.steps + warmup)
    known: dict = {}

    def after_step(name, rows):
        known[name] = rows
        if save and name == ways[-1]:
            save(summary(known, warmup, key))

    with tempfile.TemporaryDirectory() as folder:
        trainers = {way: make_trainer(way, material, settings, Path(folder), device) for way in ways}
        turns = Turns(list(ways), deadline)
        rows = in_turn(trainers, turns, after_step)
    out = dict(what=material.what, device=str(device), threads=torch.get_num_threads()) | summary(rows, warmup, key)
    out["tokens_per_answer"] = {name: tokens_per_answer(trainer) for name, trainer in trainers.items()}
    last = ways[-1]
    out["goals"] = dict(
        step=dict(goal=GOAL_STEP, found=(faster := out["times_faster_than_stock"][last]), met=faster >= GOAL_STEP),
        reward=dict(goal=GOAL_REWARD, found=(part := out["reward_share_of_step"][last]), met=part <= GOAL_REWARD),
    )
    return out | dict(settings=asdict(settings))


def tokens_per_answer(trainer) -> float:
    """Mean over the steps."""
    found = [row["completions/mean_length"] for row in trainer.state.log_history if "completions/mean_length" in row]
    return round(statistics.mean(found), 2)


class Profiled(TrainerCallback):
    """Records the last step."""

    def __init__(self, profiler, last):
        self.profiler, self.last = profiler, last

    def on_step_begin(self, args, state, control, **named):
        if state.global_step == self.last - 1:
            self.profiler.start()

    def on_step_end(self, args, state, control, **named):
        if state.global_step == self.last:
            self.profiler.stop()


def profile(
    material: Material,
    settings: GRPOSettings,
    device,
    trace: Path,  # receives the trace, for chrome://tracing or Perfetto; .json.gz
    way: str = "ours",
) -> dict:  # wall seconds of each part, and the operations that take longest, in the step and in its reward
    """The second step of one way under torch's profiler, which itself takes time."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    settings = replace(settings, steps=2)
    profiler = torch.profiler.profile(activities=kinds)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(way, material, settings, Path(folder), device)
        trainer.add_callback(Profiled(profiler, 2))
        trainer.train()
    profiler.export_chrome_trace(str(trace))
    clock = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
    events = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CPU]
    parts = {part: [e.time_range for e in events if e.name == MARK + part] for part in INSIDE}
    seconds = {part: round(sum(r.elapsed_us() for r in ranges) / 1e6, 4) for part, ranges in parts.items()}
    inside = [e for e in events if any(r.start <= e.time_range.start < r.end for r in parts["reward"])]
    return dict(
        way=way,
        clock=clock,
        wall_seconds=seconds,
        slowest=longest(events, clock),
        slowest_of_reward=longest(inside, clock),
    )


def longest(events, clock: str, most: int = 12) -> list[dict]:  # name, calls, seconds of their own
    """The operations that take longest."""
    calls, seconds = Counter(), Counter()
    for event in events:
        calls[event.name] += 1
        seconds[event.name] += getattr(event, clock) / 1e6
    return [dict(name=name, calls=calls[name], seconds=round(s, 4)) for name, s in seconds.most_common(most)]


def lines(found: dict) -> list[str]:
    """The table in words."""
    key = found["measured"].split()[0]
    return [
        f"{name:8}"
        + "  ".join(f"{part} {way[key][part]:.3f}" for part in PARTS)
        + f"   {found['times_faster_than_stock'][name]} x"
        for name, way in found["ways"].items()
    ]


def parser():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--run", help="folder of a finished run")
    p.add_argument("--model", help="folder of a policy")
    p.add_argument("--shape", choices=list(SHAPES), help="of a policy with random weights")
    p.add_argument("--reward", default="minilm-l6", choices=list(SHAPES), help="shape, beside --model and --shape")
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--prompts", type=int, default=8, help="prompts a step")
    p.add_argument("--answers", type=int, default=8, help="answers to a prompt")
    p.add_argument("--length", type=int, default=40, help="longest answer, tokens")
    p.add_argument("--ways", default=",".join(COMPARED), help="stock first")
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--trace", help="also profile a step of the last way into this file (.json.gz)")
    p.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    return p


def main():
    a = parser().parse_args()
    torch.set_num_threads(a.threads)
    quiet_libraries()
    device, ways = get_device(a.device), tuple(a.ways.split(","))
    s = GRPOSettings(
        steps=a.steps, prompts_per_step=a.prompts, num_generations=a.answers, max_completion_length=a.length
    )
    with tempfile.TemporaryDirectory() as folder:
        if a.run:
            material, name = from_run(Path(a.run), device), "tiny"
        elif a.model:
            material, name = from_model(Path(a.model), a.reward, device), Path(a.model).name
        elif a.shape:
            material, name = from_shapes(a.shape, a.reward, device), a.shape
        else:
            material, name = small_world(Path(folder), device), "tiny"
        found = compare(material, s, device, ways, a.warmup)
        if a.trace:
            found["profile"] = profile(material, s, device, Path(a.trace), ways[-1])
    old = read_json(a.out) if Path(a.out).is_file() else {}
    write_json(a.out, {**old, f"{name} on {device.type}": found | dict(environment=environment())})
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
