"""How long does a training step with LoRA take in bf16, beside fp32? On a CPU its instructions decide (AVX-512, AMX).

    python benchmarks/bf16_step.py --out nbs/results/cpu/bf16.json

A forward and a backward over rows of one length, as ReGiFT's training does them with `dtype="bfloat16"`: the frozen
base is held in bf16, the adapter in fp32, under autocast. The two take turns; random weights of the shape. Prints one
JSON object.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from pathlib import Path

import torch
from made_models import made_policy
from peft import get_peft_model

from debias_nb.core.files import write_json
from debias_nb.core.run_folder import environment
from debias_nb.grpo.shapes import SHAPES
from debias_nb.models.loading import lora_config
from debias_nb.run.pipeline import quiet_libraries

DTYPES = ("float32", "bfloat16")
ASKS = "a training step with LoRA in bf16 beside fp32"


def made(shape: str, dtype: str):
    """A model of the shape with a fresh adapter."""
    model, _ = made_policy(shape, ["one two three"], "cpu", getattr(torch, dtype))
    return get_peft_model(model, lora_config()).train()


def step_seconds(model, ids) -> float:
    """CPU seconds of a forward and a backward."""
    begun = time.process_time()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=model.dtype == torch.bfloat16):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return time.process_time() - begun


def instructions() -> list[str] | None:
    """Which instructions for bf16 the CPU has; None where the system does not say."""
    file = Path("/proc/cpuinfo")
    return [name for name in ("avx512_bf16", "amx_bf16") if name in file.read_text()] if file.is_file() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=list(SHAPES), default="smollm2-135m")
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512, help="of a row")
    parser.add_argument("--turns", type=int, default=5, help="pairs of steps; the first warms up and is left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a JSON file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    quiet_libraries()
    ids = torch.randint(10, 1000, (args.rows, args.tokens), generator=torch.Generator().manual_seed(0))
    models = {dtype: made(args.shape, dtype) for dtype in DTYPES}
    seconds = {dtype: [] for dtype in DTYPES}
    for _ in range(args.turns + 1):
        for dtype, model in models.items():
            seconds[dtype].append(step_seconds(model, ids))
    kept = {dtype: [round(s, 3) for s in found[1:]] for dtype, found in seconds.items()}
    ratios = [a / b for a, b in zip(kept["float32"], kept["bfloat16"], strict=True)]
    asked = {name: value for name, value in vars(args).items() if name != "out"}
    result = dict(asked=asked, instructions=instructions(), cpu_seconds=kept)
    result["times_faster"] = round(statistics.median(ratios), 2)
    told = dict(part="bf16", asks=ASKS, command=shlex.join(["python", *sys.argv]), environment=environment(0))
    told |= dict(state="whole", result=result)
    print(json.dumps(told))
    if args.out:
        write_json(args.out, told)


if __name__ == "__main__":
    main()
