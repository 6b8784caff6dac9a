"""Other tools themselves read what we write, and we read what they write: lm-evaluation-harness, mlcroissant, inspect.

langfair and evaluate measure the same texts as we do, and get the same numbers where the definitions agree.
Each test names the tool that it needs and is skipped where that is absent."""

import contextlib
import io
import json
import math
import os
import zipfile
from pathlib import Path

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


LANGFAIR = "skipped: langfair is not installed; nbs/pages/64_other_tools.ipynb says how"


class Rated:
    """One of our instruments, or a judge of texts, as langfair takes a classifier."""

    def __init__(self, rate):
        self.rate = rate

    def predict(self, texts):
        return self.rate(texts)


def loudness(texts):
    """A judge whose scores are plain to see."""
    return [min(1.0, text.count("!") / 4) for text in texts]


PAIRED = (  # answers to one prompt about two groups; in neither group are all of them the worse ones
    ("My neighbour is kind and works hard.", "My neighbour is rude."),
    ("It was late, which is bad.", "It was early, and everybody was happy."),
    ("Nobody can know that.", "Nobody can know that."),
    ("A wonderful, honest person.", "What a terrible mess."),
    ("I was sad and angry.", "We like it here."),
)


def vader_negative(texts):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return [SentimentIntensityAnalyzer().polarity_scores(text)["neg"] for text in texts]


@pytest.mark.parametrize("rated", ["compound", "negative"])
def test_langfair_sentiment_between_partners(rated):
    """Its differences pair by pair are our gap; its headline, a distance of two distributions, is another measure."""
    pytest.importorskip("langfair", reason=LANGFAIR)
    from langfair.metrics.counterfactual.metrics import SentimentBias

    from debias_nb.analysis.counterfactual_answers import answer_gaps
    from debias_nb.analysis.instruments import sentiment
    from debias_nb.analysis.judges.counterfactual_judge import AnswerPair
    from debias_nb.analysis.metrics.preference_and_gaps import counterfactual_gap

    rate = (lambda texts: sentiment(texts, texts)) if rated == "compound" else vader_negative
    how = dict(custom_classifier=Rated(rate)) if rated == "compound" else dict(classifier="vader", sentiment="neg")
    first, second = map(list, zip(*PAIRED))
    each = SentimentBias(how="pairwise", **how).evaluate(first, second, show_progress_bars=False)
    pairs = [AnswerPair("Who?", one, "Who else?", other) for one, other in PAIRED]
    found = answer_gaps(pairs, {"own": lambda prompts, texts: rate(texts)})["own_swap_gap"]["value"]
    assert found == pytest.approx(sum(each) / len(each), abs=1e-9)
    table = list(zip(rate(first), rate(second)))
    assert counterfactual_gap(table, ["first", "second"])["gap"]["value"] == pytest.approx(found, abs=1e-9)
    headline = SentimentBias(how="mean", **how).evaluate(first, second, show_progress_bars=False)
    assert headline < found - 0.05, "sorted apart, the differences of pairs cancel"


def test_langfair_weak_parity():
    """Its weak parity, without the sign, is our gap between groups of the share that lies above the threshold."""
    pytest.importorskip("langfair", reason=LANGFAIR)
    from langfair.metrics.counterfactual.metrics import SentimentBias

    from debias_nb.analysis.metrics.preference_and_gaps import group_gap

    first, second = map(list, zip(*PAIRED))
    values, groups = vader_negative(first + second), ["first"] * len(first) + ["second"] * len(second)
    for threshold in (0.1, 0.45):  # more of the first group lie above the one, more of the second above the other
        bias = SentimentBias(parity="weak", threshold=threshold)
        theirs = bias.evaluate(first, second, show_progress_bars=False)
        ours = group_gap([float(value > threshold) for value in values], groups)["gap"]
        assert ours == pytest.approx(abs(theirs), abs=1e-9) and ours > 0


def test_langfair_toxic_fraction():
    """Its fraction over all texts is our share of biased answers, that by prompts the share that two models compare."""
    pytest.importorskip("langfair", reason=LANGFAIR)
    from langfair.metrics.toxicity import ToxicityMetrics

    from debias_nb.analysis.judged_answers import compare_judged, judge_rows, judge_verdicts, judged_shares

    said = {"Who?": ["No.", "Yes!!!"], "Why?": ["So!", "So!!!!", "So!!!"], "When?": ["Now.", "Now!", "Now?", "Now!!!"]}
    rows = [
        dict(id=prompt, prompt=prompt, template=prompt, side="own", k=k, answer=answer)
        for prompt, answers in said.items()
        for k, answer in enumerate(answers)
    ]
    rows = judge_rows(rows, {"loud": loudness})
    theirs = ToxicityMetrics(custom_classifier=Rated(loudness), toxic_threshold=0.5)
    answers, prompts = [row["answer"] for row in rows], [row["prompt"] for row in rows]
    over_all = theirs.evaluate(answers, show_progress_bars=False)["metrics"]["Toxic Fraction"]
    by_prompt = theirs.evaluate(answers, prompts=prompts, show_progress_bars=False)["metrics"]["Toxic Fraction"]
    assert judged_shares(rows)["loud"]["biased"]["value"] == pytest.approx(over_all, abs=1e-9)
    assert compare_judged(rows, rows)["loud"]["biased"]["before"] == pytest.approx(by_prompt, abs=1e-9)
    assert abs(over_all - by_prompt) > 0.01, "the prompts have equally many answers: the two shares are one"
    at_threshold = theirs.evaluate(["Yes!!"], show_progress_bars=False)["metrics"]["Toxic Fraction"]
    assert at_threshold == 0 and judge_verdicts(loudness, ["Who?"], ["Yes!!"])[0].label == "biased"


def test_langfair_error_rates_of_groups():
    """Its parities of error rates are differences between our measures of a judge, target by target."""
    pytest.importorskip("langfair", reason=LANGFAIR)
    import numpy as np
    from langfair.metrics.classification import ClassificationMetrics
    from langfair.metrics.classification.metrics import FalsePositiveRateParity

    from debias_nb.analysis.judges.judge_check import check_judge
    from debias_nb.analysis.metrics.preference_and_gaps import group_gap

    loud = dict(old=((3, 1, 4, 0, 4), (0, 3, 1)), new=((1, 3, 0), (4, 0, 1, 3, 0, 3, 1)))  # biased texts, fair texts
    texts = [
        dict(text=f"{target} {label} {i}" + "!" * marks, label=label, target=target)
        for target, (biased, fair) in loud.items()
        for label, all_marks in ((1, biased), (0, fair))
        for i, marks in enumerate(all_marks)
    ]
    flags = np.array([int(score >= 0.5) for score in loudness([row["text"] for row in texts])])
    labels, groups = (np.array([row[name] for row in texts]) for name in ("label", "target"))
    theirs = ClassificationMetrics().evaluate(groups=groups, y_pred=flags, y_true=labels)
    measured = check_judge(loudness, texts, resamples=50).by_target
    difference = lambda name: abs(measured["old"][name]["value"] - measured["new"][name]["value"])
    ours = dict(
        FalseNegativeRateParity=difference("recall"),
        FalsePositiveRateParity=difference("specificity"),
        FalseDiscoveryRateParity=difference("precision"),
        PredictedPrevalenceRateParity=group_gap(flags, groups)["gap"],
    )
    assert {name: theirs[name] for name in ours} == pytest.approx(ours, abs=1e-9)
    assert len({round(value, 6) for value in ours.values()}) == 4 and min(ours.values()) > 0
    flags[(groups == "old") & (labels == 0)] = 0  # a group without a false alarm has a rate, 0
    with pytest.raises(AssertionError, match="Unable to compute"):
        FalsePositiveRateParity().evaluate(groups=groups, y_pred=flags, y_true=labels)


def test_langfair_cosine(tmp_path):
    """Its cosine of two answers, by the same encoder, is that of our reward for answers on the topic."""
    pytest.importorskip("langfair", reason=LANGFAIR)
    from langfair.metrics.counterfactual.metrics import CosineSimilarity

    from debias_nb.reward.encoder import tiny_deberta, tiny_tokenizer
    from debias_nb.reward.on_topic import OnTopic
    from debias_nb.reward.settings import RewardConfig

    first, second = map(list, zip(*PAIRED))
    tokenizer = tiny_tokenizer(first + second, 300)
    tiny_deberta(RewardConfig(hidden_size=32, layers=1), tokenizer).base_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    similarity = CosineSimilarity(transformer=str(tmp_path), how="pairwise")
    theirs = similarity.evaluate(first, second, show_progress_bars=False)
    ours = OnTopic(tmp_path, device="cpu").similarity(first, second)
    assert list(ours) == pytest.approx([float(value) for value in theirs], abs=1e-5)
    assert max(ours) - min(ours) > 0.01, "texts that are all alike to the encoder show nothing"


def evaluate_module(path, folder, *name):
    """A module of Hugging Face's evaluate, from the checkout that $DEBIAS_NB_EVALUATE names; the wheel holds none."""
    evaluate = pytest.importorskip("evaluate", reason="skipped: evaluate belongs to the extra interop")
    checkout = os.environ.get("DEBIAS_NB_EVALUATE")
    if not checkout:
        pytest.skip("skipped: DEBIAS_NB_EVALUATE names no checkout of github.com/huggingface/evaluate")
    return evaluate.load(str(Path(checkout).resolve() / path), *name, cache_dir=str(folder))


QUESTIONS = (  # accepted answers, what was said: exact, near, several golds, repeated words, beside it, and abstained
    (["two hours"], "Two hours."),
    (["the ferry", "a ferry boat"], "The old ferry boat"),
    (["Ghent", "in Ghent"], "ghent, in Ghent"),
    (["1931"], "In 1931, the year of the bakery"),
    (["Marta Lindqvist"], "her brother"),
    (["six in the morning"], ""),
    ([], ""),
    ([], "seven"),
)


def squad_scores(module, rows):
    """What evaluate says of (accepted answers, what was said)."""
    said = [dict(id=str(k), prediction_text=text) for k, (_, text) in enumerate(rows)]
    if module.name == "squad_v2":
        said = [dict(row, no_answer_probability=0.0) for row in said]
    answers = [dict(text=list(golds), answer_start=[0] * len(golds)) for golds, _ in rows]
    references = [dict(id=str(k), answers=golds) for k, golds in enumerate(answers)]
    return module.compute(predictions=said, references=references)


def our_squad_scores(rows):
    from debias_nb.analysis.benchmarks.squad import SQuAD

    kinds = ["answerable" if golds else "unanswerable" for golds, _ in rows]
    items = [
        dict(id=str(k), context=f"passage {k}", answers=golds, category=kind)
        for k, ((golds, _), kind) in enumerate(zip(rows, kinds))
    ]
    return SQuAD().estimates(items, [text for _, text in rows])


def test_evaluate_squad(tmp_path):
    """The official F1 and exact match of SQuAD 1.1, where the passage says."""
    rows = [row for row in QUESTIONS if row[0]]
    theirs = squad_scores(evaluate_module("metrics/squad", tmp_path), rows)
    ours = our_squad_scores(rows)["overall"]
    assert 100 * ours["f1"]["value"] == pytest.approx(theirs["f1"], abs=1e-9)
    assert 100 * ours["exact"]["value"] == pytest.approx(theirs["exact_match"], abs=1e-9)
    assert theirs["exact_match"] < theirs["f1"] < 100


def test_evaluate_squad_v2(tmp_path):
    """The official scores of SQuAD 2.0; an unknown phrase, which counts as no answer with us, is a wrong one there."""
    module = evaluate_module("metrics/squad_v2", tmp_path)
    theirs, found = squad_scores(module, QUESTIONS), our_squad_scores(QUESTIONS)
    parts = dict(overall="", answerable="HasAns_", unanswerable="NoAns_")
    for part, name in parts.items():
        ours = found["overall"] if part == "overall" else found["categories"][part]
        assert 100 * ours["f1"]["value"] == pytest.approx(theirs[f"{name}f1"], abs=1e-9), part
        assert 100 * ours["exact"]["value"] == pytest.approx(theirs[f"{name}exact"], abs=1e-9), part
    phrase = [([], "Not in background."), (["two hours"], "two hours")]
    assert squad_scores(module, phrase)["NoAns_exact"] == 0
    assert our_squad_scores(phrase)["categories"]["unanswerable"]["exact"]["value"] == 1


def test_evaluate_scores_of_raters(tmp_path):
    """Accuracy, AUC and rank correlation, with ties."""
    import pandas as pd

    from debias_nb.analysis.metrics.agreement import agreement, auc_estimate
    from debias_nb.reward.measures import auc, spearman

    labels = [1, 0, 1, 1, 0, 0, 1, 0, 0]
    scores = [0.75, 0.5, 0.5, 0.25, 0.125, 0.5, 1.0, 0.25, 0.0]  # exact in the 32 bits that evaluate keeps
    area = evaluate_module("metrics/roc_auc", tmp_path).compute(references=labels, prediction_scores=scores)["roc_auc"]
    assert auc_estimate(scores, labels)["value"] == pytest.approx(area, abs=1e-9)
    assert auc(scores, labels) == pytest.approx(area, abs=1e-9) and 0.6 < area < 0.95
    ranks = evaluate_module("metrics/spearmanr", tmp_path).compute(references=labels, predictions=scores)["spearmanr"]
    assert spearman(pd.Series(scores), pd.Series(labels)) == pytest.approx(ranks, abs=1e-9)
    found = [int(score >= 0.5) for score in scores]
    right = evaluate_module("metrics/accuracy", tmp_path).compute(references=labels, predictions=found)["accuracy"]
    assert agreement(labels, found, 1)["accuracy"] == pytest.approx(right, abs=1e-9)


def test_evaluate_perplexity(policy, tmp_path):
    """The same perplexity of each text; over all texts ours is by token, theirs the mean over texts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from debias_nb.models.scorer import Scorer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(policy), AutoTokenizer.from_pretrained(policy)
    tokenizer.bos_token = tokenizer.eos_token  # evaluate refuses a model without one, where ours begins with EOS
    tokenizer.padding_side = "right"  # padding on the left, evaluate puts BOS before it: a shorter text gets worse
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "policy")
    texts = ["Nobody can know that.", "The neighbour is late.", "Who was it that came late to the meeting on Monday?"]
    module = evaluate_module("measurements/perplexity", tmp_path)
    where = dict(model_id=str(tmp_path / "policy"), device="cpu", max_length=64)
    theirs = module.compute(data=texts, batch_size=2, **where)
    ours = Scorer(model, tokenizer).perplexity(texts)
    each = [math.exp(nll / tokens) for nll, tokens in zip(ours["nll"], ours["tokens"])]
    assert each == pytest.approx(theirs["perplexities"], rel=1e-5)
    assert max(each) > min(each) * 1.01 and ours["perplexity"] != pytest.approx(theirs["mean_perplexity"], rel=1e-5)
