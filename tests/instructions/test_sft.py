"""The set that an LLM is fine-tuned on, and one real step of TRL on it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import pytest
import tiny_llm
import torch
from endpoints import captions, recolor

from uip2p.cli import main
from uip2p.errors import UserError
from uip2p.instructions.answers import parse
from uip2p.instructions.sft import export
from uip2p.instructions.shards import Counts, place, write_counts, write_rows
from uip2p.records import Caption

pytest.importorskip("pyarrow")


@pytest.fixture
def out(tmp_path) -> Path:
    """A run's folder: 60 captions of 30 pictures in two shards, two edits each; none of the last one was accepted."""
    about = {"writer": "endpoint", "model": "m", "prompt": "p", "seed": 0}
    texts = captions(60)
    for number in (0, 1):
        rows = [
            {"row": row, "id": f"{row // 2}.jpg#{row % 2}", "image_id": f"{row // 2}.jpg", "caption": texts[row],
             **about, **recolor(texts[row], which)}
            for row in range(30 * number, 30 * number + 30) for which in (1, 2) if row < 59
        ]  # fmt: skip
        write_rows(place(tmp_path / "out", "edits", number), iter(rows))
        write_counts(tmp_path / "out", number, Counts())
    return tmp_path / "out"


def conversations(file: Path) -> list[list[dict[str, str]]]:
    return [json.loads(line)["messages"] for line in file.read_text().splitlines()]


def asked(messages: list[dict[str, str]]) -> dict:
    return json.loads(messages[-2]["content"])


@pytest.mark.parametrize("mode", ["full", "reverse"])
def test_what_was_accepted_is_what_is_taught(out, tmp_path, mode):
    done = export(out, tmp_path / "sft.jsonl", mode, validation=0.2)
    train, held = (conversations(file) for file in done.files)
    assert (len(train), len(held), done.edits) == (done.conversations, done.validation, 118)
    assert len(train) + len(held) == (59 if mode == "full" else 118)
    taught = defaultdict(list)
    for messages in train + held:
        assert [part["role"] for part in messages] == ["user", "assistant"]
        question = asked(messages)
        fields = {name: value for name, value in question.items() if name != "edits"}
        edits = parse(messages[-1]["content"], mode, Caption("", "", **fields), 4)
        assert len(edits) == question.get("edits", 1)
        taught[question["caption"]] += [edit.reverse_instruction for edit in edits]
    assert taught == {text: [recolor(text, n)["reverse_instruction"] for n in (1, 2)] for text in captions(59)}


def test_a_picture_is_in_one_file_with_all_its_captions(out, tmp_path):
    done = export(out, tmp_path / "a.jsonl", validation=0.3)
    of = {text: row // 2 for row, text in enumerate(captions(60))}
    train, held = ({of[asked(messages)["caption"]] for messages in conversations(file)} for file in done.files)
    assert train and held and not train & held and train | held == set(range(30))
    again = export(out, tmp_path / "b.jsonl", validation=0.3)
    assert [file.read_bytes() for file in again.files] == [file.read_bytes() for file in done.files]
    other = export(out, tmp_path / "c.jsonl", validation=0.3, seed=1)
    assert other.files[1].read_bytes() != done.files[1].read_bytes()


def test_prompts_with_rules_bring_them_along(out, tmp_path):
    done = export(out, tmp_path / "a.jsonl", prompts="small")
    assert {part["role"] for part in conversations(done.files[0])[0]} == {"system", "user", "assistant"}


def test_nothing_to_export(out, tmp_path):
    with pytest.raises(UserError, match="no shard is finished"):
        export(tmp_path, tmp_path / "a.jsonl")
    with pytest.raises(UserError, match="validation"):
        export(out, tmp_path / "a.jsonl", validation=1.0)
    with pytest.raises(UserError, match="cannot be read"):
        export(out, tmp_path / "a.jsonl", prompts="none")
    for number in (0, 1):
        write_rows(place(out, "edits", number), iter([]))
    with pytest.raises(UserError, match="no accepted edit"):
        export(out, tmp_path / "a.jsonl")
    assert not (tmp_path / "a.jsonl").exists()


def test_as_a_command(out, tmp_path, capsys):
    assert main(["data", "sft", str(out), "-o", str(tmp_path / "a.jsonl"), "--validation", "0.2"]) == 0
    assert "118 edits in all" in capsys.readouterr().out
    done = export(out, tmp_path / "b.jsonl", validation=0.2)
    assert (tmp_path / "a.jsonl").read_bytes() == done.files[0].read_bytes()
    assert main(["data", "sft", str(tmp_path), "-o", str(tmp_path / "c.jsonl")]) == 2
    assert "no shard is finished" in capsys.readouterr().err


def test_a_step_of_trl(out, tmp_path):
    """On a Gemma 2 with Gemma's own template, which takes no system role."""
    datasets, trl = pytest.importorskip("datasets"), pytest.importorskip("trl")
    done = export(out, tmp_path / "sft.jsonl", validation=0.2)
    files = dict(zip(("train", "validation"), map(str, done.files), strict=True))
    sets = datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    words = tiny_llm.tokenizer([part["content"] for row in sets["train"] for part in row["messages"]])
    model = tiny_llm.gemma2(words)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = trl.SFTConfig(
        output_dir=str(tmp_path / "run"), max_steps=1, per_device_train_batch_size=4, learning_rate=1e-3, report_to=[],
        use_cpu=True, bf16=False, logging_steps=1, save_strategy="no", max_length=512, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=model, args=options, train_dataset=sets["train"], eval_dataset=sets["validation"], processing_class=words
    )
    trained = trainer.train()
    assert math.isfinite(trained.training_loss) and trained.training_loss > 0
    assert math.isfinite(trainer.evaluate()["eval_loss"])
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert len(changed) > len(before) / 2
