"""The measuring script for a borrowed GPU, on tiny shapes: every part works, says what it skips, and can be stopped."""

import json
import os
import sys

import psutil
import pytest
from conftest import root, run

PARTS = "grpo_135m,grpo_vllm,scoring,reward,memory,growth_items,growth_group,growth_data"

# A part that never ends: it is stopped when its time is up, with what it started, and what it saved stays.
ENDLESS = """
import subprocess, sys, time
from pathlib import Path
sys.path.insert(0, "benchmarks")
import gpu

def endless(job):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    job.save(dict(child=child.pid))
    time.sleep(600)

out = Path(sys.argv[1])
job = gpu.Job("endless", out, out, 6, "cpu", 1, True, None)
print(gpu.in_its_process(gpu.Part(endless, 1, ""), job, dict(part="endless")))
sys.argv = ["gpu.py", "--tiny", "--minutes", "10", "--device", "cpu", "--parts", sys.argv[2]]
sys.argv += ["--out", str(out), "--work", str(out / "work")]
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
    assert states.pop("grpo_vllm") == "skipped"
    assert set(states) == set(PARTS.split(",")) - {"grpo_vllm"}
    assert set(states.values()) == {"whole"}, {name: found.get("why") for name, found in measured.items()}


def test_a_stopped_part_keeps_what_it_knew(measured):
    found = measured["endless"]
    assert found["why"] == "the time was up" and found["result"]["child"]
    child = found["result"]["child"]  # what it had started is gone too
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_a_missing_library_is_named(measured):
    assert "vllm" in measured["grpo_vllm"]["why"].lower()


def test_results_name_their_machine(measured):
    for name in set(measured) - {"grpo_vllm", "endless"}:
        made = measured[name]["environment"]
        assert made["hardware"]["cpu"] and made["versions"]["torch"] and "commit" in made, name


def test_both_trainers_did_the_same_work(measured):
    found = measured["grpo_135m"]["result"]
    assert set(found["ways"]) == {"stock", "ours"}
    assert all(7 < tokens <= 8 for tokens in found["tokens_per_answer"].values())  # random weights hardly ever end
    for way in found["ways"].values():
        parts = way["cpu"]
        inside = sum(parts[part] for part in ("generation", "reward", "reference", "forward", "backward"))
        assert 0.5 * parts["whole"] < inside <= 1.01 * parts["whole"]
    assert "not the real one" in found["what"] or "tiny" in found["what"]


def test_growth_has_a_row_for_each_size(measured):
    for name in ("growth_items", "growth_group", "growth_data"):
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
