"""Tiny real language models with tiny real tokenizers, made by the tests that use them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

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


def teach(model: Gemma2ForCausalLM, words: PreTrainedTokenizerFast, pairs: list[tuple[str, str]]) -> float:
    """Until it answers each prompt as shown → the last loss, over the answers alone."""
    rows = [(words(prompt, add_special_tokens=False)["input_ids"], words(answer, add_special_tokens=False)["input_ids"])
            for prompt, answer in pairs]  # fmt: skip
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    pad = words.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(p) - len(a)) + p + a for p, a in rows])
    labels = torch.tensor([[-100] * (longest - len(a)) + a for _, a in rows])
    mask = torch.tensor([[0] * (longest - len(p) - len(a)) + [1] * (len(p) + len(a)) for p, a in rows])
    optimizer = torch.optim.Adam(model.parameters(), 6e-3)
    model.train()
    for _ in range(400):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        if loss < 0.005:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return loss.item()


def save(model: Gemma2ForCausalLM, words: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def llama(words: PreTrainedTokenizerFast, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, initializer_range=0.2, max_position_embeddings=2048, rms_norm_eps=1e-5,
        pad_token_id=words.pad_token_id, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def save_gguf(model: LlamaForCausalLM, words: PreTrainedTokenizerFast, path: Path) -> Path:
    """As llama.cpp's converter writes it: its names, and rows of q and k in its order of rotary pairs."""
    import gguf

    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    state = json.loads(words.backend_tokenizer.to_str())["model"]
    tokens = words.convert_ids_to_tokens(range(len(words)))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in state["merges"]])
    for name, token in (("bos", words.bos_token_id), ("eos", words.eos_token_id), ("pad", words.pad_token_id)):
        getattr(writer, f"add_{name}_token_id")(token)
    writer.add_chat_template(words.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if "q_proj" in name or "k_proj" in name:
            rows, columns = value.shape
            value = value.view(config.num_attention_heads, 2, -1, columns).transpose(1, 2).reshape(rows, columns)
        writer.add_tensor(names.get_name(name, (".weight",)), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
