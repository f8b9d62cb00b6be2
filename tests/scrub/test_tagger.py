"""The adapter with a small random BERT whose output layer is set by hand, so that it tags what we say."""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForTokenClassification, PreTrainedTokenizerFast

from speechpriv.errors import ConfigError
from speechpriv.scrub.detect import find
from speechpriv.scrub.tagger import Tagger
from speechpriv.scrub.terms import find_custom
from speechpriv.sections import ScrubConfig

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "zorb", "lax", "quux", "the", "ran", "to", "call", "anna"]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "B-MISC"]
TAGGED = {"zorb": "B-PER", "lax": "I-PER", "quux": "B-LOC", "ran": "B-MISC"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A directory; each word's embedding is a direction of its own, and the output layer reads it back."""
    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("tagger")
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=300,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    bert = BertForTokenClassification(config)
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    with torch.no_grad():
        for parameter in bert.bert.encoder.parameters():
            parameter.zero_()  # with the norms at 0, the encoder would say nothing
        for name, parameter in bert.bert.encoder.named_parameters():
            if "LayerNorm.weight" in name:
                parameter.fill_(1.0)
        bert.bert.embeddings.position_embeddings.weight.zero_()
        bert.bert.embeddings.token_type_embeddings.weight.zero_()
        bert.bert.embeddings.word_embeddings.weight.copy_(10 * torch.eye(len(WORDS), 16))
        bert.classifier.weight.zero_()
        bert.classifier.bias.zero_()
        bert.classifier.bias[0] = 0.5
        for word, label in TAGGED.items():
            bert.classifier.weight[LABELS.index(label), WORDS.index(word)] = 1.0
    bert.save_pretrained(directory)
    fast.save_pretrained(directory)
    return str(directory)


def settings(model, **more):
    return find_custom(ScrubConfig(tagger=model, **more))


def test_its_labels_become_kinds_and_neighbours_one_finding(model):
    text = "the zorb lax ran to quux"
    found = find(text, "default", settings(model))
    assert [(text[f.start : f.end], f.kind, f.rule) for f in found] == [
        ("zorb lax", "NAME", "tagger"),
        ("quux", "CITY", "tagger"),
    ]
    assert find(text) == []


def test_a_rule_names_what_both_find_and_the_user_may_rename(model):
    text = "call anna zorb ran"
    found = find(text, "default", settings(model, tagger_kinds={"MISC": "SPORT"}))
    assert [(text[f.start : f.end], f.kind) for f in found] == [("anna", "NAME"), ("ran", "SPORT")]


def test_a_kept_word_is_kept_from_the_model_too(model):
    assert find("the zorb ran", "default", settings(model, keep=["zorb"])) == []


def test_a_text_longer_than_a_pass_is_read_to_its_end(model):
    text = "the ran " * 400 + "zorb"
    (finding,) = find(text, "default", settings(model))
    assert text[finding.start : finding.end] == "zorb"


def test_labels_that_nobody_knows_are_an_error(model):
    with pytest.raises(ConfigError, match=r"scrub.tagger.*LOC, MISC, O, PER.*knows only CHEESE"):
        Tagger.load(model, {"CHEESE": "NAME"})


def test_a_model_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read as a token-classification model"):
        Tagger.load(str(tmp_path), {"PER": "NAME"})
