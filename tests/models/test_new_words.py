"""New words for the miniature's text encoders: a token each, and nothing that was read before is read otherwise."""

from __future__ import annotations

import pytest
import torch

from uip2p.errors import UserError
from uip2p.learning.recipes import SHIPPED
from uip2p.models.clip import load_clip
from uip2p.models.folder import load_pipeline
from uip2p.models.tokenizer import build_tokenizer, learn_words
from uip2p.models.words import adopt, frequent_words, teach
from uip2p.scenes.language import vocabulary

WORDS = ["motorcycle", "skateboard", "denim", "frisbee", "a", "tourist", "snowboarder", "hydrant"]


def test_each_new_word_is_one_token_and_old_ones_keep_their_ids():
    old = build_tokenizer(vocabulary())
    new = learn_words(old, WORDS)
    assert all(len(new.tokenize(word)) == 1 for word in WORDS)
    assert len(old.tokenize("motorcycle")) > 1
    for word in vocabulary():
        assert new(word).input_ids == old(word).input_ids
    assert new("a zebra").input_ids == old("a zebra").input_ids, "still spelled"


def test_the_most_frequent_words():
    assert frequent_words(["A dog, a cat!", "the dog's dog"], 3) == ["dog", "a", "cat"]


def test_a_taught_clip_says_the_same_of_old_texts():
    before, clip = load_clip(SHIPPED["clip"]), teach(load_clip(SHIPPED["clip"]), WORDS)
    texts = ["a red car on a street", "a dog to the left of a tree"]
    assert torch.equal(clip.embed_texts(texts), before.embed_texts(texts))
    assert not torch.equal(clip.embed_texts(["a motorcycle"]), before.embed_texts(["a motorcycle"]))
    assert all(parameter.requires_grad for parameter in clip.parameters())


def test_an_editor_adopts_them_and_both_survive_the_disk(tmp_path):
    clip, parts = teach(load_clip(SHIPPED["clip"]), WORDS), load_pipeline("mini")
    clip.save(tmp_path)
    saved = load_clip(tmp_path)
    kept = clip.state_dict()  # to the bit; what a CPU makes of them hangs on where in memory they lie
    assert all(torch.equal(tensor, kept[name]) for name, tensor in saved.state_dict().items())
    torch.testing.assert_close(saved.embed_texts(["a motorcycle"]), clip.embed_texts(["a motorcycle"]))
    ids = torch.tensor([parts.tokenizer("make the car blue").input_ids])
    before = parts.text_encoder(ids)[0]
    tokenizer = adopt(parts.text_encoder, parts.tokenizer, saved)
    assert len(tokenizer.tokenize("motorcycle")) == 1
    assert parts.text_encoder.config.vocab_size == len(tokenizer)
    assert torch.equal(parts.text_encoder(ids)[0], before)
    token = tokenizer.convert_tokens_to_ids("motorcycle</w>")
    table = saved.model.text_model.embeddings.token_embedding.weight
    assert torch.equal(parts.text_encoder.get_input_embeddings().weight[token], table[token])


def test_words_of_another_tokenizer_are_refused():
    clip, parts = load_clip(SHIPPED["clip"]), load_pipeline("mini")
    clip.tokenizer = build_tokenizer(WORDS)
    with pytest.raises(UserError, match="did not learn its words from this base's"):
        adopt(parts.text_encoder, parts.tokenizer, clip)
