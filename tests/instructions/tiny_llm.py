"""Tiny real language models with tiny real tokenizers, made by the tests that use them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedTokenizerFast

# Gemma 2's own: turns, no system role.
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
SPECIAL = ["<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]


def tokenizer(corpus: list[str], template: str | None = GEMMA) -> PreTrainedTokenizerFast:
    """Byte-level BPE of a few hundred tokens, in which the corpus is short."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )  # fmt: skip
    bpe.train_from_iterator(corpus, trainer)
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, additional_special_tokens=SPECIAL[3:], **names)
    made.chat_template = template
    return made


def gemma2(words: PreTrainedTokenizerFast, seed: int = 0, window: int = 4096) -> Gemma2ForCausalLM:
    """Gemma 2's class: every second layer looks no further than `window`, logits are soft-capped."""
    torch.manual_seed(seed)
    config = Gemma2Config(
        vocab_size=len(words), hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=24, sliding_window=window, query_pre_attn_scalar=24, initializer_range=0.2,
        max_position_embeddings=2048, pad_token_id=words.pad_token_id, bos_token_id=words.bos_token_id,
        eos_token_id=words.convert_tokens_to_ids("<end_of_turn>"), tie_word_embeddings=False,
    )  # fmt: skip
    return Gemma2ForCausalLM(config).eval()


def teach(model: Gemma2ForCausalLM, words: PreTrainedTokenizerFast, pairs: list[tuple[str, str]], steps: int) -> float:
    """Until it answers each prompt as shown → the last loss, over the answers alone."""
    rows = [(words(prompt, add_special_tokens=False)["input_ids"], words(answer, add_special_tokens=False)["input_ids"])
            for prompt, answer in pairs]  # fmt: skip
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    pad = words.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(p) - len(a)) + p + a for p, a in rows])
    labels = torch.tensor([[-100] * (longest - len(a)) + a for _, a in rows])
    mask = torch.tensor([[0] * (longest - len(p) - len(a)) + [1] * (len(p) + len(a)) for p, a in rows])
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    model.train()
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return loss.item()


def save(model: Gemma2ForCausalLM, words: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
