"""The measuring script for a borrowed GPU, on tiny shapes: every part works, says what it skips, and can be stopped."""

import json
import os
import sys

import psutil
import pytest
from conftest import root, run

PARTS = (
    "grpo_135m,grpo_500m,grpo_vllm,grpo_tiny,scoring,reward,memory,small,real,profile_tiny,"
    "growth_items,growth_prompts,growth_group,growth_data,growth_ids"
)

# A part that never ends: it is stopped when its time is up, with what it started, and what it saved stays, in the one
# file for all parts. And runs of a preset while time is left, with a run and a clock of our own.
ENDLESS = """
import itertools, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, "benchmarks")
import gpu

def endless(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.save(dict(child=child.pid))
    time.sleep(600)

def seeds(job):
    def pretend(config, folder, command, log, device):
        log("a stage is whole")
        assert "seed " + str(config.seed) in said[-1]["runs"], "it was not saved at once"
        clock.append(clock[-1] + 1)

    said, save, clock = [], job.save, [0.0]
    gpu.gpu_parts.run_pipeline, gpu.gpu_parts.time = pretend, SimpleNamespace(monotonic=lambda: clock[-1])
    job.seconds, job.save = 4, lambda result: (said.append(result), save(result))
    configs = (gpu.gpu_parts.get_preset("smoke", seed) for seed in itertools.count())
    return gpu.gpu_parts.preset(job, configs)

out, parts = Path(sys.argv[1]), sys.argv[2]
results = gpu.Results(out / "one", one_file=True)
for work, seconds in ((endless, 6), (seeds, 600)):
    job = gpu.Job(work.__name__, results, out, seconds, "cpu", 1, True, None)
    print(gpu.in_its_process(gpu.Part(work, 1, ""), job, dict(part=work.__name__)))
assert [file.name for file in (out / "one").iterdir()] == ["results.json"]
sys.argv = ["gpu.py", "--unpack", str(out / "one/results.json"), "--out", str(out)]
assert gpu.main() == 0
sys.argv = ["gpu.py", "--tiny", "--minutes", "30", "--device", "cpu", "--parts", parts]
sys.argv += ["--commit", "0123456789", "--trace-mib", "0", "--out", str(out), "--work", str(out / "work")]
sys.exit(gpu.main())
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the script wrote: name -> JSON."""
    out = tmp_path_factory.mktemp("measured")
    environment = {k: v for k, v in os.environ.items() if k != "DEBIAS_NB_DATA"}
    done = run(sys.executable, "-c", ENDLESS, out, PARTS, cwd=root, env=environment | {"PYTHONPATH": str(root)})
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in out.glob("*.json")}


def test_every_part_says_how_it_ended(measured):
    states = {name: found["state"] for name, found in measured.items()}
    assert states.pop("endless") == "unfinished"
    assert states.pop("seeds") == "whole"
    assert states.pop("grpo_vllm") == "skipped"
    assert set(states) == set(PARTS.split(",")) - {"grpo_vllm"}
    assert set(states.values()) == {"whole"}, {name: found.get("why") for name, found in measured.items()}


def test_a_stopped_part_keeps_what_it_knew(measured):
    found = measured["endless"]
    assert found["why"] == "the time was up" and found["result"]["child"]
    child = found["result"]["child"]  # what it had started is gone too
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_further_seeds_are_run_while_time_is_left(measured):
    found = measured["seeds"]["result"]
    assert list(found["runs"]) == ["seed 0", "seed 1", "seed 2"]  # a second each, of nearly four
    assert found["stopped"] == "no time was left for seed 3"


def test_a_run_leaves_its_numbers_in_its_part(measured):
    for name, policy in (("small", None), ("real", "tiny_policy")):
        run_of_it = measured[name]["result"]["runs"]["seed 0"]
        numbers = run_of_it["metrics"]
        assert set(numbers["models"]) >= {"base", "grpo"} and numbers["benchmarks"], name
        assert run_of_it["training_log"] and "analysis/grpo" in run_of_it["stages"], name
        assert (policy or "") in numbers["provenance"]["command"] and numbers["provenance"]["preset"] == "smoke"


def test_a_profile_says_what_its_reward_does(measured):
    found = measured["profile_tiny"]["result"]
    assert found["trace"].startswith("not kept: ")
    assert all(found["wall_seconds"][part] > 0 for part in ("generation", "reward", "forward", "backward"))
    whole, inside = ({row["name"]: row["calls"] for row in found[name]} for name in ("slowest", "slowest_of_reward"))
    both = set(whole) & set(inside)
    assert inside["aten::addmm"] > 0 and all(inside[name] <= whole[name] for name in both)
    assert any(inside[name] < whole[name] for name in both)  # a step is more than its reward


def test_a_missing_library_is_named(measured):
    assert "vllm" in measured["grpo_vllm"]["why"].lower()


def test_results_name_their_machine(measured):
    for name in set(measured) - {"grpo_vllm", "endless", "seeds"}:
        made = measured[name]["environment"]
        assert made["hardware"]["cpu"] and made["versions"]["torch"] and "commit" in made, name


def test_both_trainers_did_the_same_work(measured):
    found = measured["grpo_135m"]["result"]
    assert set(found["ways"]) == set(measured["grpo_500m"]["result"]["ways"]) == {"stock", "ours"}
    assert set(measured["grpo_tiny"]["result"]["ways"]) == {"stock", "shared", "fast", "ours"}
    assert all(7 < tokens <= 8 for tokens in found["tokens_per_answer"].values())  # random weights hardly ever end
    for way in found["ways"].values():
        parts = way["cpu"]
        inside = sum(parts[part] for part in ("generation", "reward", "reference", "forward", "backward"))
        assert 0.5 * parts["whole"] < inside <= 1.01 * parts["whole"]
    assert "not the real one" in found["what"] or "tiny" in found["what"]


def test_growth_has_a_row_for_each_size(measured):
    for name in ("growth_items", "growth_prompts", "growth_group", "growth_data", "growth_ids"):
        sizes = [row["size"] for row in measured[name]["result"]["rows"]]
        assert len(sizes) == 2 and sizes == sorted(sizes), name


def test_parts_of_a_file_make_it_whole_again(tmp_path):
    whole = tmp_path / "model.gguf"
    whole.write_bytes(os.urandom(300_000))
    script = root / "benchmarks" / "model_parts.py"

    def call(*arguments):
        return run(sys.executable, script, *arguments, env=os.environ | {"PYTHONPATH": str(root)})

    assert call("split", whole, "--out", tmp_path / "parts", "--mib", "0.1").returncode == 0
    assert call("join", tmp_path / "parts", "--out", tmp_path / "again.gguf").returncode == 0
    assert (tmp_path / "again.gguf").read_bytes() == whole.read_bytes()
    (tmp_path / "parts" / "model.gguf.part1").write_bytes(b"damaged")
    broken = call("join", tmp_path / "parts", "--out", tmp_path / "third.gguf")
    assert broken.returncode == 1 and "model.gguf.part1 is damaged" in broken.stderr
    assert not (tmp_path / "third.gguf").exists()


def test_time_grows_with_the_length(tmp_path):
    script, out = root / "benchmarks" / "linear_time.py", tmp_path / "linear.json"
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = run(sys.executable, script, "--largest", "25", "--out", out, env=environment)
    assert out.exists(), done.stdout + done.stderr[-3000:]  # its exit code is a matter of time: not asked for here
    measured = {row["what"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}
    recorded = json.loads((root / "nbs" / "results" / "linear_time.json").read_text(encoding="utf-8"))["rows"]
    assert set(measured) == {row["what"] for row in recorded}
    for row in recorded:
        assert row["linear"] and list(row["seconds"])[-1] in ("400 kB", "60000 kB"), row
