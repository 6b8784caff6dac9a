"""Where a GRPO step's time goes, beside stock TRL with three separate reward functions at equal settings.

    python benchmarks/grpo_step.py --run runs/demo --steps 12          # a finished run's base and reward
    python benchmarks/grpo_step.py --shape qwen2.5-0.5b --steps 6      # random weights of a published shape, on a GPU

Four ways, step by step in turn so that a busy machine is busy for all: `stock` (TRL's GRPOTrainer, each reward head its
own forward), `shared` (ours, one reward forward), `fast` (with fast_generation too) and `ours` (with share_prompts too:
the default). Each step's wall clock and CPU seconds, split into generation, reward, reference forward, policy forward
and backward. The median over steps counts; ratios are of medians of CPU seconds on a CPU and of wall clock on a GPU.
Writes benchmarks/grpo_step.json (other devices and shapes already in it stay).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from itertools import islice
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from datasets import Dataset
from transformers.trainer_callback import PrinterCallback
from trl import GRPOTrainer

from debias_nb.core.devices import get_device, get_dtype
from debias_nb.core.run_folder import environment
from debias_nb.core.seeds import set_seed
from debias_nb.grpo.guarded_rewards import checked
from debias_nb.grpo.settings import GRPOSettings
from debias_nb.grpo.shapes import SHAPES
from debias_nb.grpo.trainer import MultiRewardTrainer
from debias_nb.grpo.training import grpo_config
from debias_nb.models.loading import load_policy, lora_config
from debias_nb.models.prompts import as_messages
from debias_nb.models.small_policy import PolicyConfig, train_base, train_tokenizer
from debias_nb.reward.encoder import head_kwargs, tiny_tokenizer
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

HEADS = ("fairness", "neutrality", "quality")


class Timed:
    """A trainer whose parts are timed: wall clock and CPU seconds."""

    def clock(self, part, fn, *a, **kw):
        sync = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
        sync()
        t, c = time.perf_counter(), time.process_time()
        out = fn(*a, **kw)
        sync()
        self.now[part] += np.array([time.perf_counter() - t, time.process_time() - c])
        return out

    now = None

    def _generate_single_turn(self, *a, **kw):
        return self.clock("generation", super()._generate_single_turn, *a, **kw)

    def _calculate_rewards(self, *a, **kw):
        return self.clock("reward", super()._calculate_rewards, *a, **kw)

    def _get_per_token_logps_and_entropies(self, *a, **kw):
        return self.clock(
            "forward" if torch.is_grad_enabled() else "reference", super()._get_per_token_logps_and_entropies, *a, **kw
        )

    def training_step(self, *a, **kw):
        if self.now is None:  # the backward is the accelerator's
            backward, self.now = self.accelerator.backward, defaultdict(lambda: np.zeros(2))
            self.accelerator.backward = lambda *b, **k: self.clock("backward", backward, *b, **k)
        self.now.clear()
        out = self.clock("step", super().training_step, *a, **kw)
        self.parts.append({k: v.tolist() for k, v in self.now.items()})
        return out


class Stock(Timed, GRPOTrainer):
    pass


class Ours(Timed, MultiRewardTrainer):
    pass


def separate(make):  # three functions, each with a model and a forward of its own
    fns = []
    for i in range(len(HEADS)):
        m = make()
        m.cache_size = 0
        fns.append(reward_functions(m)[i])
    return fns


def material(args, device, d):  # folder of the base, a maker of reward models, prompts, what it is
    if args.run:
        run = Path(args.run)
        data = load_dataset(run / "dataset")
        return (
            run / "policy/base",
            lambda: RewardModel.from_pretrained(run / "reward", device=str(device)),
            list(dict.fromkeys(x.prompt for x in data["train"])),
            "the base and reward of a finished run",
        )
    c = SynthesisConfig(n=400, n_eval=40)
    world = small_taxonomy(load_taxonomy(), c)
    data = synthesise(c)
    prompts = list(dict.fromkeys(x.prompt for x in data["train"]))
    if args.shape:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

        set_seed(0)
        tok = train_tokenizer(prompts, 2048)
        tok.save_pretrained(d / "base")
        kw = dict(SHAPES[args.shape])
        with torch.device(device):
            m = AutoModelForCausalLM.from_config(
                AutoConfig.for_model(
                    kw.pop("model_type"),
                    **kw,
                    pad_token_id=tok.pad_token_id,
                    bos_token_id=None,
                    eos_token_id=tok.eos_token_id,
                ),
                dtype=get_dtype(device),
            )
        m.save_pretrained(d / "base")
        del m
        kw = dict(SHAPES["deberta-v3-base" if "8b" in args.shape else "deberta-v3-small"])
        rtok = tiny_tokenizer(prompts, 1500)

        def make():
            set_seed(0)
            c = AutoConfig.for_model(
                kw["model_type"], **{k: v for k, v in kw.items() if k != "model_type"}, **head_kwargs(HEADS)
            )
            return RewardModel(
                AutoModelForSequenceClassification.from_config(c), rtok, 256, device=str(device), tokens=16384
            )

        return (
            d / "base",
            make,
            prompts,
            f"random weights of the shape of {args.shape}; answers end only at the longest length",
        )
    train_base(
        islice(world_texts(world, planted_rates(world), kinds=("opinions", "facts")), 400 * 48),
        PolicyConfig(steps=400),
        d / "base",
    )
    train_reward(data, RewardConfig(examples=2000), d / "reward", device=str(device), log=lambda s: None)
    return (
        d / "base",
        lambda: RewardModel.from_pretrained(d / "reward", device=str(device)),
        prompts,
        "tiny preset, base trained for 400 steps here",
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--run")
    p.add_argument("--shape", choices=[s for s in SHAPES if "deberta" not in s])
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--length", type=int, default=40)
    p.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    quiet_libraries()
    device = get_device(a.device)
    s = GRPOSettings(
        steps=a.steps + a.warmup, max_completion_length=a.length, fast_generation=False, share_prompts=False
    )
    n = s.prompts_per_step
    with tempfile.TemporaryDirectory() as d:
        base, make, prompts, what = material(a, device, Path(d))
        trainers = {}
        for name, cls, kw in (
            ("stock", Stock, {}),
            ("shared", Ours, dict(settings=s)),
            ("fast", Ours, dict(settings=replace(s, fast_generation=True))),
            ("ours", Ours, dict(settings=replace(s, fast_generation=True, share_prompts=True))),
        ):
            set_seed(0)
            model, tok = load_policy(base, device=a.device)
            data = Dataset.from_list([{"prompt": as_messages(x)} for x in prompts[: n * (s.steps + 1)]])
            fns = separate(make) if name == "stock" else reward_functions(make())
            t = cls(
                model=model,
                args=grpo_config(s, Path(d) / name, device),
                processing_class=tok,
                train_dataset=data,
                reward_funcs=[checked(f, s.saturation) for f in fns],
                peft_config=lora_config(s.lora_r, s.lora_alpha),
                **kw,
            )
            t.remove_callback(PrinterCallback)
            t.parts = []
            trainers[name] = t
        import threading

        from transformers import TrainerCallback

        turn, order, live = threading.Condition(), list(trainers), {"at": 0}

        class InTurn(TrainerCallback):  # one step of each in turn: what disturbs the machine disturbs all three
            def __init__(self, name):
                self.name = name

            def on_step_begin(self, *x, **k):
                with turn:
                    turn.wait_for(lambda: order[live["at"] % len(order)] == self.name)

            def on_step_end(self, *x, **k):
                with turn:
                    live["at"] += 1
                    turn.notify_all()

        failed = []

        def go(t):
            try:
                t.train()
            except BaseException as e:
                failed.append(e)
                os._exit(1) if not print(repr(e), flush=True) else None

        threads = []
        for name, t in trainers.items():
            t.add_callback(InTurn(name))
            threads.append(threading.Thread(target=go, args=(t,)))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    which = 1 if device.type == "cpu" else 0
    parts = ("step", "generation", "reward", "reference", "forward", "backward")
    table = {}
    for name, t in trainers.items():
        rows = t.parts[a.warmup :]
        med = lambda k, j, rows=rows: round(statistics.median(r.get(k, [0, 0])[j] for r in rows), 5)
        table[name] = dict(
            wall={k: med(k, 0) for k in parts},
            cpu={k: med(k, 1) for k in parts},
            steps=len(rows),
            tokens_per_answer=round(
                statistics.mean(
                    h["completions/mean_length"] for h in t.state.log_history if "completions/mean_length" in h
                ),
                2,
            ),
        )
    key = ("cpu", "wall")[1 - which]
    base_step = table["stock"][key]["step"]
    result = dict(
        what=what,
        device=str(device),
        threads=a.threads,
        measured=key + " seconds per step, median",
        ways=table,
        times_faster_than_stock={n: round(base_step / v[key]["step"], 3) for n, v in table.items()},
        reward_share_of_step={n: round(v[key]["reward"] / v[key]["step"], 4) for n, v in table.items()},
        generation_times_faster=round(table["stock"][key]["generation"] / table["ours"][key]["generation"], 3),
        environment=environment(),
    )
    out = Path(a.out)
    old = json.loads(out.read_text()) if out.is_file() else {}
    out.write_text(json.dumps({**old, f"{a.shape or 'tiny'} on {device.type}": result}, indent=2) + "\n")
    for n, v in table.items():
        print(
            f"{n:8}" + "  ".join(f"{k} {v[key][k]:.3f}" for k in parts) + f"   {result['times_faster_than_stock'][n]} x"
        )


if __name__ == "__main__":
    main()
