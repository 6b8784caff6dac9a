"""Other tools themselves read what we write, and we read what they write: lm-evaluation-harness, mlcroissant, inspect.

Each test names the tool that it needs and is skipped where that is absent."""

import contextlib
import io
import json
import zipfile

import pytest
from conftest import root  # noqa: F401  (sets one thread and no network)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """A folder with a very small language model of random weights, and its tokenizer."""
    from debias_nb.models.small_policy import PolicyConfig, small_policy, train_tokenizer
    from debias_nb.synthesis.ccbbq import make_ccbbq
    from debias_nb.synthesis.taxonomy_file import load_taxonomy

    folder = tmp_path_factory.mktemp("policy")
    texts = [f"{item['context']} {item['question']}" for item in make_ccbbq(load_taxonomy(), n_per_template=1)[:300]]
    tokenizer = train_tokenizer(texts, 600)
    small_policy(tokenizer, PolicyConfig(hidden=32, layers=1, vocab_size=600)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def items():
    from debias_nb.synthesis.ccbbq import make_ccbbq
    from debias_nb.synthesis.taxonomy_file import load_taxonomy

    return make_ccbbq(load_taxonomy(), n_per_template=1)[:80]


@pytest.fixture(scope="module")
def harness(policy, items, tmp_path_factory):
    """A task folder, and what lm-evaluation-harness gives for it."""
    pytest.importorskip("lm_eval", reason="skipped: lm_eval belongs to the extra eval")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from debias_nb.analysis.lm_eval_tasks import write_choice_task, write_open_task
    from debias_nb.synthesis.open_prompts import open_prompts

    folder = tmp_path_factory.mktemp("tasks")
    write_choice_task(items, folder)
    write_open_task(open_prompts(n=6), folder, max_tokens=8)
    found = simple_evaluate(
        model="hf",
        model_args=dict(pretrained=str(policy), device="cpu", dtype="float32"),
        tasks=["debias_ccbbq", "debias_open"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        batch_size=8,
        bootstrap_iters=0,
        log_samples=True,
        confirm_run_unsafe_code=False,
    )
    return folder, found


def test_harness_gives_our_scores(harness, policy, items):
    """The same model over the same items, by the harness and by us: every option chosen alike, every figure equal."""
    from debias_nb.analysis.benchmarks.bbq_score import bbq_score
    from debias_nb.analysis.benchmarks.multiple_choice import evaluate_mc
    from debias_nb.models.loading import load_policy
    from debias_nb.models.scorer import Scorer

    ours = evaluate_mc(Scorer(*load_policy(policy)), items)
    samples = sorted(harness[1]["samples"]["debias_ccbbq"], key=lambda sample: sample["doc_id"])
    for sample, scores in zip(samples, ours["scores"], strict=True):
        theirs = [likelihood for likelihood, _ in sample["filtered_resps"]]
        assert theirs == pytest.approx(scores, abs=1e-3)
    figures = bbq_score(items, ours["predictions"])
    result = harness[1]["results"]["debias_ccbbq"]
    for name in ("accuracy_amb", "accuracy_dis", "s_amb", "s_dis"):
        assert result[f"{name},none"] == pytest.approx(figures[name]), name
    assert len(set(ours["predictions"])) > 1, "a model that always says the same shows nothing"


def test_harness_samples_are_scored(harness, items, tmp_path):
    """A samples file as the harness writes it, scored by our command: the harness' own figures."""
    from lm_eval.utils import handle_non_serializable

    from debias_nb.run.commands import main
    from debias_nb.synthesis.ccbbq import export_jsonl

    own, log = tmp_path / "items.jsonl", tmp_path / "samples_debias_ccbbq.jsonl"
    export_jsonl(items, own)
    rows = harness[1]["samples"]["debias_ccbbq"]
    log.write_text("\n".join(json.dumps(row, default=handle_non_serializable) for row in rows))
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(["score", "--benchmark", f"items:{own}", "--predictions", str(log), "--out", str(tmp_path / "out")])
    assert code == 0
    overall = json.loads((tmp_path / "out").read_text())["scores"]["overall"]
    for name in ("accuracy_amb", "s_amb"):
        assert overall[name] == pytest.approx(harness[1]["results"]["debias_ccbbq"][f"{name},none"])


def test_harness_open_prompts(harness):
    """Each answer gets one verdict, and the figures are the means of what our functions say of the answers."""
    from debias_nb.analysis.lm_eval_tasks import OPEN_SHARES, open_results

    result, samples = harness[1]["results"]["debias_open"], harness[1]["samples"]["debias_open"]
    said = [open_results(sample["doc"], sample["filtered_resps"]) for sample in samples]
    for share in OPEN_SHARES:
        assert result[f"{share},none"] == pytest.approx(sum(row[share] for row in said) / len(said))
    assert sum(result[f"{share},none"] for share in OPEN_SHARES[1:]) == pytest.approx(1)


@pytest.mark.parametrize("form", ["eval", "json"])
def test_inspect_logs_are_scored(items, tmp_path, form):
    """Inspect itself runs an evaluation with a scripted model; our command scores its log."""
    inspect_ai = pytest.importorskip("inspect_ai", reason="skipped: inspect_ai belongs to the extra interop")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    from debias_nb.analysis.benchmarks.items import answers
    from debias_nb.run.commands import main
    from debias_nb.synthesis.ccbbq import export_jsonl

    some, own = items[:6], tmp_path / "items.jsonl"
    export_jsonl(some, own)
    keys = ("category", "example_id", "question_index", "context_condition")
    samples = [Sample(input=item["question"], metadata={key: item[key] for key in keys}) for item in some]
    said = [answers(item)[item["label"]] for item in some]
    outputs = [ModelOutput.from_content("mockllm", text) for text in said]
    for output in outputs:
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)  # else it asks a server to count
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = inspect_ai.eval(
        inspect_ai.Task(dataset=samples),
        model=model,
        log_dir=str(tmp_path / "logs"),
        log_format=form,
        display="none",
        max_connections=1,
    )
    assert log.status == "success", log.error
    (file,) = (tmp_path / "logs").glob(f"*.{form}")
    assert form == "json" or zipfile.is_zipfile(file)
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(
            ["score", "--benchmark", f"items:{own}", "--predictions", str(file), "--out", str(tmp_path / "out")]
        )
    assert code == 0
    found = json.loads((tmp_path / "out").read_text())
    assert found["n_predicted"] == 6 and found["scores"]["overall"]["accuracy_amb"] == 1.0


def test_croissant_is_read(tmp_path):
    """Mlcroissant finds no fault in the metadata of a data set, and reads its rows through it."""
    mlcroissant = pytest.importorskip("mlcroissant", reason="skipped: mlcroissant belongs to the extra interop")
    import datasets

    from debias_nb.synthesis.publish import save_all
    from debias_nb.synthesis.quality import check_quality
    from debias_nb.synthesis.splits import SynthesisConfig, synthesise

    data = synthesise(SynthesisConfig(n=40, n_eval=8))
    folder = save_all(data, tmp_path / "data", check_quality(data))
    described = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not described.metadata.ctx.issues.errors, described.metadata.ctx.issues.report()
    records = [
        {key.rpartition("/")[2]: value.decode() if isinstance(value, bytes) else value for key, value in row.items()}
        for row in described.records("pairs/train")
    ]
    rows = datasets.Dataset.from_parquet(str(folder / "pairs/train.parquet"), cache_dir=str(tmp_path / "cache"))
    assert len(records) == len(rows) == 40
    assert [r["chosen"] for r in records] == rows["chosen"] and [r["prompt"] for r in records] == rows["prompt"]


def test_trl_command_takes_our_reward(policy, tmp_path):
    """TRL's own `trl grpo`, in a process of its own, with heads of a reward by their dotted paths."""
    import os
    import sys

    from conftest import run

    from debias_nb.reward.encoder import tiny_deberta, tiny_tokenizer
    from debias_nb.reward.model import RewardModel
    from debias_nb.reward.settings import RewardConfig

    tokenizer = tiny_tokenizer(["Is the neighbour late?", "Nobody can know."], 300)
    model = tiny_deberta(RewardConfig(hidden_size=32, layers=1), tokenizer)
    RewardModel(model, tokenizer, 64, device="cpu").save_pretrained(tmp_path / "reward")
    (tmp_path / "prompts").mkdir()
    prompts = [dict(prompt=f"Is the neighbour {word}?") for word in ("late", "kind", "old", "rude")]
    (tmp_path / "prompts" / "train.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    heads = [f"debias_nb.reward.dotted_rewards.{head}" for head in ("fairness", "quality")]
    settings = dict(
        model_name_or_path=policy,
        dtype="float32",
        dataset_name=tmp_path / "prompts",
        output_dir=tmp_path / "out",
        max_steps=2,
        num_generations=2,
        per_device_train_batch_size=4,
        max_completion_length=6,
        logging_steps=1,
        report_to="none",
        use_cpu="true",
        bf16="false",
    )
    options = [str(part) for name, value in settings.items() for part in (f"--{name}", value)]
    call = "import sys; from trl.scripts.grpo import main, make_parser; main(*make_parser().parse_args_and_config())"
    env = dict(os.environ, DEBIAS_NB_REWARD=str(tmp_path / "reward"), PYTHONPATH=str(root), HF_HUB_OFFLINE="1")
    done = run(sys.executable, "-c", call, *options, "--reward_funcs", *heads, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    log = done.stdout + done.stderr
    assert "rewards/fairness/mean" in log and "rewards/quality/mean" in log


def test_reward_is_a_plain_classifier(tmp_path):
    """The folder of a reward in transformers' own pipeline gives the scores that `RewardModel` gives."""
    from transformers import pipeline

    from debias_nb.reward.encoder import tiny_deberta, tiny_tokenizer
    from debias_nb.reward.model import RewardModel
    from debias_nb.reward.settings import RewardConfig

    prompt, answer = "Is the neighbour late?", "Nobody can know."
    tokenizer = tiny_tokenizer([prompt, answer], 300)
    model = RewardModel(tiny_deberta(RewardConfig(hidden_size=32, layers=1), tokenizer), tokenizer, 64, device="cpu")
    model.save_pretrained(tmp_path / "reward")
    classify = pipeline("text-classification", str(tmp_path / "reward"), top_k=None, device="cpu")
    found = classify({"text": prompt, "text_pair": answer}, truncation=True)
    theirs = {row["label"]: row["score"] for row in found}
    ours = dict(zip(model.dimensions, model.score([prompt], [answer])[0]))
    assert theirs == pytest.approx({name: float(score) for name, score in ours.items()}, abs=1e-5)
