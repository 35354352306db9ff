"""`uip2p data generate`: edits for captions, by a grammar or an LLM. The same command goes on where it was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

WRITERS = ("grammar", "endpoint", "transformers", "gguf", "vllm", "source")
# Options of one writer or another → type, help. A writer that does not have one refuses it.
OPTIONS: dict[str, tuple[Any, str]] = {
    "model": (str, "the LLM: an endpoint's name for it, a folder, a hub id, a .gguf file"),
    "prompts": (str, "which prompts: default, small, tuned, or a folder of your own"),
    "edits": (int, "edits for a caption"),
    "kinds": (str, "grammar: only these, such as color,add,remove"),
    "temperature": (float, "of an LLM"),
    "max_tokens": (int, "longest answer of an LLM"),
    "base_url": (str, "endpoint: where it is, such as http://localhost:8000/v1"),
    "api_key_env": (str, "endpoint: the environment's variable that holds the key"),
    "concurrency": (int, "endpoint: calls at a time"),
    "timeout": (float, "endpoint: seconds for a call"),
    "max_calls": (int, "endpoint: stop at so many calls in all; a higher one goes on"),
    "max_cost": (float, "endpoint: stop at this cost in all"),
    "price_in": (float, "endpoint: a million tokens of prompt"),
    "price_out": (float, "endpoint: a million tokens of answer"),
    "batch_size": (int, "transformers, gguf, vllm: captions at once"),
    "device": (str, "transformers, gguf: cpu, cuda, mps"),
    "dtype": (str, "transformers, gguf: bf16, fp16, fp32; on a CPU fp32 is by far the fastest"),
    "replicas": (int, "vllm: engines, each on its own GPUs"),
    "gpus": (int, "vllm: GPUs of an engine (tensor parallel)"),
    "context": (int, "vllm: tokens of prompt and answer"),
    "chunk": (int, "vllm: captions for which the engines are started once"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", help="captioned pictures: a folder, Parquet, WebDataset shards, a Hugging Face data set's id")
    add("-o", "--out", required=True, type=Path, metavar="OUT", help="then: uip2p train --recipe NAME --data OUT")
    add("--writer", choices=WRITERS, default="grammar", help="who writes (default: grammar, which needs nothing else)")
    add("--mode", choices=("full", "reverse"), default="full", help="reverse: the source has instruction and edited "
        "caption, and only the reverse instruction is written")  # fmt: skip
    add("--seed", type=int, default=0, help="of what the writer draws (default: 0)")
    add("--limit", type=int, default=0, metavar="N", help="only the first N captions")
    add("--columns", nargs="+", default=[], metavar="FIELD=NAME", help="where the source calls a field otherwise: "
        "caption=text image=picture")  # fmt: skip
    add("--layout", help="how the source lies on the disk, where that cannot be seen: "
        "folder, beside, parquet, webdataset, datasets, saved, ip2p, magicbrush")  # fmt: skip
    add("--split", help="of a data set that has several")
    add("--config", help="of a Hugging Face data set that has several")
    add("--streaming", action="store_true", help="tars one after the other; a hub's data set without a copy of it")
    add("--first-seed", action="store_true", help="ip2p: one picture for each prompt")
    add("--descriptions", metavar="FILE", help="MagicBrush's file of captions")
    add("--copy-pictures", action="store_true", help="into OUT, which then needs the source no longer")
    add("--shard-rows", type=int, default=1000, metavar="N", help="captions in a shard (default: 1000)")
    add("--rule", action="append", default=[], metavar="NAME=VALUE", help="what is accepted, such as direction=0.2 or "
        "encoder=FOLDER")  # fmt: skip
    add("--engine", choices=("local", "ray"), default="local", help="ray: a cluster, or actors of this machine")
    add("--workers", type=int, default=1, metavar="N", help="processes, or Ray's actors (default: 1)")
    add("--ray-address", default="", metavar="ADDRESS", help="of a Ray cluster that is there, such as auto")
    group = parser.add_argument_group("options of the writers")
    for name, (kind, text) in OPTIONS.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=kind.__name__.upper(), help=text)


def run(args: argparse.Namespace) -> None:
    from uip2p.instructions.config import Engine
    from uip2p.instructions.generate import generate

    engine = Engine(args.engine, args.workers, args.ray_address)
    counts = generate(read_config(args), args.out.absolute(), engine)
    print(summary(args.out, counts))


def read_config(args: argparse.Namespace) -> Any:
    """The config that the arguments ask for. UserError names the argument."""
    from uip2p.config import apply_overrides, from_dict
    from uip2p.instructions.accept import SOURCE_WROTE, Rules
    from uip2p.instructions.config import Config, SourceConfig, WriterConfig
    from uip2p.instructions.writers import options

    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    if "kinds" in given:
        given["kinds"] = given["kinds"].split(",")
    theirs = args.mode == "reverse" or args.writer == "source"
    rules = apply_overrides({"skip": SOURCE_WROTE if theirs else ()}, args.rule)
    return Config(
        SourceConfig(
            _absolute(args.source), _columns(args.columns), args.layout, args.split, args.config, args.streaming,
            args.first_seed, args.descriptions and _absolute(args.descriptions),
        ),
        WriterConfig(args.writer, options(args.writer, given)),
        args.mode, args.seed, args.limit, args.shard_rows, args.copy_pictures,
        from_dict(Rules, rules, "--rule"),
    )  # fmt: skip


def _absolute(path: str) -> str:
    """A path that other processes, and a later training from elsewhere, find too; an id of a data set as it is."""
    return str(Path(path).absolute()) if Path(path).exists() else path


def _columns(pairs: list[str]) -> dict[str, str]:
    from uip2p.errors import UserError

    for pair in pairs:
        if not all(part for part in pair.partition("=")):
            raise UserError(f"--columns {pair}: write it as FIELD=NAME, such as caption=text.")
    return dict(pair.split("=", 1) for pair in pairs)


def summary(out: Path, counts: Any) -> str:
    share = counts.accepted / max(1, counts.proposed)
    edits = f"{counts.proposed:,} edits proposed, {counts.accepted:,} kept ({share:.1%})"
    lines = [f"{out}: {counts.captions:,} captions, {edits}"]
    if counts.rejected:
        lines.append("rejected: " + ", ".join(f"{name} {count:,}" for name, count in counts.rejected.most_common()))
    if counts.errors:
        lines.append(f"without any edit: {counts.errors:,} captions (their error is in {out}/rejected)")
    if counts.calls:
        lines.append(f"{counts.calls:,} calls, {counts.tokens_in:,} tokens in, {counts.tokens_out:,} out")
    lines.append(f"look: uip2p data report {out}   train: uip2p train --recipe own-words --data {out}")
    return "\n".join(lines)
