"""Bad input to every command: one clear line with the remedy, exit code 2, no traceback, every file as it was."""

import contextlib
import hashlib
import io
import json

import pytest

row = dict(
    example_id=1,
    question_index="1",
    question_polarity="neg",
    context_condition="ambig",
    category="Toy",
    context="A man and a woman met.",
    question="Who was late?",
    ans0="The man",
    ans1="The woman",
    ans2="Not known",
    label=2,
    answer_info=dict(ans0=["man", "M"], ans1=["woman", "F"], ans2=["unknown", "unknown"]),
)

squad = dict(
    version="v2.0",
    data=[
        dict(
            title="Boats",
            paragraphs=[
                dict(
                    context="Lena has a red boat. It is old.",
                    qas=[
                        dict(
                            id="q1",
                            question="Which colour has the boat?",
                            answers=[dict(text="red", answer_start=11)],
                            is_impossible=False,
                        )
                    ],
                )
            ],
        )
    ],
)
trace = dict(
    prompt="Lena has a red boat. Which colour has the boat?", reasoning="The boat is red.", answer="red", gold="red"
)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """A folder with everything that may go wrong in it."""
    d = tmp_path_factory.mktemp("bad")
    (d / "empty.jsonl").write_text("")
    (d / "binary.jsonl").write_bytes(bytes(range(256)) * 20)
    (d / "cut.jsonl").write_text('{"example_id": 1, "prediction": 0}\n{"example_id": 2, "predic')
    (d / "list.json").write_text("[1, 2]")
    (d / "nan.jsonl").write_text('{"example_id": 1, "prediction": NaN}\n')
    (d / "words.txt").write_text("one\ntwo\n")
    (d / "folder").mkdir()
    (d / "thesis").mkdir()
    (d / "thesis" / "thesis.tex").write_text("years of work")
    (d / "norun").mkdir()
    (d / "norun" / "config.json").write_text('{"kind": "somebody else\'s"}')
    (d / "cutrun").mkdir()
    (d / "cutrun" / "config.json").write_text('{"preset": "ti')
    (d / "noweights").mkdir()
    (d / "noweights" / "config.json").write_text('{"model_type": "llama"}')
    (d / "pickled").mkdir()
    (d / "pickled" / "config.json").write_text('{"model_type": "llama"}')
    (d / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    for name, text in dict(emptydata="", cutdata='{"id": "train-0", "prompt": "Who', binarydata=None).items():
        (d / name).mkdir()
        f = d / name / "train.jsonl"
        if text is None:
            f.write_bytes(bytes(range(256)))
        else:
            f.write_text(text)
    (d / "oneclass.csv").write_text("text,label\nThey are all lazy.,1\nThey steal.,1\n")
    (d / "answers.jsonl").write_text('{"prompt": "Who?", "answer": "It varies."}\n')
    (d / "model.gguf").write_bytes(b"GGUF")
    (d / "adapter").mkdir()
    (d / "adapter" / "adapter_config.json").write_text(
        json.dumps(dict(peft_type="LORA", base_model_name_or_path="/nowhere/base", r=2, task_type="CAUSAL_LM"))
    )
    (d / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    (d / "sheet").mkdir()
    (d / "sheet" / "annotation.csv").write_text("id,prompt,answer,verdict,note\nx,Who?,It varies.,unfair,\n")
    (d / "sheet" / "annotation_key.json").write_text('{"key": [{"id": "x", "model": "base", "labels": {}}]}')
    (d / "yes.jsonl").write_text(json.dumps(row) + "\n")
    (d / "traces.jsonl").write_text(json.dumps(trace) + "\n")
    (d / "squad.json").write_text(json.dumps(squad))
    return d


def files(d):
    return {p.relative_to(d).as_posix(): hashlib.sha1(p.read_bytes()).hexdigest() for p in d.rglob("*") if p.is_file()}


CASES = [
    line.split(" -> ")
    for line in r"""
run --preset tinny --out {n} -> unknown preset 'tinny'. Choose one of: tiny
run --out {d}/thesis -> thesis is not empty and holds no run
run --out {d}/words.txt -> words.txt is a file, not a folder
run --out {d}/norun -> norun
run --out {d}/cutrun -> config.json
run --out {d}/words.txt/new -> words.txt
run --preset smoke --policy {d}/noweights --out {n} -> noweights: holds no weights
run --preset smoke --policy {d}/pickled --out {n} -> pytorch_model.bin (pickle)
run --preset smoke --policy nobody/nothing-at-all --out {n} -> nobody/nothing-at-all
run --preset smoke --encoder {d}/none --out {n} -> no such model folder
run --seed abc -> unable to convert "abc" into int
runn -> unknown command 'runn'
export-tasks --out {d}/thesis -> thesis is not an empty folder
export-tasks --items {d}/none.jsonl --out {n} -> none.jsonl
synth --n 0 --out {n} -> 0
synth --n -3 --out {n} -> -3
synth --n 10 --n-eval -1 --out {n} -> -1
synth --languages fr --out {n} -> fr
synth --languages , --out {n} -> language
synth --n 10 --out {d}/thesis -> thesis
synth --n 10 --out {d}/words.txt -> words.txt
synth --profile small_world --n 0 --out {n} -> 0
synth --profile small_world --n -3 --out {n} -> -3
synth --profile small_world --n 10 --out {d}/thesis -> thesis
synth --profile large -> Invalid value "large"
synth --seed abc -> unable to convert "abc" into int
synth --format csv -> Invalid value "csv"
synth-llm --out {n} -> Which model
synth-llm --model m --base-url localhost --out {n} -> is no endpoint
synth-llm --model m --base-url http://127.0.0.1:9/v1 --n 0 --out {n} -> 0
synth-llm --model m --base-url http://127.0.0.1:9/v1 --n -3 --out {n} -> -3
synth-llm --model m --base-url http://127.0.0.1:9/v1 --n-eval -3 --out {n} -> -3
synth-llm --model m --base-url http://127.0.0.1:9/v1 --concurrency 0 --out {n} -> concurrency
synth-llm --model m --base-url http://127.0.0.1:9/v1 --timeout -1 --out {n} -> timeout
synth-llm --model m --base-url http://127.0.0.1:9/v1 --max-tokens 0 --out {n} -> --max-tokens 0
synth-llm --model m --base-url http://127.0.0.1:9/v1 --budget-tokens -5 --out {n} -> budget
synth-llm --local {d}/none --out {n} -> none
synth-llm --local {d}/noweights --out {n} -> holds no weights
synth-llm --model m --base-url http://127.0.0.1:9/v1 --out {d}/thesis -> thesis
synth-llm --language fr -> Invalid value "fr"
check --data {d}/none -> none
check --data {d}/folder -> folder
check --data {d}/emptydata -> train.jsonl
check --data {d}/cutdata -> train.jsonl:1
check --data {d}/binarydata -> train.jsonl
check --data {d}/words.txt -> words.txt
train-reward -> --data names no dataset
train-reward --data -> --data requires an argument
train-reward --data {d}/none --out {n} -> none
train-reward --data {d}/folder --out {n} -> folder
train-reward --data {d}/emptydata --out {n} -> train.jsonl
train-reward --data {d}/cutdata --out {n} -> train.jsonl:1
train-reward --data {d}/binarydata --out {n} -> train.jsonl
train-reward --data {d}/words.txt --out {n} -> words.txt
train-reward --data {d}/emptydata --objective best -> Invalid value "best"
baselines --run {d}/none -> is no finished run
baselines --run {d}/norun -> is no finished run
baselines --run {d}/words.txt -> is no finished run
baselines --run {d}/norun --only nonsense -> nonsense
baselines --run {d}/norun --samples 0 -> samples
baselines --run {d}/norun --set speed=1 -> no setting 'speed'
baselines --run {d}/norun --set dpo_lr=x -> dpo_lr = 'x': input should be a valid number
traces --model m --squad {d}/none.json --out {d}/t.jsonl -> none.json
traces --model m --squad {d}/list.json --out {d}/t.jsonl -> list.json
traces --model m --squad {d}/binary.jsonl --out {d}/t.jsonl -> binary.jsonl
traces --model m --squad {d}/folder --out {d}/t.jsonl -> folder
traces --model m --squad {squad} --n 0 --base-url http://127.0.0.1:9/v1 --out {d}/t.jsonl -> 0
traces --model m --squad {squad} --n -3 --base-url http://127.0.0.1:9/v1 --out {d}/t.jsonl -> -3
traces --model m --squad {squad} --base-url localhost --out {d}/t.jsonl -> is no endpoint
traces --model m --squad {squad} --base-url http://127.0.0.1:9/v1 --out {d}/thesis -> thesis is a folder
compare --before {d}/norun --after {d}/norun --out {d}/thesis -> norun
traces --model {d}/none --local --squad {squad} --out {d}/t.jsonl -> none
traces --squad {squad} -> --model requires an argument
traces --model m --rule best -> Invalid value "best"
regift --preset nonsense --out {n} -> unknown preset 'nonsense'
regift --preset paper --out {n} -> GPU
regift --policy {d}/noweights --out {n} -> --traces
regift --policy {d}/noweights --traces {d}/none.jsonl --out {n} -> none.jsonl
regift --policy {d}/noweights --traces {d}/empty.jsonl --out {n} -> empty.jsonl
regift --policy {d}/noweights --traces {d}/cut.jsonl --out {n} -> cut.jsonl
regift --policy {d}/noweights --traces {d}/binary.jsonl --out {n} -> binary.jsonl
regift --policy {d}/noweights --traces {d}/folder --out {n} -> folder
regift --policy {d}/noweights --traces {d}/traces.jsonl --out {n} -> holds no weights
regift --policy {d}/noweights --traces {d}/traces.jsonl --bbq -5 --out {n} -> -5
regift --preset smoke --out {d}/thesis -> thesis
regift-studies --run {d}/none --out {n} -> is no finished run
regift-studies --run {d}/norun --out {n} -> is no finished run
regift-studies --run {d}/norun --out {n} --seeds 0 -> seeds
regift-studies --run {d}/norun --out {n} --seeds -2 -> seeds
regift-studies --run {d}/norun --out {n} --jobs 0 -> jobs
regift-studies --run {d}/norun --out {n} --traces -4 -> traces
regift-studies --run {d}/norun --study nonsense -> no study 'nonsense'
evaluate --model {d}/none --out {n} --benchmarks items:{d}/yes.jsonl -> no such model folder
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/yes.jsonl -> holds no weights
evaluate --model {d}/pickled --out {n} --benchmarks items:{d}/yes.jsonl -> pickle
evaluate --model {d}/noweights --out {n} --benchmarks nonsense -> nonsense
evaluate --model {d}/noweights --out {n} --benchmarks , -> benchmark
evaluate --model {d}/noweights --out {n} --benchmarks bbq --data {d}/folder -> BBQ
evaluate --model {d}/noweights --out {n} --benchmarks bbq --data {d}/none -> none
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/none.jsonl -> none.jsonl
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/cut.jsonl -> cut.jsonl
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/empty.jsonl -> empty.jsonl
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/binary.jsonl -> binary.jsonl
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/folder -> folder
evaluate --model {d}/noweights --out {n} --benchmarks pairs:{d}/yes.jsonl -> yes.jsonl
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/yes.jsonl --limit -5 -> limit
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/yes.jsonl --limit 0 -> limit
evaluate --model {d}/noweights --out {n} --benchmarks items:{d}/yes.jsonl --adapter {d}/none -> weights
evaluate --model {d}/noweights --out {d}/thesis --benchmarks items:{d}/yes.jsonl -> thesis
evaluate --model {d}/noweights --out {d}/words.txt --benchmarks items:{d}/yes.jsonl -> words.txt
evaluate --model {d}/noweights --out {n} --mode nonsense -> Invalid value "nonsense"
compare --before {d}/none --after {d}/norun -> none
compare --before {d}/norun --after {d}/norun -> norun
compare --before {d}/words.txt --after {d}/norun -> words.txt
compare --before {d}/cutrun --after {d}/norun -> cutrun
report --run {d}/none -> none
report --run {d}/norun -> norun
report --run {d}/words.txt -> words.txt
report --run {d}/cutrun -> cutrun
score --benchmark nonsense --predictions {d}/empty.jsonl -> nonsense
score --benchmark bbq --predictions {d}/none.jsonl -> none.jsonl
score --benchmark bbq --predictions {d}/empty.jsonl -> empty.jsonl
score --benchmark bbq --predictions {d}/binary.jsonl -> binary.jsonl
score --benchmark bbq --predictions {d}/cut.jsonl -> cut.jsonl
score --benchmark bbq --predictions {d}/folder -> folder
score --benchmark bbq --predictions {d}/nan.jsonl -> nan.jsonl
score --benchmark bbq --predictions {d}/list.json -> list.json
score --benchmark bbq --predictions {d}/words.txt -> words.txt
score --benchmark bbq --mode nonsense --predictions {d}/nan.jsonl -> nonsense
score --benchmark cbbq --mode open --predictions {d}/nan.jsonl -> Leave --mode open out
score --benchmark bbq --mode open --data {d}/none --predictions {d}/nan.jsonl -> none
score --benchmark bbq --mode open --data {d}/yes.jsonl --predictions {d}/empty.jsonl -> empty.jsonl
score --benchmark bbq --mode open --data {d}/yes.jsonl --predictions {d}/cut.jsonl -> cut.jsonl
score --benchmark bbq --mode open --data {d}/yes.jsonl --predictions {d}/binary.jsonl -> binary.jsonl
score --benchmark bbq --mode open --data {d}/yes.jsonl --predictions {d}/nan.jsonl -> nan.jsonl
score --benchmark cold --predictions {d}/empty.jsonl -> empty.jsonl
score --benchmark stereoset --predictions {d}/list.json -> list.json
score --benchmark crows-pairs --predictions {d}/nan.jsonl -> nan.jsonl
score --benchmark winobias --predictions {d}/cut.jsonl -> cut.jsonl
score --benchmark winogender --predictions {d}/words.txt -> words.txt
score --benchmark cbbq --predictions {d}/folder -> folder
judge-check --judge rule --labels {d}/oneclass.csv -> only texts with the label 1
judge-check --judge rule --labels {d}/none.csv -> no such file
evaluate --model {d}/adapter --out {n} --benchmarks items:{d}/yes.jsonl -> an adapter whose base
evaluate --model {d}/model.gguf --out {n} --benchmarks items:{d}/yes.jsonl -> is a GGUF file
grpo --policy {d}/noweights --prompts {d}/empty.jsonl --reward reward:{d}/none --out {n} -> empty.jsonl
annotate -> annotate needs --run
annotate --run {d}/norun -> holds no judged answers
annotate --before {d}/empty.jsonl --out {n} -> empty.jsonl
annotate --before {d}/cut.jsonl --out {n} -> cut.jsonl
annotate --before {d}/answers.jsonl --n 0 --out {n} -> at least 1
annotate --before {d}/answers.jsonl --after {d}/answers.jsonl --n 1 --out {n} -> 1 answers of 2 models
annotate --out {d}/sheet -> is 'unfair'
""".strip().splitlines()
]


def call(argv):
    from debias_nb.run.commands import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as e:
            code = e.code
    return code, err.getvalue()


@pytest.mark.parametrize(
    "line,says",
    CASES,
    ids=[c[0].replace("{d}/", "").replace("{n}", "new").replace(" --", ",").replace(" ", "=") for c in CASES],
)
def test_bad_input(line, says, bad, monkeypatch):
    monkeypatch.chdir(bad)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.delenv("DEBIAS_NB_DATA", raising=False)
    before = files(bad)
    code, err = call(
        line.format(
            d=bad, n=bad / f"new-{hashlib.sha1(line.encode()).hexdigest()[:8]}", squad=bad / "squad.json"
        ).split()
    )
    said = [line for line in err.splitlines() if line.startswith("debias-nb")]
    assert code == 2, err[-1500:]
    assert len(said) == 1 and says in said[0] and "Traceback" not in err, err[-1500:]
    assert len(said[0]) < 600, said[0]
    after = files(bad)
    assert not {k for k in before if after.get(k) != before[k]}, "a file was changed or lost"
