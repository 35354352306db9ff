"""`uip2p push`: what goes to the hub, what does not, and that it arrives."""

import shutil
import socket
from pathlib import Path

import pytest
from hub_server import Hub
from huggingface_hub import ModelCard

from uip2p.cli import main
from uip2p.models.publish import inspect

CARD = """---
license: apache-2.0
base_model: owner/base
library_name: diffusers
pipeline_tag: image-to-image
tags: [uip2p]
---
# An editor
"""
TOKEN = "hf_" + "x" * 30


@pytest.fixture
def model(tiny_copy) -> Path:
    (tiny_copy / "README.md").write_text(CARD)
    return tiny_copy


def push(*arguments) -> int:
    return main(["push", *map(str, arguments)])


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a dry run asks no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def hub(monkeypatch):
    """A hub that huggingface_hub takes for its own, and somebody who is logged in there. Weights go by Git LFS: Xet,
    which the hub prefers, has a store of its own that no few lines stand in for."""
    server = Hub(TOKEN)
    for name, value in (("ENDPOINT", server.address), ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True)):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- what is sent --------------------------------------------------------------------------------


def test_a_dry_run_says_all_and_sends_nothing(model, no_network, capsys):
    assert push(model, "me/editor", "--private", "--dry-run") == 0
    said = capsys.readouterr().out
    for name, size in inspect(model).files:
        assert name in said and (f"{size:,} bytes" in said or f"{size / 1e6:,.1f} MB" in said)
    assert "→ me/editor (private): 12 files" in said and "license: apache-2.0" in said and "tags: uip2p" in said
    assert said.rstrip().endswith("the same command without --dry-run sends it.")


def test_the_hub_has_what_the_folder_has(model, hub, capsys):
    assert push(model, "me/editor", "--message", "First") == 0
    there = hub.repositories["me/editor"]
    sent = {name: file for name, file in there["files"].items() if name != ".gitattributes"}
    assert sent == content(model) and there["messages"] == ["First"] and not there["private"]
    assert capsys.readouterr().out.rstrip().endswith("/me/editor/commit/1")
    (model / "README.md").write_text(CARD + "More.\n")
    assert push(model, "me/editor") == 0, "again, where it is there already"
    assert there["files"]["README.md"].endswith(b"More.\n") and len(there["messages"]) == 2


def test_private_is_private_or_refused(model, hub, capsys):
    assert push(model, "me/secret", "--private") == 0 and hub.repositories["me/secret"]["private"]
    hub.repositories["me/open"] = {"private": False, "files": {}, "messages": []}
    assert push(model, "me/open", "--private") == 2
    assert "is there already, and public" in capsys.readouterr().err and not hub.repositories["me/open"]["files"]


def test_without_a_login_it_says_what_to_do(model, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "y" * 30)
    assert push(model, "me/editor") == 2
    assert "log in with `hf auth login`" in capsys.readouterr().err and not hub.repositories


# ---- what is not ---------------------------------------------------------------------------------


def write(model, name, text):
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text(text)


REFUSED = {
    "no card": (lambda m: (m / "README.md").unlink(), "README.md: is missing"),
    "no licence": (lambda m: write(m, "README.md", CARD.replace("license: apache-2.0\n", "")), "names no licence"),
    "licence other": (lambda m: write(m, "README.md", CARD.replace("apache-2.0", "other")), "the licence is 'other'"),
    "broken head": (lambda m: write(m, "README.md", "---\na: [\n---\n"), "its head is not what the hub reads"),
    "pickle": (lambda m: write(m, "unet/weights.bin", "x"), "unet/weights.bin: a pickle"),
    "optimizer": (lambda m: write(m, "optimizer.safetensors", "x"), "the state of a training run"),
    "checkpoint": (lambda m: write(m, "checkpoints/a.json", "{}"), "checkpoints/a.json: the state of a training run"),
    "notes": (lambda m: write(m, "notes.txt", "x"), "notes.txt: is no part of a model"),
    "code": (lambda m: write(m, "unet/run.py", "x"), "unet/run.py: is no part of a model"),
    "hidden": (lambda m: write(m, ".env", "x"), ".env: is no part of a model"),
    "link": (lambda m: (m / "LICENSE").symlink_to(m / "README.md"), "LICENSE: a link"),
    "token": (lambda m: write(m, "README.md", f"{CARD}\n{TOKEN}"), "README.md: line 10 has an access token"),
    "key": (lambda m: write(m, "README.md", f"{CARD}\nsk-proj-{'a' * 30}"), "has a key of an API"),
    "path": (lambda m: write(m, "README.md", f"{CARD}\n`--data /home/ann/photos`"), "has a path of this machine"),
    "path in a config": (
        lambda m: write(m, "vae/config.json", '{"_name_or_path": "C:\\\\Users\\\\ann\\\\vae"}'),
        "vae/config.json: line 1 has a path of this machine",
    ),
    "not readable": (lambda m: write(m, "unet/more.safetensors", "x"), "cannot be read as safetensors"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_should_not_be_there_is_refused(model, no_network, capsys, change):
    break_it, message = REFUSED[change]
    break_it(model)
    for more in ([], ["--dry-run"]):
        assert push(model, "me/editor", *more) == 2
        said = capsys.readouterr().err
        assert "not sent:" in said and message in said
        assert TOKEN not in said, "the secret itself is not printed"


def test_a_secret_in_the_head_of_the_weights_is_found(model):
    from safetensors.torch import load_file, save_file

    file = model / "vae/diffusion_pytorch_model.safetensors"
    save_file(load_file(file), file, {"format": "pt", "from": "/mnt/disk/run7"})
    assert "vae/diffusion_pytorch_model.safetensors: line" in inspect(model).problems[0]


def test_what_nobody_could_edit_with_is_refused(model, no_network, capsys):
    (model / "unet/diffusion_pytorch_model.safetensors").unlink()
    assert push(model, "me/editor") == 2 and "unet" in capsys.readouterr().err
    assert push(model / "nothing", "me/editor") == 2 and "is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("repo", ["editor", "a/b/c", "me/a b", "me/..", "-me/x"])
def test_a_repository_has_an_owner_and_a_name(model, no_network, capsys, repo):
    assert push("--dry-run", "--", model, repo) == 2 and "REPO '" in capsys.readouterr().err


def test_addresses_and_relative_paths_are_no_leaks(model):
    text = "https://hub.example/home/of/it, runs/mini/home/x, `--data photos`, 1/2, and/or, ~/photos"
    (model / "README.md").write_text(CARD + text)
    assert inspect(model).problems == ()


def test_the_shipped_model_is_publishable_with_a_card(tmp_path, no_network):
    from uip2p.models.folder import SHIPPED

    folder = Path(shutil.copytree(SHIPPED["mini"], tmp_path / "mini"))
    (folder / "README.md").write_text(CARD)
    assert push(folder, "me/mini", "--dry-run") == 0


def test_the_hub_reads_the_card_that_train_writes(tmp_path, tiny_folder):
    """Its head, by the hub's own reader; and its code, which is Python."""
    from uip2p.learning.card import write_card
    from uip2p.models import hub as ids

    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "metrics.jsonl").write_text("")
    words = ["uip2p", "train", "--set", "model.clips=['/home/ann/my clips/big']", "--set", "model.base=owner/name"]
    path = write_card(tmp_path, "sd15-ip2p", {"about": "A test"}, ids.SD15, Path("data"), words)
    card = ModelCard.load(path)
    assert card.data.license == "creativeml-openrail-m" and card.data.base_model == ids.SD15
    assert (card.data.library_name, card.data.pipeline_tag) == ("diffusers", "image-to-image")
    assert "--set model.clips=['…/big'] --set model.base=owner/name`" in card.text
    blocks = card.text.split("```python\n")[1:]
    assert len(blocks) == 2
    for block in blocks:
        compile(block.partition("```")[0], "card", "exec")
    publication = inspect(tmp_path / "model")
    assert publication.problems == () and publication.missing == ()
