#!/usr/bin/env python3
"""How fast is the reward scorer beside what a TRL user would write?

    python benchmarks/reward_throughput.py                      # random weights of a small DeBERTa, CPU, about a minute
    python benchmarks/reward_throughput.py --layers 12 --hidden 384 --device cuda

The baseline is three reward functions, one per head. Each tokenises the batch with padding, in the order it comes, and does one forward
in slices of `--slice` rows. `RewardModel` does one forward for all heads, sorted by length and packed by tokens; it scores repeated texts once.
GRPO samples several answers to a prompt, and a policy that has converged repeats itself, so the batch holds a share of repeats. The ratio is
reported for batches in which every text is different (what one forward and less padding bring) and for batches with repeats; the cache is
emptied before every batch, so nothing is remembered between batches. CPU seconds stand beside wall seconds, since machines are shared.
Writes reward_throughput.json beside this file.
"""

import argparse
import random
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

from debias_nb.core.devices import get_device
from debias_nb.core.files import write_json
from debias_nb.core.run_folder import environment
from debias_nb.reward.encoder import head_kwargs, tiny_tokenizer
from debias_nb.reward.model import RewardModel
from debias_nb.synthesis.instances import HEADS
from debias_nb.synthesis.splits import SynthesisConfig, synthesise


def texts_of(mix, prompts, sentences, generations, repeats, r):
    """A GRPO batch: `generations` answers to each prompt, a share of them repeating another answer to the same prompt."""
    pr, out = [], []
    for p in prompts:
        own = []
        for _ in range(generations):
            if own and r.random() < repeats:
                own.append(r.choice(own))
                continue
            n = {
                "short": lambda: r.randint(1, 3),
                "mixed": lambda: min(14, max(1, round(r.lognormvariate(1.0, 0.8)))),
                "equal": lambda: 4,
            }[mix]()
            own.append(f"{' '.join(r.choice(sentences) for _ in range(n))} {r.randrange(10**6)}")
        pr += [p] * generations
        out += own
    return pr, out


def trl_style(model, tokenizer, head, max_length, slice_, device):
    """What one writes by hand: pad, forward, take a column."""

    @torch.inference_mode()
    def reward(prompts, completions):
        out = []
        for i in range(0, len(prompts), slice_):
            x = tokenizer(
                prompts[i : i + slice_],
                completions[i : i + slice_],
                padding=True,
                truncation=True,
                max_length=max_length,
                return_tensors="pt",
            ).to(device)
            out += torch.sigmoid(model(**x).logits[:, head]).float().cpu().tolist()
        return out

    return reward


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--hidden", type=int, default=96)
    p.add_argument("--layers", type=int, default=3)
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--prompts", type=int, default=8)
    p.add_argument("--generations", type=int, default=8)
    p.add_argument("--slice", type=int, default=64)
    p.add_argument(
        "--repeats", type=float, default=0.35, help="share of answers that repeat another to the same prompt"
    )
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", default=str(Path(__file__).with_suffix(".json")))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    dev = get_device(a.device)
    D = synthesise(SynthesisConfig(n=200, n_eval=8))
    prompts = list(dict.fromkeys(x.prompt for x in D["train"]))
    sentences = [s.strip() + "." for x in D["train"] for s in x.neutral.split(".") if s.strip()]
    tk = tiny_tokenizer(prompts + sentences)
    m = DebertaV2ForSequenceClassification(
        DebertaV2Config(
            vocab_size=len(tk),
            hidden_size=a.hidden,
            num_hidden_layers=a.layers,
            num_attention_heads=max(1, a.hidden // 24 if a.hidden < 384 else 6),
            intermediate_size=(2 if a.hidden < 384 else 4) * a.hidden,
            max_position_embeddings=a.max_length,
            type_vocab_size=2,
            pad_token_id=tk.pad_token_id,
            relative_attention=True,
            position_buckets=32,
            pos_att_type=["p2c", "c2p"],
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            position_biased_input=False,
            conv_kernel_size=3 if a.hidden < 384 else 0,
            conv_act="gelu",
            initializer_range=0.05,
            **head_kwargs(HEADS),
        )
    ).eval()
    ours = RewardModel(m, tk, a.max_length, device=dev)
    base = [trl_style(ours.model, tk, i, a.max_length, a.slice, dev) for i in range(len(HEADS))]

    def timed(f):
        if dev.type == "cuda":
            torch.cuda.synchronize()
        w, c = time.perf_counter(), time.process_time()
        out = f()
        if dev.type == "cuda":
            torch.cuda.synchronize()
        return out, time.perf_counter() - w, time.process_time() - c

    rows = []
    for mix in ("short", "mixed", "equal"):
        for repeats in (0.0, a.repeats):
            r, t = random.Random(f"{a.seed}{mix}{repeats}"), []
            for k in range(a.rounds + 1):
                ps, cs = texts_of(mix, r.sample(prompts, a.prompts), sentences, a.generations, repeats, r)
                ours.cache.clear()
                one, w1, c1 = timed(lambda ps=ps, cs=cs: ours.score(ps, cs))
                three, w3, c3 = timed(lambda ps=ps, cs=cs: np.stack([f(ps, cs) for f in base], 1))
                assert np.abs(one - three).max() < (1e-4 if dev.type == "cpu" else 3e-2), np.abs(one - three).max()
                if k:
                    t.append((w1, w3, c1, c3))  # the first round warms up
            w1, w3, c1, c3 = map(sum, zip(*t))
            n = a.rounds * a.prompts * a.generations
            rows.append(
                dict(
                    mix=mix,
                    repeats=repeats,
                    texts=n,
                    different=round(len(set(zip(ps, cs))) / len(ps), 3),
                    per_second=round(n / w1, 1),
                    per_second_baseline=round(n / w3, 1),
                    ratio=round(w3 / w1, 2),
                    ratio_cpu_seconds=round(c3 / c1, 2),
                    ratio_median=round(statistics.median(x[1] / x[0] for x in t), 2),
                )
            )
            print(rows[-1], flush=True)
    write_json(
        a.out,
        dict(
            settings=vars(a) | {"out": Path(a.out).name},
            parameters=sum(x.numel() for x in m.parameters()),
            device=torch.cuda.get_device_name() if dev.type == "cuda" else "cpu",
            rows=rows,
            environment=environment(a.seed),
        ),
    )


if __name__ == "__main__":
    main()
