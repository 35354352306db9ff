"""The demo's page, as a reader and a browser get it; and the whole demo on tiny untrained models."""

import base64
import io
import json
import signal
import time
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from tiny import build_editor

from uip2p.cli import main
from uip2p.demo.command import error_left, interrupted, make_report
from uip2p.demo.page import Demo, Shown, curves, html, image, running_mean
from uip2p.errors import UserError
from uip2p.evaluate.scene_tables import COLUMNS, ROWS
from uip2p.models.clip import ClipConfig, build_clip
from uip2p.models.folder import Settings, save_settings

VOID = {"meta", "img", "path", "use", "br", "rect"}
HOSTILE = '<script>alert("x")</script> & "quotes"'


class Page(HTMLParser):
    """Collects elements, and fails on a tag that is closed but not open."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def picture(size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def demo(text="make the car blue"):
    shown = Shown(text, text, picture(seed=0), picture(seed=1), picture(seed=2), 0.3)
    photo = Shown(text, text, picture(200), picture(200), picture(200), 0.9)
    figures = dict.fromkeys(COLUMNS, 0.123)
    losses = {text: ([1, 2, 3], [3.0, 2.0, 1.0]), "attention": ([1, 2, 3], [1.0, 1.0, 0.5])}
    table = {row: figures for row in ROWS}
    return Demo([shown] * 9, [shown] * 3, [photo], losses, text, table, {text: figures}, 90, {text: text})


def test_page_parses_and_needs_nothing_but_itself():
    text = html(demo())
    page = Page(text)
    assert page.open == []
    assert len(page.all("img")) == 9 * 3 + 5 + 3
    for attrs in page.all("img"):
        assert attrs["alt"] and attrs["src"].startswith("data:image/")
        kind, data = attrs["src"].split(";base64,")
        loaded = Image.open(io.BytesIO(base64.b64decode(data)))
        assert loaded.format.lower() == kind.removeprefix("data:image/")
        assert (str(loaded.width), str(loaded.height)) == (attrs["width"], attrs["height"])
    assert not page.all("script") and not page.all("link")
    for _, attrs in page.elements:
        assert not any(str(attrs.get(name, "")).startswith(("http", "//", "file")) for name in ("src", "href"))
    assert "url(http" not in text and "@import" not in text


def test_small_pictures_are_exact():
    page = Page(image(picture(), "a scene"))
    data = page.all("img")[0]["src"].split(",")[1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), picture())


def test_every_text_is_escaped():
    text = html(demo(HOSTILE))
    assert "<script" not in text and not Page(text).all("script")
    assert HOSTILE in "".join(Page(text).texts)  # and still there to be read
    assert HOSTILE in " ".join(attrs["alt"] for attrs in Page(text).all("img"))


def test_figures_are_shown_and_absent_ones_are_left_out():
    text = html(demo())
    assert "0.1230" in text and "copy-input" in text and "CLIP-I" in text and "None" not in text
    bare = demo()
    table = {row: {**figures, "clip_i": None, "outside_ratio": None} for row, figures in bare.table.items()}
    without = html(replace(bare, table=table, losses={}, kinds={}))
    assert "CLIP-I ↑" not in without and "–" in without and "None" not in without and "<svg" not in without


def test_curves_follow_the_page_and_tell_their_ends():
    svg = curves({"direction": (list(range(100)), list(np.linspace(2, 1, 100)))})
    assert svg.count("<svg") == 1 and "currentColor" in svg and "aria-label" in svg and "<?xml" not in svg
    assert svg == curves({"direction": (list(range(100)), list(np.linspace(2, 1, 100)))})
    assert running_mean([1.0] * 50) == pytest.approx(1.0)
    assert running_mean(list(range(50)))[25] == pytest.approx(25)


def test_error_left():
    source, target = picture(seed=0), picture(seed=1)
    assert error_left(target, source, target) == 0 and error_left(source, source, target) == 1
    assert error_left(source, source, source) == 0


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """Untrained, tiny: an editor, a base that draws, and a CLIP for both loss and judge."""
    folder = tmp_path_factory.mktemp("stand-ins")
    editor = build_editor(size=64)
    editor.save(folder / "editor")
    save_settings(Settings(64, steps=2, guidance_scale=2.0, image_guidance_scale=1.0), folder / "editor")
    clip = ClipConfig(64, 16, width=16, layers=1, heads=2, text_width=16, text_layers=1, text_heads=2, embedding=16)
    build_clip(clip, editor.tokenizer).save(folder / "clip")
    return folder


def test_the_whole_demo(stand_ins, tmp_path, capsys):
    overrides = [f"model.base={stand_ins / 'editor'}", f'model.clips=["{stand_ins / "clip"}"]', "train.batch_size=2"]
    path = make_report(tmp_path / "demo", stand_ins / "editor", 1, 1.0, 9, stand_ins / "clip", overrides)
    page = Page(path.read_text())
    assert path == tmp_path / "demo" / "report.html" and page.open == []
    assert len(page.all("img")) == 9 * 3 + 5 + 2 * 3
    assert len(page.all("table")) == 2 and len(page.all("svg")) == 1
    rows = [json.loads(line) for line in (tmp_path / "demo" / "training.jsonl").read_text().splitlines()]
    assert rows and rows[-1]["seconds"] >= 1 and all(np.isfinite(row["total"]) for row in rows)
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["report.html", "training.jsonl"]
    assert "scoring 9 edits" in capsys.readouterr().out


@pytest.fixture
def interruptible():
    """Ctrl-C works even where a shell started the tests in the background, with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupted_ends_the_body_and_lets_a_person_interrupt(interruptible):
    began = time.monotonic()
    with interrupted(lambda: time.monotonic() > began + 0.3):
        while time.monotonic() < began + 20:
            time.sleep(0.02)
    assert time.monotonic() - began < 10
    with pytest.raises(KeyboardInterrupt), interrupted(lambda: False):
        raise KeyboardInterrupt
    with interrupted(lambda: False):
        pass


def test_bad_input(stand_ins, tmp_path, capsys):
    assert main(["demo", "--model", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "model_index.json" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        make_report(tmp_path / "file", stand_ins / "editor", 1, 0, 9, None)
