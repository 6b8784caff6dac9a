"""How fast `debias_nb.synthesis.generator` generates, on one core. Writes nothing.

`synthesis_scale.py` records the same numbers.

OMP_NUM_THREADS=1 python benchmarks/synthesis_rate.py [--n 5000] [--profile]
"""

import argparse
import itertools
import time

from debias_nb.synthesis.generator import GrammarGenerator
from debias_nb.synthesis.held_out import FullConfig


def rate(n: int, **config) -> dict:
    """Instances a minute by CPU time and by the clock; the first hundred are not counted."""
    gen = GrammarGenerator(FullConfig(**config))
    stream = gen.stream("train")
    for _ in itertools.islice(stream, 100):
        pass
    c, t = time.process_time(), time.perf_counter()
    for _ in itertools.islice(stream, n):
        pass
    return dict(
        n=n,
        per_cpu_minute=round(60 * n / (time.process_time() - c)),
        per_minute=round(60 * n / (time.perf_counter() - t)),
    )


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=5000)
    p.add_argument("--profile", action="store_true")
    a = p.parse_args()
    for languages in (("en", "zh"), ("en",), ("zh",)):
        print(",".join(languages), rate(a.n, languages=languages))
    if a.profile:
        import cProfile
        import pstats

        gen, prof = GrammarGenerator(), cProfile.Profile()
        prof.enable()
        for _ in itertools.islice(gen.stream("train"), a.n):
            pass
        prof.disable()
        pstats.Stats(prof).sort_stats("tottime").print_stats(15)
