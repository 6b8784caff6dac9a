"""Doors under random input: whatever comes, a value or one of our own errors, and no message longer than a screen.

`DEBIAS_NB_FUZZ=40` runs forty times as many examples, each time other ones; without it the same few run each time.
"""

import json
import os
from contextlib import suppress
from dataclasses import fields, is_dataclass
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("DEBIAS_NB_FUZZ", 1))

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["", " ", "0", "17.0", "١", "nan", "1e400", "9" * 400, "\ud800", "\0", -1, 2**64, "a\nb", "../x"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
texts = st.text(max_size=60) | st.text(alphabet="{}[]\"',:\\ud8eE019Na.-+&*!|>%@`# \n\t", max_size=60)


def fuzz(examples):
    """How often; the same examples in every run of the suite."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        database=None,
        derandomize=TIMES == 1,
        suppress_health_check=list(HealthCheck),
    )


def ours(call, *arguments, **keywords):
    """Call; only our own errors may come, short and without a traceback in them."""
    from debias_nb.core.errors import DebiasError

    try:
        call(*arguments, **keywords)
    except DebiasError as error:
        assert len(str(error)) < 2000, str(error)[:300]


@st.composite
def changed(draw, row):
    """A row with one field taken out, or replaced by anything, perhaps inside."""
    row = json.loads(json.dumps(row))
    place = row
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not (isinstance(inner, (dict, list)) and inner and draw(st.booleans())):
            break
        place = inner
    if draw(st.integers(0, 4)) == 0:
        del place[key]
    else:
        place[key] = draw(values)
    return row


ITEM = dict(
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
    target_loc=0,
    answer_info=dict(ans0=["man", "M"], ans1=["woman", "F"], ans2=["unknown", "unknown"]),
)
WORDS = dict(context="Two people met.", question="Who was late?", choices=["A", "B", "Not known"], answer="Not known")
PAIR = dict(sent_more="Hats are lost.", sent_less="Caps are lost.", category="hats")
PREDICTION = dict(category="Toy", example_id=1, prediction="The man")


def rows_in(folder, rows, name="rows.jsonl"):
    file = folder / name
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "kind,row", [("items", ITEM), ("items", WORDS), ("pairs", PAIR)], ids=["bbq", "words", "pairs"]
)
def test_own_items(kind, row, tmp_path):
    from debias_nb.analysis.benchmarks.task import get_task

    @fuzz(60)
    @given(changed(row))
    def any_row(bad):
        ours(get_task(f"{kind}:{rows_in(tmp_path, [row, bad])}").load, log=lambda line: None)

    any_row()


@pytest.mark.parametrize("mode", ["choice", "open"])
def test_predictions(mode, tmp_path):
    from debias_nb.analysis.benchmarks.predictions import score_predictions
    from debias_nb.analysis.open_ended import score_open

    items = rows_in(tmp_path, [ITEM], "items.jsonl")
    quiet = dict(log=lambda line: None)

    @fuzz(60)
    @given(changed(PREDICTION))
    def any_row(bad):
        file = rows_in(tmp_path, [bad])
        if mode == "open":
            ours(score_open, file, items, resamples=2, **quiet)
        else:
            ours(score_predictions, f"items:{items}", file, **quiet)

    any_row()


def test_instances():
    from debias_nb.synthesis.dataset_files import to_row
    from debias_nb.synthesis.generator import GrammarGenerator
    from debias_nb.synthesis.instances import BilingualInstance, Instance, instance_of

    row = json.loads(json.dumps(to_row(GrammarGenerator().instance("train", 0))))

    @fuzz(150)
    @given(changed(row), st.sampled_from([Instance, BilingualInstance]))
    def any_row(bad, kind):
        ours(instance_of, bad, "train.jsonl", 1, kind)

    any_row()


def test_traces(tmp_path):
    from debias_nb.regift.filters import filter_traces, read_traces

    row = dict(prompt="Who?", reasoning="It is red.", answer="red", gold="red", answers=["red"], id="1", flaw=None)

    @fuzz(60)
    @given(changed(row))
    def any_row(bad):
        ours(lambda: filter_traces(read_traces(rows_in(tmp_path, [bad]))))

    any_row()


def names_of(config, prefix=""):
    """Every setting, dotted."""
    for field in fields(config):
        value = getattr(config, field.name)
        yield prefix + field.name
        if is_dataclass(value):
            yield from names_of(value, f"{prefix}{field.name}.")


def test_settings():
    from debias_nb.core.settings import change_settings, require_sensible
    from debias_nb.run.presets import PRESETS

    config = PRESETS["smoke"]

    @fuzz(90)
    @given(st.sampled_from(list(names_of(config))), texts | scalars.map(str))
    def any_value(name, value):
        ours(lambda: require_sensible(change_settings(config, changes=[f"{name}={value}"])))

    any_value()


def test_addresses():
    from debias_nb.models.endpoint import require_address, require_key

    hosts = st.sampled_from(
        ["http://", "https://", "ftp://", "http://[::1", "http://a:99999", "http://a:b@c", "//", ""]
    )

    @fuzz(200)
    @given(hosts, st.text(max_size=30))
    def any_address(start, rest):
        ours(require_address, start + rest)
        ours(require_key, rest)

    any_address()


def as_object(value):
    """JSON as the `openai` package gives it: attributes instead of keys."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: as_object(inner) for name, inner in value.items()})
    return [as_object(inner) for inner in value] if isinstance(value, list) else value


REPLY = dict(
    choices=[dict(message=dict(content="It varies.", reasoning=None), finish_reason="stop")],
    usage=dict(prompt_tokens=3, completion_tokens=4),
)


def test_replies_of_an_endpoint():
    from debias_nb.models.endpoint import read_completion, split_parts

    @fuzz(200)
    @given(changed(REPLY))
    def any_reply(reply):
        with suppress(ValueError):  # what the client counts as no completion
            found = read_completion(as_object(reply), [dict(role="user", content="Who?")])
            assert isinstance(found["text"], str) and isinstance(found["completion_tokens"], int)

    @fuzz(200)
    @given(values)
    def any_content(content):
        assert all(isinstance(part, str) for part in split_parts(content))

    any_reply()
    any_content()


def test_own_groups():
    from debias_nb.synthesis.own_taxonomy import EXAMPLE, own_taxonomy

    lines = EXAMPLE.splitlines()

    @fuzz(40)
    @given(st.integers(0, len(lines) - 1), texts, st.sampled_from(["instead", "behind", "cut"]))
    def any_line(k, text, how):
        new = dict(instead=text, behind=lines[k] + text, cut="")[how]
        whole = "\n".join([*lines[:k], new, *([] if how == "cut" else lines[k + 1 :])]) + "\n"
        ours(own_taxonomy, whole)

    any_line()


def test_model_folders(tmp_path):
    from debias_nb.models.loading import load_policy
    from debias_nb.models.toy import toy_model, toy_tokenizer

    good = tmp_path / "good"
    toy_model().save_pretrained(good)
    toy_tokenizer().save_pretrained(good)
    files = {file.name: file.read_bytes() for file in good.iterdir()}
    config = json.loads(files["config.json"])
    bad = tmp_path / "bad"
    bad.mkdir()

    @fuzz(25)
    @given(st.sampled_from(sorted(files)), st.data())
    def any_damage(name, data):
        raw = files[name]
        if name == "config.json":
            raw = json.dumps(data.draw(changed(config))).encode()
        else:
            at = data.draw(st.integers(0, min(len(raw) - 1, 2000)))
            raw = raw[:at] + data.draw(st.binary(max_size=4)) + raw[at + data.draw(st.sampled_from([0, 1, 4, 10**9])) :]
        for other, content in files.items():
            (bad / other).write_bytes(raw if other == name else content)
        ours(load_policy, bad, device="cpu", log=lambda line: None)

    any_damage()


def test_written_texts():
    from debias_nb.analysis.open_ended import read_open
    from debias_nb.models.structured import find_json
    from debias_nb.models.written_answers import opens_thinking, parse_response, without_thinking

    pieces = [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "the man",
        " ",
        "{",
        "}",
        '"',
        "[THINK]",
        "<|channel|>",
        ".",
    ]
    pieces += ["final<|message|>", "analysis", "A", "\ud800", "不知道", "'s", ":", "1"]

    @fuzz(150)
    @given(st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=12).map("".join))
    def any_text(text):
        for tags in ("auto", "required", "marked"):
            read_open(text, ITEM, tags)
        parse_response(text)
        without_thinking(text)
        opens_thinking(text)
        with suppress(ValueError):
            find_json(text)

    any_text()
