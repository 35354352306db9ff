"""Recipes: a TOML file is a run. From its tables to models, data and an objective, ready for the trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL
from torch import nn

from uip2p.config import apply_overrides, check_keys, from_dict, load_toml
from uip2p.errors import UserError
from uip2p.evaluate.rows import identity
from uip2p.learning.autoencode import AutoencodeConfig, AutoencodeObjective
from uip2p.learning.cache import CachedRecords, is_cache
from uip2p.learning.contrast import ContrastConfig, ContrastObjective
from uip2p.learning.cycle import CycleConfig, CycleObjective
from uip2p.learning.data import OwnRecords
from uip2p.learning.datasets import Captioned, DataConfig, Unpaired
from uip2p.learning.denoise import DenoiseConfig, DenoiseObjective
from uip2p.learning.latent_clip import LatentClipConfig, LatentClipObjective
from uip2p.learning.paired import PairedConfig, PairedObjective
from uip2p.learning.trainer import TrainConfig
from uip2p.models import hub
from uip2p.models.clip import ClipConfig, build_clip, build_latent_clip, load_clip
from uip2p.models.folder import Settings, load_autoencoder, load_pipeline, load_tiny_decoder, quiet
from uip2p.models.latent_editor import LatentEditor
from uip2p.models.lora import LoraConfig
from uip2p.models.miniature import (
    AutoencoderConfig,
    TextConfig,
    UnetConfig,
    build_autoencoder,
    build_scheduler,
    build_text_encoder,
    build_unet,
)
from uip2p.models.parts import DTYPES
from uip2p.models.tokenizer import build_tokenizer
from uip2p.models.widen import widen_conv_in
from uip2p.models.words import adopt, frequent_words, teach
from uip2p.scenes.language import vocabulary
from uip2p.scenes.world import World

SPLITS = ("train", "validation")
PACKAGE = Path(__file__).parent.parent
RECIPES = PACKAGE / "recipes"
# Where a stage of the family `mini`, or of `own` that goes on from it, is found if the run's own root has none: what
# ships with the package. Another family (of another size) has its own stages and must never start from these.
SHIPPED = {
    "autoencoder": PACKAGE / "assets/base-mini/vae",
    "clip": PACKAGE / "assets/clip",
    "judge": PACKAGE / "assets/clip-judge",
    "base": PACKAGE / "assets/base-mini",
    "cycle": PACKAGE / "assets/uip2p-mini",
}


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """A text-to-image model from nothing on a trained autoencoder (a stage's name, a folder or a hub id).
    clip: whose text encoder it starts from, as Stable Diffusion does (likewise a reference); "": a new one, of `text`.
    """

    autoencoder: str = "autoencoder"
    clip: str = ""
    prediction_type: str = "v_prediction"
    unet: UnetConfig = field(default_factory=UnetConfig)
    text: TextConfig = field(default_factory=TextConfig)


@dataclass(frozen=True, slots=True)
class LatentEncoderConfig:
    """A loss encoder that reads latents (each a stage's name, a folder or a hub id). autoencoder: whose latents.
    clip: the encoder of pictures that it learns from and starts as."""

    autoencoder: str = "autoencoder"
    clip: str = "clip"


@dataclass(frozen=True, slots=True)
class EditorConfig:
    """What is fine-tuned. base: a stage's name, a folder, a hub id or a single file. clips: the loss encoders; with
    those of objective latent-clip the losses compare latents, and nothing is decoded.
    train_text: the text encoder learns too (the paper keeps it frozen). words: a CLIP that was taught new words from
    the base's own, which the text encoder then reads too (likewise a reference).

    How it fits and how fast it is: lora instead of all weights; frozen: in what the weights that do not learn are kept;
    checkpointing: activations of the UNet and the decoder are computed again in backward; compile: by torch.compile.
    Two change what is learned a little: vae, another autoencoder, and tiny_decoder, a small one that decodes for the
    losses (an AutoencoderTiny)."""

    base: str = "base"
    clips: tuple[str, ...] = ("clip",)
    train_text: bool = False
    words: str = ""
    lora: LoraConfig = field(default_factory=LoraConfig)
    vae: str = ""
    tiny_decoder: str = ""
    frozen: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpointing: bool = False
    compile: bool = False


@dataclass(frozen=True, slots=True)
class WordsConfig:
    """A CLIP that goes on learning, from your own captioned pictures. start: which (a stage's name, a folder or a hub
    id). words: so many of the captions' most frequent words become tokens of their own."""

    start: str
    words: int = 2000


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that `trainer.train` needs."""

    objective: nn.Module
    dataset: Any
    validation: Any
    train: TrainConfig


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def family_and_stage(name: str) -> tuple[str, str]:
    """Of a recipe: "study-base" → ("study", "base"). A file of one's own belongs to the family whose name it begins
    with, else to `mini`, and is a stage by its whole name: "flowers.toml" → ("mini", "flowers")."""
    stem = Path(name).stem
    family, _, stage = stem.partition("-")
    families = {recipe.partition("-")[0] for recipe in recipe_names()}
    return (family, stage) if stage and family in families else ("mini", stem)


def read_recipe(name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a shipped recipe, or of a file ending in .toml, with `table.key=value` overrides in place."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        raise UserError(f"no recipe {name!r}: there are {', '.join(recipe_names())}, or give a file ending in .toml")
    tables = apply_overrides(load_toml(path), overrides)
    check_keys(tables, ("objective", "about", "data", "model", "loss", "faults", "settings", "train"), f"recipe {name}")
    return tables


@dataclass(frozen=True, slots=True)
class Own:
    """The user's own records, and the file that says which of them were passed over."""

    folder: Path
    quarantine: Path | None

    def records(self, data: DataConfig) -> tuple[OwnRecords, OwnRecords | None]:
        """For training, and for validation where any are held out."""
        train, validation = (
            OwnRecords(self.folder, data.size, data.seed, split, data.validation, data.corrupt, self.quarantine)
            for split in SPLITS
        )
        return train, validation or None


def build(
    name: str, tables: dict[str, Any], root: Path, folder: Path | None = None, out: Path | None = None
) -> Run:
    """From a recipe's tables to a run. root: where earlier stages lie. folder: the user's own records, for `cycle` and
    `latent-clip`. out: the run's folder, where its quarantine.jsonl goes."""
    family, _ = family_and_stage(name)
    kinds: dict[str, Callable[..., tuple[nn.Module, Any, Any]]] = {
        "autoencode": _autoencode,
        "contrast": _contrast,
        "latent-clip": _latent_clip,
        "denoise": _denoise,
        "cycle": _cycle,
        "paired": _paired,
    }
    kind = tables.get("objective")
    if kind not in kinds:
        raise UserError(f"recipe {name}: objective must be one of {', '.join(kinds)}, not {kind!r}")

    def read(cls: type, table: str) -> Any:
        return from_dict(cls, tables.get(table, {}), f"recipe {name} [{table}]")

    def look(reference: str) -> str:
        return find(reference, Path(root), family)

    train = read(TrainConfig, "train")
    torch.manual_seed(train.seed)
    own = None if folder is None else Own(folder, None if out is None else out / "quarantine.jsonl")
    objective, dataset, validation = kinds[kind](read, look, own)
    return Run(objective, dataset, validation, train)


def read_cycle(name: str, tables: dict[str, Any]) -> tuple[DataConfig, EditorConfig, CycleConfig, TrainConfig]:
    """The configs of a cycle recipe, before anything is built."""
    kinds = {"data": DataConfig, "model": EditorConfig, "loss": CycleConfig, "train": TrainConfig}
    return tuple(from_dict(cls, tables.get(table, {}), f"recipe {name} [{table}]") for table, cls in kinds.items())  # type: ignore[return-value]


def find(reference: str, root: Path, family: str = "mini") -> str:
    """A stage's name → the model that this root trained, else (family `mini`) the one that ships; a name of `hub.NAMES`
    → its id; a folder or a hub id is left as it is. UserError: a stage of the family that is nowhere yet."""
    trained = root / reference / "model"
    if trained.is_dir():
        return str(trained)
    shipped = SHIPPED.get(reference) if family in ("mini", "own") else None
    if shipped is not None and shipped.is_dir():
        return str(shipped)
    recipe = f"{family}-{reference}"
    if recipe in recipe_names():
        raise UserError(
            f"{trained}: there is no trained {reference} yet; run first: uip2p train --recipe {recipe} --root {root}"
        )
    if reference in SHIPPED:
        raise UserError(f"{trained}: the family {family} has no stage {reference!r}. Give a folder that holds a model.")
    return hub.NAMES.get(reference, reference)


def _autoencode(read: Callable, look: Callable[[str], str], own: Own | None):
    data, config = read(DataConfig, "data"), read(AutoencoderConfig, "model")
    train, validation = Captioned(data, "train"), Captioned(data, "validation")
    pictures = [validation[index]["image"] for index in range(128)]
    return AutoencodeObjective(build_autoencoder(config), read(AutoencodeConfig, "loss"), pictures), train, validation


def _contrast(read: Callable, look: Callable[[str], str], own: Own | None):
    data = read(DataConfig, "data")
    if data.own:
        config, records = read(WordsConfig, "model"), _needed(own).records(data)
        clip = teach(load_clip(look(config.start)), frequent_words(records[0].texts(), config.words))
        return ContrastObjective(clip, read(ContrastConfig, "loss")), *records
    clip = build_clip(read(ClipConfig, "model"), build_tokenizer(vocabulary()))
    train, validation = Captioned(data, "train", negatives=True), Captioned(data, "validation", negatives=True)
    return ContrastObjective(clip, read(ContrastConfig, "loss")), train, validation


def _latent_clip(read: Callable, look: Callable[[str], str], own: Own | None):
    data, config = read(DataConfig, "data"), read(LatentEncoderConfig, "model")
    vae, teacher = load_autoencoder(look(config.autoencoder)), load_clip(look(config.clip))
    side = data.size // 2 ** (len(vae.config.block_out_channels) - 1)
    student = build_latent_clip(teacher, vae.config.latent_channels, side)
    objective = LatentClipObjective(student, teacher, vae, read(LatentClipConfig, "loss"))
    if own is not None:
        return objective, *own.records(data)
    return objective, Captioned(data, "train"), Captioned(data, "validation")


def _denoise(read: Callable, look: Callable[[str], str], own: Own | None):
    data, config = read(DataConfig, "data"), read(BaseConfig, "model")
    vae = AutoencoderKL.from_pretrained(look(config.autoencoder), torch_dtype=torch.float32)
    tokenizer = build_tokenizer(vocabulary())
    side = data.size // 2 ** (len(vae.config.block_out_channels) - 1)
    text = load_clip(look(config.clip)).text_encoder() if config.clip else build_text_encoder(config.text, tokenizer)
    unet = build_unet(config.unet, vae.config.latent_channels, side, text.config.hidden_size)
    editor = LatentEditor(unet, vae, text, tokenizer, build_scheduler(config.prediction_type), train_text=True)
    loss = read(DenoiseConfig, "loss")
    train, validation = (Captioned(data, split, others=loss.repair > 0) for split in ("train", "validation"))
    return DenoiseObjective(editor, loss, _settings(read, data)), train, validation


def _cycle(read: Callable, look: Callable[[str], str], own: Own | None):
    data, config = read(DataConfig, "data"), read(EditorConfig, "model")
    if data.own:
        own = _needed(own)
    if config.frozen != "fp32" and read(TrainConfig, "train").precision == "fp32":
        raise UserError(f'model.frozen = "{config.frozen}" goes with train.precision = "bf16" or "fp16", not "fp32".')
    clips = [load_clip(look(reference)).to(DTYPES[config.frozen]) for reference in config.clips]
    objective = CycleObjective(
        _editor(config, look), clips, read(CycleConfig, "loss"), _settings(read, data, own is None)
    )
    if config.compile:
        for clip in clips:
            clip.model.vision_model.compile()
    if own is not None and is_cache(own.folder):
        made_with = cache_key(config, data, look)
        cached = [CachedRecords(own.folder, made_with, data.seed, split, data.validation) for split in SPLITS]
        return objective, cached[0], cached[1] or None
    if own is not None:
        return objective, *own.records(data)
    return objective, Unpaired(data, "train"), Unpaired(data, "validation")


def _needed(own: Own | None) -> Own:
    if own is None:
        raise UserError("this recipe is for pictures of your own: give their folder with --data DIR.")
    return own


def cache_key(config: EditorConfig, data: DataConfig, look: Callable[[str], str]) -> dict[str, Any]:
    """What a cache depends on: the models whose answers it keeps, by name and weights; the size."""
    vae, clips = identity(look(config.vae)) if config.vae else "", [identity(look(each)) for each in config.clips]
    return {"base": identity(look(config.base)), "vae": vae, "clips": clips, "size": data.size}


def _paired(read: Callable, look: Callable[[str], str], own: Own | None):
    from uip2p.scenes.faults import Faults, Triplets  # what draws targets is imported for the baselines alone

    data, config, faults = read(DataConfig, "data"), read(EditorConfig, "model"), read(Faults, "faults")
    objective = PairedObjective(_editor(config, look), read(PairedConfig, "loss"), _settings(read, data))
    train, validation = (Triplets(World(data.seed, split, data.size), faults) for split in ("train", "validation"))
    return objective, train, validation


def _editor(config: EditorConfig, look: Callable[[str], str]) -> LatentEditor:
    base, vae_name, frozen = look(config.base), look(config.vae) if config.vae else "", DTYPES[config.frozen]
    parts = load_pipeline(base)
    tokenizer = parts.tokenizer
    if config.words:
        tokenizer = adopt(parts.text_encoder, tokenizer, load_clip(look(config.words)))
    with quiet():
        editor = LatentEditor(
            widen_conv_in(parts.unet),
            (load_autoencoder(vae_name) if vae_name else parts.vae).to(frozen),
            parts.text_encoder.to(torch.float32 if config.train_text else frozen),
            tokenizer,
            parts.scheduler,
            train_text=config.train_text,
            text_encoder_2=None if parts.text_encoder_2 is None else parts.text_encoder_2.to(frozen),
            tokenizer_2=parts.tokenizer_2,
            zero_null=parts.zero_null,
            tiny=load_tiny_decoder(look(config.tiny_decoder)).to(frozen) if config.tiny_decoder else None,
            lora=config.lora,
            base=base,
            vae_name=vae_name,
            frozen=frozen,
        )
    if config.checkpointing:
        editor.enable_checkpointing()
    if config.compile:
        editor.compile_parts()
    return editor


def _settings(read: Callable, data: DataConfig, closed: bool = True) -> Settings:
    """uip2p.json. A model that read only the miniature world's words says so, for clear errors about other words."""
    settings = read(Settings, "settings")
    return replace(settings, image_size=data.size, vocabulary=tuple(vocabulary()) if closed else None)
