"""The peak memory of real GRPO steps beside what `step_cost` calculates.

    python benchmarks/step_memory.py --shape smollm2-135m --prompts 4
    python benchmarks/step_memory.py --shape llama-3.1-8b --device cuda --bits 4

The peak is torch's own count of what it holds: kept by CUDA on a GPU, added up from the profiler's events on a CPU.
On a CPU the growth of the process is told beside it; it also holds what the allocator keeps.
Two steps: Adam's moments exist from the second on. Prints one JSON object; random weights of the shape.
"""

import argparse
import gc
import json
import resource
import tempfile
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import torch
from grpo_step import from_shapes, make_trainer, tokens_per_answer, world_prompts
from made_models import made_policy, policy_tokenizer, size_of

from debias_nb.core.devices import get_device, get_dtype
from debias_nb.grpo.settings import GRPOSettings
from debias_nb.grpo.shapes import SHAPES, meta_model, parameters
from debias_nb.grpo.step_cost import GIB, step_cost
from debias_nb.run.pipeline import quiet_libraries
from debias_nb.synthesis.instances import HEADS

GOAL = 0.15  # how far the calculation may be from the measurement


def in_four_bits(model, dtype):
    """Its linear layers as bitsandbytes' NF4, but the output."""
    import bitsandbytes as bnb

    for name, layer in list(model.named_modules()):
        if type(layer) is not torch.nn.Linear or name.endswith("lm_head"):
            continue
        small = bnb.nn.Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype, quant_type="nf4"
        )
        small.weight = bnb.nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
        small.bias = layer.bias
        place = model.get_submodule(name.rpartition(".")[0])
        setattr(place, name.rpartition(".")[2], small.to(layer.weight.device))
        layer.weight = None
    model.is_loaded_in_4bit = True
    return model


class CudaCount:
    """The most that CUDA held for torch, in bytes, from `begin` on."""

    def __init__(self, device):
        gc.collect()
        torch.cuda.empty_cache()
        self.device, self.before = device, torch.cuda.memory_allocated(device)

    def begin(self):
        """What it took to make the model does not count."""
        torch.cuda.reset_peak_memory_stats(self.device)

    def end(self) -> dict:
        """Bytes by way of counting; the first is compared with the calculation."""
        return {"torch's allocations": torch.cuda.max_memory_allocated(self.device) - self.before}


class CpuCount:
    """The same on a CPU, where torch keeps no count: the profiler tells every allocation and release."""

    def __init__(self, device):
        gc.collect()
        self.grown = psutil.Process().memory_info().rss
        self.profiler = torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
        )
        self.profiler.start()

    def begin(self):
        """From here on the peak counts; what was made before is held all the same."""
        self.begun = time.time_ns()

    def end(self) -> dict:
        """Bytes by way of counting; the first is compared with the calculation."""
        self.profiler.stop()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - self.grown
        events = self.profiler.profiler.kineto_results.events()
        changes = sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns())
        held = peak = 0
        for change in changes:
            held += change.nbytes()
            if change.start_ns() >= self.begun:
                peak = max(peak, held)
        return {"torch's allocations": peak, "growth of the process": grown}


def of_one_length(tokenizer, prompts: list[str]) -> tuple[list[str], int]:
    """The prompts of the commonest length, and that length in tokens, so that nothing is padded."""
    lengths = [
        len(tokenizer.apply_chat_template([dict(role="user", content=p)], add_generation_prompt=True)["input_ids"])
        for p in prompts
    ]
    common, _ = Counter(lengths).most_common(1)[0]
    return [prompt for prompt, length in zip(prompts, lengths) if length == common], common


def measure(
    shape,  # of the policy
    reward_shape,
    settings: GRPOSettings,
    device,
    bits: int = 16,  # 4: NF4 through bitsandbytes
) -> dict:
    """Two steps of the package's trainer, and what was calculated for them."""
    texts, dtype = world_prompts(), get_dtype(device)
    prompts, length = of_one_length(policy_tokenizer(texts, size_of(shape)), texts)

    def policy():
        model, tokenizer = made_policy(shape, texts, device)
        return (in_four_bits(model, dtype) if bits == 4 else model), tokenizer

    material = replace(from_shapes(shape, reward_shape, device, texts), policy=policy, prompts=prompts)
    settings, begun = replace(settings, steps=2), time.perf_counter()
    count = CudaCount(device) if device.type == "cuda" else CpuCount(device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("as set", material, settings, Path(folder), device)
        count.begin()
        trainer.train()
        counted = count.end()
    measured, size = next(iter(counted.values())), torch.finfo(dtype).bits // 8
    reward = parameters(meta_model(reward_shape, HEADS))
    bytes_each, triton = 0.5 if bits == 4 else size, device.type == "cuda"
    cost = step_cost(meta_model(shape), settings, length, reward, bytes_each, triton=triton)
    off = cost["peak"] / measured - 1
    return dict(
        what=material.what,
        bits=bits if bits == 4 else 8 * size,
        parameters=cost["parameters"],
        prompt_tokens=length,
        tokens_per_answer=tokens_per_answer(trainer),
        seconds=round(time.perf_counter() - begun, 2),
        counted=next(iter(counted)),
        measured_gib=round(measured / GIB, 3),
        measured_gib_by={way: round(found / GIB, 3) for way, found in counted.items()},
        calculated_gib=round(cost["peak"] / GIB, 3),
        calculated={what: round(part / GIB, 4) for what, part in cost["memory"].items() if part},
        off=round(off, 3),
        goals=dict(memory=dict(goal=GOAL, found=round(abs(off), 3), met=abs(off) <= GOAL)),
        settings=asdict(settings),
    )


def parser():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--shape", default="smollm2-135m", choices=list(SHAPES))
    p.add_argument("--reward", default="minilm-l6", choices=list(SHAPES))
    p.add_argument("--prompts", type=int, default=8, help="prompts a step")
    p.add_argument("--answers", type=int, default=4, help="answers to a prompt")
    p.add_argument("--length", type=int, default=48, help="longest answer, tokens")
    p.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    p.add_argument("--parts", type=int, default=1, help="gradient accumulation")
    p.add_argument("--bits", type=int, default=16, choices=(4, 16), help="4: NF4, needs bitsandbytes")
    p.add_argument("--device", default="auto")
    p.add_argument("--threads", type=int, default=1)
    return p


def main():
    a = parser().parse_args()
    torch.set_num_threads(a.threads)
    quiet_libraries()
    s = GRPOSettings(
        prompts_per_step=a.prompts,
        num_generations=a.answers,
        max_completion_length=a.length,
        gradient_checkpointing=a.checkpointing,
        gradient_accumulation=a.parts,
    )
    print(json.dumps(measure(a.shape, a.reward, s, get_device(a.device), a.bits), indent=2))


if __name__ == "__main__":
    main()
