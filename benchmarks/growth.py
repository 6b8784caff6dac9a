"""How cost grows with the work: items scored, prompts of a GRPO step, answers to a prompt, instances of a data set.

Called by gpu.py, part by part; each measurement takes a size and gives a row.
"""

import itertools
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import scoring_vs_lm_eval
from grpo_step import SMALL_POLICY, SMALL_REWARD, compare, from_shapes, world_prompts
from made_models import made_policy

from debias_nb.core.files import atomic_path
from debias_nb.core.seen import Seen
from debias_nb.grpo.settings import GRPOSettings
from debias_nb.models.scorer import Scorer
from debias_nb.synthesis.dataset_files import read_bilingual, to_row
from debias_nb.synthesis.generator import GrammarGenerator
from debias_nb.synthesis.held_out import FullConfig

WHAT_STEP = "a GRPO step of a tiny shape, median of three; stock TRL beside it"
WHAT_DATA = "instances generated in English and Chinese, written as JSON Lines, and read back with every row checked"
WHAT_IDS = "ids remembered by `Seen`, which is how reading finds one that came twice; MiB of its process"
HIDDEN = dict(SMALL_POLICY, vocab_size=8192, max_position_embeddings=2048)


def scoring(device) -> Callable:
    """Seconds for so many BBQ items."""
    model, tokenizer = made_policy(HIDDEN, world_prompts(), device)

    def measure(count: int) -> dict:
        requests, n_items = scoring_vs_lm_eval.requests_of("bbq", count, tokenizer)
        scorer = Scorer(model, tokenizer, max_length=2048, log=lambda line: None)
        scorer.score(requests[:6])
        wall, cpu = time.perf_counter(), time.process_time()
        scorer.score(requests)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        row = dict(size=n_items, questions=scoring_vs_lm_eval.questions())
        row |= dict(seconds=round(wall, 3), cpu_seconds=round(cpu, 3))
        return row | dict(per_item_ms=round(1000 * cpu / n_items, 3), peak_rss_mib=round(peak_mib()))

    return measure


def steps(device, tiny: bool, grows: str) -> Callable:
    """Seconds of a step of so many prompts, or of so many answers to each of eight."""
    material = from_shapes(SMALL_POLICY, SMALL_REWARD, device)

    def measure(size: int) -> dict:
        prompts, answers = (size, 4) if grows == "prompts" else (2 if tiny else 8, size)
        s = GRPOSettings(
            steps=1 if tiny else 3,
            prompts_per_step=prompts,
            num_generations=answers,
            max_completion_length=8 if tiny else 24,
        )
        found = compare(material, s, device, ("stock", "ours"))
        key = found["measured"].split()[0]
        ours, stock = (found["ways"][name][key]["whole"] for name in ("ours", "stock"))
        row = dict(size=size, answers=prompts * answers, seconds=ours, seconds_of_stock=stock)
        return row | dict(ratio=round(stock / ours, 2), per_answer_ms=round(1000 * ours / prompts / answers, 3))

    return measure


def peak_mib() -> float:
    """The highest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(work, *arguments):
    """What `work` gives, in a process of its own, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def write(path: Path, count: int) -> dict:
    """Generate instances into a file, one at a time."""
    before, begun = peak_mib(), time.process_time()
    generator = GrammarGenerator(FullConfig())
    with atomic_path(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for x in itertools.islice(generator.stream("train"), count):
            file.write(json.dumps(to_row(x), ensure_ascii=False) + "\n")
    return costs(count, time.process_time() - begun, before)


def costs(count: int, seconds: float, before: float) -> dict:
    """What a row says."""
    grown = round(peak_mib() - before, 1)  # of the process, since it began
    return dict(cpu_seconds=round(seconds, 2), per_cpu_minute=round(60 * count / seconds), mib=grown)


def read(path: Path) -> dict:
    """Read them back, one at a time."""
    before, begun = peak_mib(), time.process_time()
    count = sum(1 for _ in read_bilingual(path))
    return costs(count, time.process_time() - begun, before)


def data(folder: Path) -> Callable:
    """CPU seconds, and by how much the process grew, for so many instances."""

    def measure(count: int) -> dict:
        path = folder / "growth.jsonl"
        written = alone(write, path, count)
        size = path.stat().st_size
        row = dict(size=count, file_mib=round(size / 2**20, 1), written=written, read=alone(read, path))
        path.unlink()
        return row

    return measure


def remember(count: int) -> dict:
    """Ask of so many ids whether they came before."""
    before, begun, seen = peak_mib(), time.process_time(), Seen()
    for number in range(count):
        seen.add(f"instance {number}")
    return costs(count, time.process_time() - begun, before)


def remembered(count: int) -> dict:
    """CPU seconds, and by how much the process grew, for so many ids."""
    return dict(size=count) | alone(remember, count)
