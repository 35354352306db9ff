"""The paper's tables and plots: what each takes to be made again. Counts are the protocols' and the recipes' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uip2p.evaluate.suites import ip2p, magicbrush, steps
from uip2p.learning.recipes import read_recipe
from uip2p.models import hub

CHAINED = magicbrush.TURNS - magicbrush.SESSIONS  # turns after the first: in multi-turn each is made once more
CURVE = ip2p.SAMPLES * len(ip2p.SCALES)  # edits of one model's curve
CURVES = len(ip2p.DIGITISED)
STEPS = 100  # of the edit that is timed, as of the protocols


@dataclass(frozen=True)
class Download:
    """gigabytes: None where nobody says. note: how the size is known, or what else has to be known."""

    where: str
    licence: str
    gigabytes: float | None
    note: str = ""


def fp32(millions: float) -> float:
    """Parameters → gigabytes."""
    return millions * 4 / 1000


OPENRAIL = "CreativeML OpenRAIL-M"
EDITOR = fp32(859.5 + 83.7 + 123.1)  # UNet, autoencoder, text encoder
DOWNLOADS = {
    "SD 1.5": Download(hub.SD15, OPENRAIL, EDITOR, "UNet, autoencoder, text encoder"),
    "CLIP ViT-L/14": Download(hub.CLIP_L, "MIT", fp32(427.6), "the losses; the axes of the curve"),
    "CLIP ViT-B/32": Download(hub.CLIP_B, "MIT", fp32(151.3), "CLIP-I, CLIP-T"),
    "DINO ViT-S/16": Download(hub.DINO, "Apache-2.0", fp32(21.7), "DINO"),
    "TAESD": Download(hub.TINY_SD, "MIT", fp32(2.4), "the lean way only"),
    "InstructPix2Pix": Download(hub.INSTRUCT_PIX2PIX, f"MIT; its base: {OPENRAIL}", EDITOR),
    "MagicBrush model": Download(hub.MAGICBRUSH, f"as its base: {OPENRAIL}", EDITOR),
    "HIVE, MGIE, SmartEdit": Download(
        "each one’s own repository", "each its own: read it first", None, "their outputs enter as `folder:DIR`",
    ),
    "CC3M": Download(
        "ai.google.com/research/ConceptualCaptions, then img2dataset at 256 px",
        "captions: for any purpose; pictures: their owners’", 90,
        "estimated: as many bytes a picture as CC12M; many addresses are dead by now",
    ),
    "CC12M": Download(
        "github.com/google-research-datasets/conceptual-12m, then img2dataset at 256 px", "as CC3M", 331,
        "as img2dataset’s example measured it; many addresses are dead by now",
    ),
    "IP2P": Download(
        "instruct-pix2pix.eecs.berkeley.edu, clip-filtered-dataset", "see LICENSE of timothybrooks/instruct-pix2pix",
        436, "training opens the pictures before the edit only; the curve takes its test split",
    ),
    "MagicBrush test": Download(
        "a zip; link and password in github.com/OSU-NLP-Group/MagicBrush",
        "CC-BY-4.0; not to be redistributed unzipped", 1.8, "estimated: as many bytes an edit as its training set",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """So many pictures at the speed of that name."""

    pictures: float
    speed: str


@dataclass(frozen=True)
class Result:
    """A table or a plot of the paper. work: what runs on a GPU, named."""

    name: str
    needs: Sequence[str]
    commands: Sequence[str]
    work: dict[str, Work]


# The paper's results

def training(recipe: str) -> Work:
    """Pictures that a recipe sees, as its file says."""
    train = read_recipe(recipe)["train"]
    return Work(train["steps"] * train["batch_size"], "train, exact")


JUDGES = ("CLIP ViT-B/32", "DINO ViT-S/16", "MagicBrush test")
LEARNT = ("SD 1.5", "CLIP ViT-L/14")
MAGIC = "uip2p evaluate --suite magicbrush --data MAGICBRUSH"
ON_MAGIC = "--on magicbrush --data MAGICBRUSH"
BOTH = magicbrush.TURNS + CHAINED
RECIPES = (("IP2P captions", "sd15-ip2p", "IP2P"), ("CC3M", "sd15-cc3m", "CC3M"), ("CC12M", "sd15-cc12m", "CC12M"))


def trained(captions: str, recipe: str, data: str) -> Result:
    """One of the paper's own rows, from nothing."""
    return Result(
        f"MagicBrush, single- and multi-turn: UIP2P, {captions}", (*LEARNT, data, *JUDGES),
        (f"uip2p data generate {data}{' --mode reverse' * (data == 'IP2P')} -o {data}-EDITS",
         f"uip2p train --recipe {recipe} --data {data}-EDITS --out {data}-RUN",
         f'{MAGIC} --model "UIP2P, {captions}={data}-RUN/model" --out OUT'),
        {"train": training(recipe), "edit": Work(BOTH, "edit")},
    )  # fmt: skip


def results() -> list[Result]:
    loss = "uip2p train --recipe sd15-cc12m --data CC12M-EDITS --set loss.attention=0"
    in_steps = sum(steps.STEPS) / STEPS  # in edits of as many steps as are timed
    return [
        *(trained(*each) for each in RECIPES),
        Result(
            "MagicBrush, single- and multi-turn: InstructPix2Pix", ("InstructPix2Pix", *JUDGES),
            (f"{MAGIC} --model InstructPix2Pix=instruct-pix2pix --out OUT",), {"edit": Work(BOTH, "edit")},
        ),
        Result(
            "MagicBrush, single- and multi-turn: HIVE", ("HIVE, MGIE, SmartEdit", *JUDGES),
            (f"{MAGIC} --model HIVE=folder:DIR --out OUT",), {},
        ),
        Result(
            f"InstructPix2Pix’s curve, {CURVES} models", ("CLIP ViT-L/14", "IP2P", "InstructPix2Pix"),
            ("uip2p evaluate --suite ip2p --data IP2P --model instruct-pix2pix --model IP2P=IP2P-RUN/model "
             "--model CC3M=CC3M-RUN/model --model CC12M=CC12M-RUN/model --out OUT",),
            {"edit": Work(CURVES * CURVE, "edit")},
        ),
        Result(
            "Loss ablation: base, + L_sim (+ L_attn is the row CC12M)", (*LEARNT, "CC12M", *JUDGES),
            (f"{loss} --set loss.similarity=0 --out BASE", f"{loss} --out SIM",
             f"uip2p evaluate --suite ablation {ON_MAGIC} --model base=BASE/model --model +sim=SIM/model "
             "--model +attn=CC12M-RUN/model --out OUT"),
            {"train": Work(2 * training("sd15-cc12m").pictures, "train, exact"), "edit": Work(3 * BOTH, "edit")},
        ),
        Result(
            f"Step ablation: {', '.join(map(str, steps.STEPS))} steps", JUDGES,
            (f"uip2p evaluate --suite steps {ON_MAGIC} --model CC12M=CC12M-RUN/model --out OUT",),
            {"edit": Work(in_steps * BOTH, "edit")},
        ),
        Result(
            "User study: 15 edits, 6 methods, 52 people",
            ("InstructPix2Pix", "MagicBrush model", "HIVE, MGIE, SmartEdit", "MagicBrush test"),
            (f"{MAGIC} --model UIP2P=CC12M-RUN/model --model IP2P=instruct-pix2pix --model MagicBrush=magicbrush "
             "--model HIVE=folder:DIR --model MGIE=folder:DIR --model SmartEdit=folder:DIR --out OUT",
             "uip2p study create --run OUT --count 15 --out STUDY", "uip2p study serve STUDY",
             "uip2p study report STUDY"),
            {"edit": Work(3 * BOTH, "edit")},
        ),
    ]  # fmt: skip
