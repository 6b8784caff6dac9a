"""Models of published shapes with random weights, for measuring speed and memory where no weights can be fetched.

Speed does not depend on what the weights say, but it does on how long texts are: the tokenizers made here read one word
as one token and know as many words as the shape has embeddings, so every answer that a random policy draws is a text
of made-up words, about as long for the reward as a real one.
"""

import re
from itertools import islice, product

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from debias_nb.core.devices import get_device, get_dtype
from debias_nb.core.seeds import set_seed
from debias_nb.grpo.shapes import SHAPES, shape_config
from debias_nb.models.small_policy import CHAT_TEMPLATE, MARKS
from debias_nb.reward.encoder import SPECIAL_TOKENS
from debias_nb.reward.model import RewardModel
from debias_nb.synthesis.instances import HEADS

UNKNOWN = "[UNK]"
PAIR = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
)


def made_words():
    """Endless words of two syllables, then of three."""
    syllables = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
    for count in (2, 3, 4):
        for parts in product(syllables, repeat=count):
            yield "".join(parts)


def word_core(
    texts: list[str],  # whose words are known first
    special: list[str],
    size: int,  # entries
) -> Tokenizer:
    """One word is one token."""
    found = dict.fromkeys(word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text))
    words = dict.fromkeys([*special, *islice(found, size // 2)])
    words.update(dict.fromkeys(islice(made_words(), size)))
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(islice(words, size))}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return core


def policy_tokenizer(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template."""
    core = word_core(texts, [*MARKS, UNKNOWN], size)
    marks = dict(pad_token="<|pad|>", eos_token="<|end|>", unk_token=UNKNOWN)
    out = PreTrainedTokenizerFast(tokenizer_object=core, padding_side="left", **marks)
    out.chat_template = CHAT_TEMPLATE
    return out


def reward_tokenizer(texts: list[str], size: int, segments: bool = True) -> PreTrainedTokenizerFast:
    """A tokenizer that knows pairs."""
    core = word_core(texts, list(SPECIAL_TOKENS.values()), size)
    core.post_processor = PAIR
    names = ["input_ids", "token_type_ids", "attention_mask"] if segments else ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=core, model_input_names=names, **SPECIAL_TOKENS)


def size_of(shape):
    """How many embeddings a shape has."""
    return (SHAPES[shape] if isinstance(shape, str) else shape)["vocab_size"]


def made_policy(
    shape: str | dict,  # a key of `SHAPES`, or the fields of a config
    texts: list[str],
    device="auto",
    dtype: torch.dtype | None = None,  # by default what `get_dtype` chooses
) -> tuple:  # model, tokenizer, as `load_policy` gives them
    """A policy of that shape with random weights."""
    device, tokenizer = get_device(device), policy_tokenizer(texts, size_of(shape))
    ends = dict(pad_token_id=tokenizer.pad_token_id, bos_token_id=None, eos_token_id=tokenizer.eos_token_id)
    set_seed(0)
    with torch.device(device):
        config = shape_config(shape, **ends)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype or get_dtype(device))
    model.merged_adapter = None
    return model.eval(), tokenizer


def made_reward(
    shape: str | dict,  # of an encoder
    texts: list[str],
    device="auto",
    max_length: int = 256,  # tokens
) -> RewardModel:
    """A reward model of that shape with random weights."""
    fields = SHAPES[shape] if isinstance(shape, str) else shape
    tokenizer = reward_tokenizer(texts, fields["vocab_size"], fields["model_type"] != "modernbert")
    ids = dict(pad_token_id=tokenizer.pad_token_id, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2)
    set_seed(0)
    model = AutoModelForSequenceClassification.from_config(shape_config(shape, HEADS, **ids))
    device = get_device(device)
    return RewardModel(model, tokenizer, max_length, str(device), 4096 if device.type == "cpu" else 16384)
