"""Speed of debias_nb's scorer beside lm-evaluation-harness, on the same requests, model and token budget.

    python benchmarks/scoring_vs_lm_eval.py --items 240 --out benchmarks/scoring_vs_lm_eval.json

Needs the `eval` extra (lm_eval) and $DEBIAS_NB_DATA with BBQ, CrowS-Pairs and StereoSet. Each (task, engine) runs in a
process of its own, on the same random weights of the chosen shape (speed does not depend on what the weights say) and a
BPE tokenizer trained on the benchmark texts, so that no download is needed; `--model` takes a folder or hub id instead.
Times are of scoring alone (tokenisation included, loading excluded), by the clock and in CPU seconds of the process; on
a machine that does other work too, read the CPU ratio. The answers are compared request by request."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = dict(  # SmolLM-135M, Qwen2.5-0.5B, Llama-3.1-8B, as published in their configs; tiny is for a smoke test
    tiny=dict(
        vocab_size=8192,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    m135=dict(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    ),
    b05=dict(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    b8=dict(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
)
TASKS = dict(
    bbq=("BBQ, three answers as continuations", 5),
    bbq_chat=("BBQ in a chat template, options listed, letters scored", 3),
    bbq_chat_answers=("BBQ in a chat template, three answers as continuations", 3),
    crows=("CrowS-Pairs", 1.5),
    stereoset=("StereoSet", 1.5),
)
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SYSTEM = "You are a helpful assistant. You answer questions about short texts truthfully, from what the text says."


def questions() -> str:
    """BBQ, or our own questions where BBQ is not here."""
    return "bbq" if os.environ.get("DEBIAS_NB_DATA") else "ccbbq"


def requests_of(task, items, tokenizer):
    """(context, continuation) pairs of about `items` items, whole groups."""
    from debias_nb.analysis.benchmarks.items import answers
    from debias_nb.analysis.benchmarks.multiple_choice import chat_prompt, mc_prompt
    from debias_nb.analysis.benchmarks.subsets import sample_groups
    from debias_nb.analysis.benchmarks.task import get_task

    kind = get_task(questions() if task.startswith("bbq") else dict(crows="crows_pairs").get(task, task))
    loaded = kind.load(log=lambda m: None)
    if task == "stereoset":  # whole target terms, as when the numbers were recorded
        its = sample_groups(loaded, items, seed=0, group=lambda i: i["target"])
    else:
        its = kind.sample(loaded, items)
    if task == "bbq":
        return [(mc_prompt(i), " " + a) for i in its for a in answers(i)], len(its)
    if task.startswith("bbq"):
        mode = "letters" if task == "bbq_chat" else "likelihood"
        chat = [chat_prompt(tokenizer, mc_prompt(i, mode), SYSTEM) for i in its]
        return [(c, a) for c, i in zip(chat, its) for a in ("ABC" if task == "bbq_chat" else answers(i))], len(its)
    if task == "crows":
        return [("", i[k]) for i in its for k in ("sent_more", "sent_less")], len(its)
    return [
        (i["context"], " " + i[k]) if i["split"] == "intersentence" else ("", i[k])
        for i in its
        for k in ("stereotype", "anti_stereotype", "unrelated")
    ], len(its)


def make_tokenizer(folder, vocab):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from debias_nb.analysis.benchmarks.task import get_task

    read = dict(
        bbq=("context", "question", "ans0", "ans1", "ans2"),
        crows_pairs=("sent_more", "sent_less"),
        stereoset=("context", "stereotype", "unrelated"),
    )
    texts = []
    for name, fields in read.items():
        items = get_task(name).load(log=lambda m: None)
        texts += [i[k] for i in (items[::4] if name == "bbq" else items) for k in fields]
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=min(16000, vocab),
            show_progress=False,
            special_tokens=["<s>", "</s>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tok = PreTrainedTokenizerFast(tokenizer_object=t, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tok.chat_template = CHAT
    tok.save_pretrained(folder)


def load(a):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    dtype = getattr(torch, a.dtype)
    tok = AutoTokenizer.from_pretrained(a.model or a.tokenizer)
    if a.model:
        return AutoModelForCausalLM.from_pretrained(a.model, dtype=dtype).to(a.device).eval(), tok
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(a.device):
        m = AutoModelForCausalLM.from_config(
            LlamaConfig(**SHAPES[a.shape], max_position_embeddings=2048, bos_token_id=0, eos_token_id=1)
        )
    torch.set_default_dtype(torch.float32)
    return m.eval(), tok


def child(a):
    """One engine on one task; prints a JSON line."""
    import resource

    import torch

    torch.set_num_threads(a.threads)
    model, tok = load(a)
    reqs, n_items = requests_of(a.task, a.items, tok)
    if a.engine == "lm_eval":
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        longest = max(len(tok.encode(c + k)) for c, k in reqs)
        batch = max(1, a.budget // longest)
        lm = HFLM(pretrained=model, tokenizer=tok, batch_size=batch, max_length=2048)
        run = lambda rs: [
            x[0]
            for x in lm.loglikelihood(
                [Instance(request_type="loglikelihood", doc={}, arguments=r, idx=i) for i, r in enumerate(rs)],
                disable_tqdm=True,
            )
        ]
        about = dict(batch_size=batch)
    else:
        from debias_nb.models.scorer import Scorer

        s = Scorer(model, tok, token_budget=a.budget, max_length=2048, row_width=a.row_width)
        run = lambda rs: [x.logprob for x in s.score(rs)]
        about = s.stats
    run(reqs[:6])  # kernels, and our probe, warmed up
    sync = torch.cuda.synchronize if a.device.startswith("cuda") else (lambda: None)
    if a.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    sync()
    t0, c0 = time.perf_counter(), time.process_time()
    scores = run(reqs)
    sync()
    wall, cpu = time.perf_counter() - t0, time.process_time() - c0
    if a.engine == "ours":
        about = {k: s.stats[k] for k in ("method", "tokens", "nodes", "rows", "cached_prefix") if k in s.stats}
    mem = (
        torch.cuda.max_memory_allocated() / 2**20
        if a.device.startswith("cuda")
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    Path(a.scores).write_text(json.dumps(scores))
    print(
        "RESULT "
        + json.dumps(
            dict(
                seconds=round(wall, 2),
                cpu_seconds=round(cpu, 2),
                peak_memory_mib=round(mem),
                requests=len(reqs),
                items=n_items,
                **about,
            )
        )
    )


def scorers(model, tokenizer, budget: int, longest: int, theirs: bool = True, row_width=None) -> dict:
    """Both engines over one model: name -> a function from requests to log-likelihoods."""
    from debias_nb.models.scorer import Scorer

    scorer = Scorer(model, tokenizer, token_budget=budget, max_length=2048, row_width=row_width, log=lambda line: None)
    out = dict(ours=lambda requests: [x.logprob for x in scorer.score(requests)])
    if theirs:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        batch = max(1, budget // longest)
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, max_length=2048)

        def harness(requests):
            asked = [Instance("loglikelihood", {}, request, i) for i, request in enumerate(requests)]
            return [score for score, _ in lm.loglikelihood(asked, disable_tqdm=True)]

        out["lm_eval"] = harness
    return out


def clocks(device):
    """Wall clock and CPU seconds, with nothing left to do on a GPU."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def in_turn(model, tokenizer, task, items, seconds, budget=4096, part=40, theirs=True) -> dict:
    """Both engines on the same parts of about `part` items in turn, in one process, as long as the time lasts."""
    requests, n_items = requests_of(task, items, tokenizer)
    each = len(requests) // n_items  # requests of an item
    size, device, end = part * each, next(model.parameters()).device, time.monotonic() + seconds
    longest = max(len(tokenizer.encode(context + more)) for context, more in requests)
    engines = scorers(model, tokenizer, budget, longest, theirs)
    for run in engines.values():
        run(requests[:6])  # kernels, and our probe, warmed up
    spent = {name: [0.0, 0.0, 0.0] for name in engines}  # wall, CPU, peak MiB on a GPU
    done, difference, took = 0, 0.0, 0.0
    while done < len(requests) and (not done or time.monotonic() + took < end):
        some, scores, begun = requests[done : done + size], {}, time.monotonic()
        for name in list(engines) if done // size % 2 else list(engines)[::-1]:  # who goes first changes
            scores[name] = timed_run(engines[name], some, device, spent[name])
        if theirs:
            difference = max(difference, *(abs(x - y) for x, y in zip(scores["ours"], scores["lm_eval"])))
        done, took = done + len(some), time.monotonic() - begun
    out = dict(what=TASKS[task][0], questions=questions(), items=done // each, requests=done)
    out |= dict(budget=budget, longest=longest)
    for name, (wall, cpu, peak) in spent.items():
        out[name] = dict(
            seconds=round(wall, 3), cpu_seconds=round(cpu, 3), items_per_second=round(done / each / wall, 2)
        )
        if device.type == "cuda":
            out[name]["peak_memory_mib"] = round(peak)
    if theirs:
        wall, cpu = (spent["lm_eval"][i] / spent["ours"][i] for i in (0, 1))
        out |= dict(goal=TASKS[task][1], ratio=round(wall, 2), ratio_cpu=round(cpu, 2), largest_difference=difference)
    return out


def timed_run(run, requests, device, spent) -> list:
    """Scores; the clock and, on a GPU, the peak are added to `spent`."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    begun = clocks(device)
    scores = run(requests)
    for i, (then, now) in enumerate(zip(begun, clocks(device))):
        spent[i] += now - then
    if device.type == "cuda":
        spent[2] = max(spent[2], torch.cuda.max_memory_allocated(device) / 2**20)
    return scores


def parser():
    """The options; the last four are for the child processes."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--tasks", default=",".join(TASKS))
    p.add_argument("--items", type=int, default=240, help="about how many items of each task")
    p.add_argument("--growth", default="", help="further item counts for BBQ, e.g. 120,480,960 (ours only)")
    p.add_argument("--shape", default="m135", choices=SHAPES)
    p.add_argument("--model", help="a folder or hub id instead of a shape")
    p.add_argument("--dtype", default="float32")
    p.add_argument("--device", default="cpu")
    p.add_argument("--budget", type=int, default=4096, help="tokens in one forward pass, both engines")
    p.add_argument("--row-width", type=int, help="nodes in one row of the tree (default: the scorer's choice)")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--out")
    for x in ("task", "engine", "tokenizer", "scores"):
        p.add_argument(f"--{x}", help=argparse.SUPPRESS)
    return p


def in_a_process(a, folder, task, engine, items):
    """(result, scores) of one engine on one task."""
    scores = Path(folder) / f"{task}.{engine}.json"
    options = dict(task=task, engine=engine, tokenizer=a.tokenizer, scores=scores, items=items)
    options |= {k: getattr(a, k) for k in ("budget", "threads", "shape", "dtype", "device", "model")}
    options["row-width"] = a.row_width
    given = [str(x) for k, v in options.items() if v is not None for x in (f"--{k}", v)]
    r = subprocess.run([sys.executable, __file__, *given], capture_output=True, text=True)
    line = [x for x in r.stdout.splitlines() if x.startswith("RESULT ")]
    if not line:
        sys.exit(f"scoring_vs_lm_eval: {task} with {engine} failed:\n{r.stderr[-2000:]}")
    return json.loads(line[0][7:]), json.loads(scores.read_text())


def compare(a, folder, task):
    """Both engines on one task."""
    (ours, our_scores), (theirs, their_scores) = (
        in_a_process(a, folder, task, e, a.items) for e in ("ours", "lm_eval")
    )
    difference = max(abs(x - y) for x, y in zip(our_scores, their_scores))
    clock, cpu = (theirs[k] / max(ours[k], 1e-9) for k in ("seconds", "cpu_seconds"))
    print(
        f"{task:17} {theirs['seconds']:8.1f} s -> {ours['seconds']:7.1f} s   {clock:5.2f} x "
        f"(cpu time {cpu:5.2f} x, goal {TASKS[task][1]})  "
        f"memory {theirs['peak_memory_mib']} -> {ours['peak_memory_mib']} MiB  "
        f"{ours.get('tokens')} tokens -> {ours.get('nodes')} nodes  largest difference {difference:.1e}",
        flush=True,
    )
    return dict(
        load_average=os.getloadavg()[0],
        what=TASKS[task][0],
        goal=TASKS[task][1],
        ratio=round(clock, 2),
        ratio_cpu=round(cpu, 2),
        largest_difference=difference,
        ours=ours,
        lm_eval=theirs,
    )


def grow(a, folder, n):
    """Our scorer on more items of BBQ."""
    found, _ = in_a_process(a, folder, "bbq", "ours", n)
    print(f"growth: {found['items']} items in {found['seconds']} s, {found['peak_memory_mib']} MiB", flush=True)
    return {k: found.get(k) for k in ("items", "seconds", "cpu_seconds", "peak_memory_mib", "nodes")}


def head(a):
    """What stands over the results; a file of the same settings is added to."""
    from importlib.metadata import PackageNotFoundError, version

    from debias_nb.core.files import read_json
    from debias_nb.core.run_folder import environment

    names = ("items", "shape", "model", "dtype", "device", "budget", "row_width", "threads")
    settings = {k: getattr(a, k) for k in names}
    out = dict(settings=settings, environment=environment(), load_average=os.getloadavg(), tasks={}, growth=[])
    try:
        out["environment"]["versions"]["lm_eval"] = version("lm_eval")
    except PackageNotFoundError:
        sys.exit('scoring_vs_lm_eval: lm_eval is not installed; pip install "debias_nb[eval]"')
    if a.out and Path(a.out).is_file() and (old := read_json(a.out))["settings"] == settings:
        out["tasks"], out["growth"] = old["tasks"], old["growth"]
    return out


def main():
    """Every task with both engines, each in a process of its own."""
    a = parser().parse_args()
    if a.engine:
        return child(a)
    if not os.environ.get("DEBIAS_NB_DATA"):
        sys.exit("scoring_vs_lm_eval: set DEBIAS_NB_DATA to a folder with BBQ, CrowS-Pairs and StereoSet")
    tasks = [t for t in a.tasks.split(",") if t]
    unknown = [t for t in tasks if t not in TASKS]
    if unknown:
        sys.exit(f"scoring_vs_lm_eval: no task {unknown[0]!r}; there are {', '.join(TASKS)}")
    from debias_nb.core.files import write_json

    out = head(a)
    with tempfile.TemporaryDirectory() as folder:
        a.tokenizer = f"{folder}/tok"
        make_tokenizer(a.tokenizer, SHAPES[a.shape]["vocab_size"])
        for task in tasks:
            out["tasks"][task] = compare(a, folder, task)
            if a.out:
                write_json(a.out, out)
        for n in (int(x) for x in a.growth.split(",") if x):
            row = grow(a, folder, n)
            out["growth"] = [g for g in out["growth"] if g["items"] != row["items"]] + [row]
    if a.out:
        write_json(a.out, out)


if __name__ == "__main__":
    main()
