"""Which folders are runs, and that nothing outside the root is one, wherever symlinks lead."""

import os

import pytest
from PIL import Image

from uip2p.serving.runs import finding
from uip2p.serving.runs.browser import Browser
from uip2p.serving.runs.finding import find_runs, is_inside, sample_grids


def make(folder, written=0):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "metrics.jsonl").write_text("")
    os.utime(folder / "metrics.jsonl", (written, written))
    return folder


def test_runs_of_a_family_and_of_a_comparison_are_found_the_latest_first(tmp_path):
    make(tmp_path / "mini/base", 10)
    make(tmp_path / "mini/cycle", 30)
    make(tmp_path / "study/rows/ours/seed-0", 20)
    make(tmp_path / "mini/cycle/model", 40)  # of a run's own folders none is a run
    make(tmp_path / ".hidden/run", 40)
    (tmp_path / "mini/only-config").mkdir()
    (tmp_path / "mini/only-config/config.json").write_text("{}")
    assert list(find_runs(tmp_path)) == ["mini/cycle", "study/rows/ours/seed-0", "mini/base"]
    assert find_runs(tmp_path / "mini/cycle") == {"cycle": tmp_path / "mini/cycle"}  # the root itself is one
    assert find_runs(tmp_path / "nowhere") == {}


def test_symlinks_that_lead_out_are_left_out(tmp_path):
    root, outside = tmp_path / "root", make(tmp_path / "outside")
    (outside / "samples").mkdir()
    Image.new("RGB", (8, 8)).save(outside / "samples/000000008.png")
    inside = make(root / "run")
    (root / "linked").symlink_to(outside)
    (inside / "samples").symlink_to(outside / "samples")
    halfway = root / "halfway"
    halfway.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        (halfway / name).symlink_to(outside / name)
    assert list(find_runs(root)) == ["run"] and sample_grids(inside, root) == []
    (root / "loop").symlink_to(root / "loop")
    assert not is_inside(root / "loop", root) and not is_inside(root / "run/../../outside/config.json", root)


def test_only_pictures_named_by_images_seen_are_grids(tmp_path):
    folder = make(tmp_path / "run")
    (folder / "samples").mkdir()
    for name in ("000000090.png", "000001000.png", "secret.png", "000000100.txt"):
        (folder / "samples" / name).write_bytes(b"x")
    os.mkfifo(folder / "samples/000000001.png")  # opening it would wait for ever
    assert [path.name for path in sample_grids(folder, tmp_path)] == ["000000090.png", "000001000.png"]


def test_a_name_that_was_not_found_is_no_run_whatever_it_says(tmp_path):
    make(tmp_path / "outside")
    make(tmp_path / "root/run")
    browser = Browser(tmp_path / "root")
    assert browser.names() == ["run"] and browser.view("run").name == "run"
    for name in ("../outside", str(tmp_path / "outside"), "run/../run", "", None, "run\0"):
        assert browser.view(name) is None


def test_a_root_as_large_as_a_disk_ends_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "MOST_FOLDERS", 5)
    for number in range(9):
        make(tmp_path / f"{number}")
    assert len(find_runs(tmp_path)) == 4  # the root was the fifth folder
    deep = make(tmp_path / "/".join(["a"] * (finding.DEPTH + 1)))
    monkeypatch.setattr(finding, "MOST_FOLDERS", 500)
    assert deep not in find_runs(tmp_path).values()


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_left_out(tmp_path):
    make(tmp_path / os.fsdecode(b"r\xffn"))
    make(tmp_path / "läuft 😀")
    assert list(find_runs(tmp_path)) == ["läuft 😀"]
