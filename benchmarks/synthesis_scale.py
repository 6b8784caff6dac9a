"""Diversity, near-duplicates and speed of the grammar at full size.

Writes benchmarks/synthesis_scale.json, which nbs/synthesis/40_bilingual_files.ipynb draws.

    OMP_NUM_THREADS=1 python benchmarks/synthesis_scale.py [--n 50000] [--seed 0]

Takes about four minutes of CPU time and 1.5 GiB of memory.
"""

import argparse
import datetime
import itertools
import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from synthesis_rate import rate

from debias_nb.core.files import write_json
from debias_nb.core.progress import progress
from debias_nb.core.run_folder import git_commit
from debias_nb.core.text import word_tokens
from debias_nb.synthesis.bilingual_files import mask_names
from debias_nb.synthesis.generator import GrammarGenerator
from debias_nb.synthesis.held_out import FullConfig

STEPS = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


class Distinct:
    """distinct-3 of a growing set of texts, as `core.text.distinct_n` defines it; triples are kept as 64-bit hashes."""

    def __init__(self):
        self.seen, self.total = set(), 0

    def add(self, text):
        w = word_tokens(text)
        grams = list(zip(w, w[1:], w[2:]))
        self.total += len(grams)
        self.seen.update(map(hash, grams))
        return grams

    @property
    def value(self):
        return round(len(self.seen) / self.total, 4)


class Near:
    """Near-duplicates among texts: MinHash candidates, verified exactly on the hashes of their word triples."""

    def __init__(self, threshold=0.8, num_perm=64):
        from datasketch import MinHash, MinHashLSH

        self.threshold, self.lsh, self.base, self.sets, self.count, self.example = (
            threshold,
            MinHashLSH(threshold=threshold - 0.15, num_perm=num_perm),
            MinHash(num_perm, hashfunc=int),
            {},
            0,
            None,
        )

    def add(self, key, grams):
        s = np.unique(np.fromiter((zlib.crc32(" ".join(g).encode()) for g in grams), np.uint32))
        m = self.base.copy()
        m.update_batch(s.tolist())
        for k in self.lsh.query(m):
            both = len(np.intersect1d(s, self.sets[k], assume_unique=True))
            if both >= self.threshold * (len(s) + len(self.sets[k]) - both):
                self.count += 1
                self.example = self.example or [k, key]
                return
        self.sets[key] = s
        self.lsh.insert(key, m, check_duplication=False)


def main(n, seed):
    commit, gen = git_commit(), GrammarGenerator(FullConfig(seed=seed))
    kinds = "pair", "pair, names masked", "prompt", "neutral", "biased", "all fluent answers", "pair, Chinese"
    d, near, curve = {k: Distinct() for k in kinds}, {"pair": Near(), "prompt": Near()}, {k: {} for k in kinds}
    for i, x in enumerate(progress(itertools.islice(gen.stream("train"), n), "instances", total=n), 1):
        g = {k: d[k].add(getattr(x, k)) for k in ("prompt", "neutral", "biased")}
        for t in (x.prompt, x.neutral, x.biased):
            d["pair"].add(t)
            d["pair, names masked"].add(mask_names(t, gen.grammar))
        for q in x.responses:
            if q.quality == 1:
                d["all fluent answers"].add(q.text)
        for k in ("prompt", "neutral", "biased"):
            d["pair, Chinese"].add(x.renderings["zh"][k])
        near["prompt"].add(x.id, g["prompt"])
        near["pair"].add(x.id, g["prompt"] + g["neutral"] + g["biased"])
        if i in STEPS or i == n:
            for k in kinds:
                curve[k][str(i)] = d[k].value
            print(i, {k: curve[k][str(i)] for k in kinds}, {k: v.count for k, v in near.items()}, flush=True)
    write_json(
        Path(__file__).with_suffix(".json"),
        dict(
            command=f"python benchmarks/synthesis_scale.py --n {n} --seed {seed}",
            commit=commit,
            date=str(datetime.date.today()),
            n=n,
            seed=seed,
            distinct_3=curve,
            near_duplicates={
                k: dict(count=v.count, share=v.count / n, example=v.example, threshold=v.threshold)
                for k, v in near.items()
            },
            words_per_instance=round(d["pair"].total / n, 1),
            rate=rate(3000),
        ),
    )


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=50_000)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    main(a.n, a.seed)
