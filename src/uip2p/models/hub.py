"""Every model that a hub gives us: its id, and the revision that was looked at. Nothing else names a hub id."""

from __future__ import annotations

from pathlib import Path

from uip2p.errors import UserError, first_line

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
INSTRUCT_PIX2PIX = "timbrooks/instruct-pix2pix"
MAGICBRUSH = "vinesmsuic/magicbrush-jul7"  # MagicBrush's own checkpoint is a pickle; this is its port to diffusers
CLIP_L = "openai/clip-vit-large-patch14"
CLIP_B = "openai/clip-vit-base-patch32"
DINO = "facebook/dino-vits16"
TINY_SD = "madebyollin/taesd"
TINY_SDXL = "madebyollin/taesdxl"
SDXL_VAE = "madebyollin/sdxl-vae-fp16-fix"

# What recipes call them.
NAMES = {
    "sd15": SD15,
    "sdxl": SDXL,
    "instruct-pix2pix": INSTRUCT_PIX2PIX,
    "magicbrush": MAGICBRUSH,
    "clip-vit-l": CLIP_L,
    "clip-vit-b": CLIP_B,
    "dino-vits16": DINO,
    "tiny-sd": TINY_SD,
    "tiny-sdxl": TINY_SDXL,
    "sdxl-vae": SDXL_VAE,
}
# A branch may move; a commit says which weights a figure was made with. Ids without one here follow their main branch.
REVISIONS = {
    SD15: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
    SDXL: "462165984030d82259a11f4367a4eed129e94a7b",
    INSTRUCT_PIX2PIX: "31519b5cb02a7fd89b906d88731cd4d6a7bbf88d",
    CLIP_L: "32bd64288804d66eefd0ccbe215aa642df71cc41",
    CLIP_B: "c237dc49a33fc61debc9276459120b7eac67e7ef",  # the hub's conversion to safetensors; main has a pickle only
    SDXL_VAE: "207b116dae70ace3637169f1ddd2434b91b3a8cd",
}

# Of a base, which holds for what is made of it too.
LICENCES = {
    SD15: ("creativeml-openrail-m", "https://huggingface.co/spaces/CompVis/stable-diffusion-license"),
    SDXL: ("openrail++", f"https://huggingface.co/{SDXL}/blob/main/LICENSE.md"),
    INSTRUCT_PIX2PIX: ("mit", f"https://huggingface.co/{INSTRUCT_PIX2PIX}"),
    MAGICBRUSH: ("creativeml-openrail-m", "https://huggingface.co/osunlp/InstructPix2Pix-MagicBrush"),
}


def is_hub_id(name: str) -> bool:
    """owner/name, or owner/name@revision; not something that looks like a path."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(".safetensors")


def public_name(name: str | Path) -> str:
    """As strangers may read it: a hub id whole, of a path the last part."""
    return str(name) if is_hub_id(str(name)) else Path(name).name


def full_name(name: str | Path) -> str:
    """A short name of NAMES → its id; anything else as it is."""
    return NAMES.get(str(name), str(name))


def download(name: str, patterns: list[str], put: str = "give DIR in its place") -> Path:
    """Of a hub id (owner/name, or owner/name@revision) the files of these patterns → the folder that holds them.

    From the cache, where they are there already. put: what to do with the folder DIR of somebody who has to download
    elsewhere. UserError: the hub does not answer, has no such model, or does not give it to everybody.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    revision = revision or REVISIONS.get(repository, "main")
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises from three libraries
        include = " ".join(f"--include '{pattern}'" for pattern in patterns)
        raise UserError(
            f"{name}: there is no such folder here, and {_why(error, repository, revision)}. Or download it elsewhere "
            f"(hf download {repository} --revision {revision} {include} --local-dir DIR) and {put}."
        ) from error


def _why(error: Exception, repository: str, revision: str) -> str:
    """What the hub said, and what to do about it."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):  # is a RepositoryNotFoundError too
        page = f"{constants.ENDPOINT}/{repository}"
        return f"its owner gives it to those who accept the licence: do so on {page}, then log in with hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such model, or it is private: check the name, or log in with hf auth login"
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has no revision '{revision}' of it: give owner/name@revision with one that it has"
    said = first_line(error.__cause__ or error).rstrip(".")
    return f"the hub did not answer ({said}): check the connection and try again"
