import json
import os
import resource
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from uip2p.errors import UserError
from uip2p.learning import checkpoint

BIG = {"model": {"weight": torch.arange(100_000, dtype=torch.float32), "scalar": torch.tensor(3.5)}}


def save(folder: Path, step: int, keep: int = 3) -> Path:
    return checkpoint.save(folder, step, {"model": {"weight": torch.full((50,), float(step))}}, {"step": step}, keep)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_what_is_saved_is_loaded(tmp_path):
    path = checkpoint.save(tmp_path, 1200, BIG, {"step": 1200, "mean": 0.1 + 0.2}, keep=2)
    assert path.name == "step-00001200" and checkpoint.latest_valid(tmp_path) == path
    groups, state = checkpoint.load(path)
    assert state == {"step": 1200, "mean": 0.1 + 0.2}
    assert torch.equal(groups["model"]["weight"], BIG["model"]["weight"]) and groups["model"]["scalar"] == 3.5
    assert not list(tmp_path.glob("*.tmp-*"))


def test_only_so_many_are_kept_and_always_the_newest(tmp_path):
    for step in (10, 20, 30, 40):
        save(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.list_steps(tmp_path)] == ["step-00000030", "step-00000040"]


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
def test_one_flipped_bit_is_seen_and_the_one_before_is_used(tmp_path, name):
    older, newer = save(tmp_path, 1), save(tmp_path, 2)
    flip(newer / name, -1 if name.endswith("safetensors") else 0)
    with pytest.warns(UserWarning, match=f"step-00000002/{name}"):
        assert checkpoint.latest_valid(tmp_path) == older


@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_a_truncated_or_missing_file_is_seen(tmp_path, harm):
    older, newer = save(tmp_path, 1), save(tmp_path, 2)
    file = newer / "model.safetensors"
    file.unlink() if harm == "missing" else os.truncate(file, 100)
    with pytest.warns(UserWarning, match=r"model\.safetensors"):
        assert checkpoint.latest_valid(tmp_path) == older


def test_when_all_are_damaged_nothing_is_started_over_silently(tmp_path):
    flip(save(tmp_path, 1) / "model.safetensors", -1)
    with pytest.warns(UserWarning), pytest.raises(UserError, match="no checkpoint in it is whole"):
        checkpoint.latest_valid(tmp_path)
    assert checkpoint.latest_valid(tmp_path / "nothing here") is None


def test_a_damaged_newer_one_never_costs_the_good_older_one(tmp_path):
    """After falling back from 30 to 10, saving 15 with keep=1 removes neither 15 nor counts 30 as good."""
    save(tmp_path, 10)
    flip(save(tmp_path, 30) / "model.safetensors", -1)
    path = save(tmp_path, 15, keep=1)
    with pytest.warns(UserWarning):
        assert checkpoint.latest_valid(tmp_path) == path
    assert checkpoint.latest_valid(save(tmp_path, 30, keep=1).parent).name == "step-00000030", (
        "written anew, it is good"
    )


def test_leftovers_of_a_killed_process_are_cleared_and_a_replaced_folder_comes_back(tmp_path):
    good = save(tmp_path, 1)
    (tmp_path / "step-00000002.tmp-99").mkdir()
    (tmp_path / "step-00000002.tmp-99/model.safetensors").write_bytes(b"half")
    (tmp_path / "file.tmp-99").write_bytes(b"half")
    (tmp_path / ".000000084.png.99.part").write_bytes(b"half")
    os.rename(good, tmp_path / "step-00000001.old-99")  # killed between the two renames of a replacement
    checkpoint.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoint.latest_valid(tmp_path) == good


@contextmanager
def full_disk(tmp_path):
    """A disk of 600 KiB where we may mount one; otherwise a limit on the size of a file."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(place)]
    if os.geteuid() == 0 and subprocess.run(options, capture_output=True).returncode == 0:
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    else:
        with file_limit(200_000):
            yield place


@contextmanager
def file_limit(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("disk", [full_disk, lambda path: file_limit(200_000)], ids=["full disk", "file limit"])
def test_a_full_disk_is_a_clear_error_and_costs_nothing(tmp_path, disk):
    with disk(tmp_path) as place:
        place = place or tmp_path
        good = save(place, 1)
        two = {**BIG, "ema": BIG["model"]}
        with pytest.raises(UserError, match=r"step-00000002: could not be written .* MiB are free"):
            checkpoint.save(place, 2, two, {"step": 2}, keep=1)
        assert [path.name for path in checkpoint.list_steps(place)] == ["step-00000001"]
        assert not list(place.glob("*.tmp-*")), "the unfinished one is cleared, its space is free again"
        assert checkpoint.latest_valid(place) == good
        with pytest.raises(UserError, match=r"best\.safetensors"):
            checkpoint.save_weights(place / "best.safetensors", {"a": torch.zeros(200_000)}, {})
        assert not (place / "best.safetensors").exists()


def test_weights_with_notes_and_their_own_checksum(tmp_path):
    path = tmp_path / "best" / "ema.safetensors"
    checkpoint.save_weights(path, BIG["model"], {"step": 7, "loss": 0.25})
    tensors, notes = checkpoint.load_weights(path)
    assert notes == {"step": 7, "loss": 0.25} and torch.equal(tensors["weight"], BIG["model"]["weight"])
    flip(path, -1000)
    with pytest.raises(UserError, match=r"ema\.safetensors: is missing or damaged"):
        checkpoint.load_weights(path)


def test_no_pickle_is_written(tmp_path):
    path = checkpoint.save(tmp_path, 1, BIG, {"step": 1})
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}
    for file in path.glob("*.json"):
        json.loads(file.read_text())
