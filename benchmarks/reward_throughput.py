#!/usr/bin/env python3
"""How fast is the reward scorer beside what a TRL user would write?

    python benchmarks/reward_throughput.py                      # random weights of a small DeBERTa, CPU, about a minute
    python benchmarks/reward_throughput.py --layers 12 --hidden 384 --device cuda
    python benchmarks/reward_throughput.py --shape modernbert-base

The baseline is three reward functions, one per head. Each tokenises the batch with padding, in the order it comes,
and does one forward in slices of `--slice` rows. `RewardModel` does one forward for all heads, sorted by length and
packed by tokens; it scores repeated texts once. GRPO samples several answers to a prompt, and a policy that has
converged repeats itself, so the batch holds a share of repeats. The ratio is reported for batches in which every text
is different (what one forward and less padding bring) and for batches with repeats; the cache is emptied before every
batch, so nothing is remembered between batches. CPU seconds stand beside wall seconds, since machines are shared.
Writes reward_throughput.json beside this file.
"""

import argparse
import math
import random
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from made_models import made_reward
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

from debias_nb.core.devices import get_device
from debias_nb.core.files import write_json
from debias_nb.core.run_folder import environment
from debias_nb.grpo.shapes import SHAPES
from debias_nb.reward.encoder import head_kwargs, tiny_tokenizer
from debias_nb.reward.model import RewardModel
from debias_nb.synthesis.instances import HEADS
from debias_nb.synthesis.splits import SynthesisConfig, synthesise

LENGTHS = dict(  # sentences of an answer, drawn from a `random.Random`
    short=lambda draw: draw.randint(1, 3),
    mixed=lambda draw: min(14, max(1, round(draw.lognormvariate(1.0, 0.8)))),
    equal=lambda draw: 4,
)


def texts_of(mix, prompts, sentences, generations, repeats, draw):
    """A GRPO batch: `generations` answers to each prompt, a share of them repeating another to the same prompt."""
    asked, answers = [], []
    for prompt in prompts:
        own = []
        for _ in range(generations):
            if own and draw.random() < repeats:
                own.append(draw.choice(own))
                continue
            count = LENGTHS[mix](draw)
            own.append(f"{' '.join(draw.choice(sentences) for _ in range(count))} {draw.randrange(10**6)}")
        asked += [prompt] * generations
        answers += own
    return asked, answers


def trl_style(model, tokenizer, head, max_length, rows, device):
    """What one writes by hand: pad, forward, take a column."""

    @torch.inference_mode()
    def reward(prompts, completions):
        out = []
        for i in range(0, len(prompts), rows):
            batch = tokenizer(
                prompts[i : i + rows],
                completions[i : i + rows],
                padding=True,
                truncation=True,
                max_length=max_length,
                return_tensors="pt",
            ).to(device)
            out += torch.sigmoid(model(**batch).logits[:, head]).float().cpu().tolist()
        return out

    return reward


def parse_args(given=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--shape", choices=list(SHAPES), help="a published encoder's, instead of --hidden and --layers")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--slice", type=int, default=64)
    parser.add_argument(
        "--repeats", type=float, default=0.35, help="share of answers that repeat another to the same prompt"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    return parser.parse_args(given)


def random_model(args, tokenizer):
    """A DeBERTa of this size with random weights."""
    small = args.hidden < 384
    return DebertaV2ForSequenceClassification(
        DebertaV2Config(
            vocab_size=len(tokenizer),
            hidden_size=args.hidden,
            num_hidden_layers=args.layers,
            num_attention_heads=max(1, args.hidden // 24 if small else 6),
            intermediate_size=(2 if small else 4) * args.hidden,
            max_position_embeddings=args.max_length,
            type_vocab_size=2,
            pad_token_id=tokenizer.pad_token_id,
            relative_attention=True,
            position_buckets=32,
            pos_att_type=["p2c", "c2p"],
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            position_biased_input=False,
            conv_kernel_size=3 if small else 0,
            conv_act="gelu",
            initializer_range=0.05,
            **head_kwargs(HEADS),
        )
    ).eval()


def timed(work, device):
    """What `work()` gives, wall seconds and CPU seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    out = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return out, time.perf_counter() - wall, time.process_time() - cpu


def compare(mix, repeats, args, ours, baseline, prompts, sentences):
    """One row of the table: our scorer beside the baseline on the same batches."""
    draw, times = random.Random(f"{args.seed}{mix}{repeats}"), []
    for k in range(args.rounds + 1):
        asked, answers = texts_of(mix, draw.sample(prompts, args.prompts), sentences, args.generations, repeats, draw)
        ours.cache.clear()
        both = dict(
            one=lambda a=asked, b=answers: ours.score(a, b),
            three=lambda a=asked, b=answers: np.stack([f(a, b) for f in baseline], 1),
        )
        order = list(both) if k % 2 else list(both)[::-1]  # who goes first changes
        found = {name: timed(both[name], ours.device) for name in order}
        (one, wall_one, cpu_one), (three, wall_three, cpu_three) = found["one"], found["three"]
        far = np.abs(one - three).max()
        assert far < (1e-4 if ours.device.type == "cpu" else 3e-2), far
        if k:  # the first round warms up
            times.append((wall_one, wall_three, cpu_one, cpu_three))
    wall_one, wall_three, cpu_one, cpu_three = map(sum, zip(*times))
    texts = args.rounds * args.prompts * args.generations
    return dict(
        mix=mix,
        repeats=repeats,
        texts=texts,
        different=round(len(set(zip(asked, answers))) / len(asked), 3),
        per_second=round(texts / wall_one, 1),
        per_second_baseline=round(texts / wall_three, 1),
        ratio=round(wall_three / wall_one, 2),
        ratio_cpu_seconds=round(cpu_three / cpu_one, 2),
        ratio_median=round(statistics.median(t[1] / t[0] for t in times), 2),
    )


def world_texts():
    """Prompts, and sentences to make answers of."""
    data = synthesise(SynthesisConfig(n=200, n_eval=8))["train"]
    sentences = [part.strip() + "." for x in data for part in x.neutral.split(".") if part.strip()]
    return list(dict.fromkeys(x.prompt for x in data)), sentences


def of_shape(shape, device, seconds: float, **options) -> dict:
    """All mixes and repeats for one encoder, as far as the time reaches."""
    args, end = parse_args([]), time.monotonic() + seconds
    vars(args).update(options)
    torch.manual_seed(args.seed)
    prompts, sentences = world_texts()
    ours = made_reward(shape, prompts + sentences, device, args.max_length)
    return dict(parameters=sum(x.numel() for x in ours.model.parameters()), rows=all_rows(ours, args, end))


def all_rows(ours, args, end=math.inf):
    """The table."""
    prompts, sentences = world_texts()
    heads, device = range(len(HEADS)), ours.device
    baseline = [trl_style(ours.model, ours.tokenizer, i, args.max_length, args.slice, device) for i in heads]
    rows = []
    for repeats in (0.0, args.repeats):
        for mix in LENGTHS:
            if time.monotonic() < end:
                rows.append(compare(mix, repeats, args, ours, baseline, prompts, sentences))
    return rows


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = get_device(args.device)
    if args.shape:
        ours = made_reward(args.shape, sum(world_texts(), []), device, args.max_length)
    else:
        tokenizer = tiny_tokenizer(sum(world_texts(), []))
        ours = RewardModel(random_model(args, tokenizer), tokenizer, args.max_length, device=device)
    rows = all_rows(ours, args)
    print(*rows, sep="\n")
    write_json(
        args.out,
        dict(
            settings=vars(args) | {"out": Path(args.out).name},
            parameters=sum(x.numel() for x in ours.model.parameters()),
            device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            rows=rows,
            environment=environment(args.seed),
        ),
    )


if __name__ == "__main__":
    main()
