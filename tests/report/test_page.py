"""The page and the Markdown as a browser and a person read them: whole, exact, and safe with hostile texts."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from drawn_runs import CAREFUL, LARGE, WILD, Scenes, Toward, make_run
from html_page import Page
from PIL import Image

from uip2p.cli import main
from uip2p.evaluate.runs import load_run
from uip2p.report.collect import collect
from uip2p.report.page import html
from uip2p.report.pictures import GAIN, colours, difference_map, sheet, tile

HOSTILE = '<script>alert(1)</script> "quoted" & <img src=x onerror=alert(2)> {{ 7*7 }} \x1b[31m\u202e | **b** </style>'


@pytest.fixture(scope="module")
def page(run_folder):
    text, missing = html(collect([run_folder]))
    assert missing == []
    return Page(text)


def test_a_page_needs_nothing_but_itself(page):
    sources = page.all_of("img", "src")
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert page.tags["link"] == 0 and page.all_of("script", "src") == []
    assert page.tags["img"] == len([alt for alt in page.all_of("img", "alt") if alt])
    assert page.all_of("html", "lang") == ["en"] and page.tags["title"] == 1
    (policy,) = [value for value in page.all_of("meta", "content") if "default-src" in value]
    assert "default-src 'none'" in policy and "http" not in policy


def test_rows_are_marked_in_words(page):
    told = " ".join(page.text.split())
    assert "Careful published" in told and "Careful measured here" in told and "copy-input baseline" in told
    assert "does not reproduce" in told and "DINO: published, and not measured" in told


def test_the_pictures_are_the_outputs(page, run_folder):
    run = load_run(run_folder)
    shown = [Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2]))) for s in page.all_of("img", "src")]
    inside = {picture.convert("RGB").tobytes() for picture in shown}
    best = min(run.turns("single-turn"), key=lambda turn: run.rows["Careful"][0][turn]["l1"])
    for path in (run.output("Careful", best), run.output("wild", best), run.picture(best, "target")):
        assert Image.open(path).tobytes() in inside
    assert page.all_of("img", "class") == ["drawn"] * len(shown)


def test_texts_stay_texts(tmp_path):
    evil = Toward("evil <b>name</b> | x", 0.5)
    folder = make_run(tmp_path / "run", [evil], Scenes(count=2, instruction=HOSTILE))
    assert main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.tags["script"] == 1 and page.tags["style"] == 1 and page.tags["b"] == 0
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text
    assert "\x1b" not in text and "\u202e" not in text
    told = (folder / "report.md").read_text()
    assert "<script" not in told.replace("\\<", "") and "\x1b" not in told and "\u202e" not in told
    tables = re.findall(r"(?:^\|.*\n)+", told, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_three_files_and_their_pictures(run_folder, tmp_path, capsys):
    assert main(["report", str(run_folder), "-o", str(tmp_path / "out" / "all.html")]) == 0
    assert "all.html, all.md, all.json" in capsys.readouterr().out
    out = tmp_path / "out"
    data = json.loads((out / "all.json").read_text())
    told = (out / "all.md").read_text()
    for row in data["suites"][0]["groups"][0]["measured"]:
        assert f"{row['figures']['l1']['mean']:.4f}" in told
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", told):
        assert Image.open(out / picture).width > 100
    assert "all-pictures/" in told


def test_plots_of_a_run_are_embedded(tmp_path):
    folder = make_run(tmp_path / "run", [CAREFUL], Scenes(count=1))
    Image.new("RGB", (900, 300), "red").save(folder / "curve.png")
    (folder / "broken.png").write_bytes(b"no picture")
    report = collect([folder])
    assert report.data["suites"][0]["runs"][0]["plots"] == ["broken.png", "curve.png"]
    text, missing = html(report)
    assert missing == ["plot broken.png"] and 'alt="Plot “curve” of run"' in text


def test_a_picture_that_is_gone_is_said(tmp_path, capsys):
    folder = make_run(tmp_path / "run", [CAREFUL, WILD], Scenes(count=1))
    run = load_run(folder)
    run.output("wild", run.turns("single-turn")[0]).unlink()
    assert main(["report", str(folder)]) == 0
    assert "a picture is not there: wild of color-0/known" in capsys.readouterr().err
    assert "picture missing" in (folder / "report.html").read_text()


@pytest.mark.parametrize("out, message", [("x.md", "ends in .html"), ("run.json", "ends in .html")])
def test_where_a_report_goes(run_folder, tmp_path, capsys, out, message):
    assert main(["report", str(run_folder), "-o", str(tmp_path / out)]) == 2
    assert message in capsys.readouterr().err


def test_a_comparison_is_read_as_its_own_table_says(tmp_path):
    claims = Path(__file__).parents[2] / "docs" / "results" / "claims"
    assert main(["report", str(claims), "-o", str(tmp_path)]) == 0
    told, table = (tmp_path / "report.md").read_text(), (claims / "table.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| UIP2P: + similarity |"))
    for cell in row.split(" | ")[2:-1]:
        assert cell in told
    assert len(re.findall(r"!\[[^]]*\]\(report-pictures/claims-[\w-]+\.png\)", told)) == 4
    assert main(["report", str(claims / "results.json"), "-o", str(tmp_path / "again")]) == 0
    assert "inside the noise" in told and Page((tmp_path / "report.html").read_text()).tags["img"] == 4


def test_a_difference_map_is_the_mean_difference_amplified():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (8, 6, 3)).astype(np.uint8) for _ in range(2))
    gap = np.abs(one.astype(int) - other.astype(int)).mean(2)
    shown = np.asarray(difference_map(Image.fromarray(one), Image.fromarray(other)))
    assert (shown == colours()[np.minimum(np.rint(gap * GAIN), 255).astype(int)]).all()
    assert np.asarray(difference_map(Image.fromarray(one), Image.fromarray(one))).max() <= 4  # black
    large = Image.fromarray(one).resize((60, 80), Image.Resampling.NEAREST)
    assert difference_map(large, Image.fromarray(other)).size == (6, 8)
    assert difference_map(None, large) is None


def test_large_pictures_are_made_small_and_small_ones_kept():
    noise = np.random.default_rng(0).integers(0, 256, (600, 900, 3)).astype(np.uint8)
    large, small = tile(Image.fromarray(noise)), tile(Image.fromarray(noise[:64, :64]))
    assert (large["width"], large["height"], large["drawn"]) == (288, 192, False)
    assert (small["width"], small["drawn"]) == (64, True) and len(large["data"]) < 100_000
    assert sheet([], []) is None


def test_it_is_readable_on_a_phone_in_a_real_browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    folder = make_run(tmp_path / "run", [CAREFUL, LARGE], Scenes(count=2, instruction=HOSTILE + "x" * 300))
    other = make_run(tmp_path / ("a-long-name-" * 9), [CAREFUL], Scenes(count=1, settings={"seed": 8}))
    claims = Path(__file__).parents[2] / "docs" / "results" / "claims"
    assert main(["report", str(folder), str(other), str(claims)]) == 0
    with playwright.sync_playwright() as p:
        browser = chromium(p)
        page = browser.new_page(viewport={"width": 360, "height": 800}, color_scheme="dark")
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((folder / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert said == [] and [url for url in asked if not url.startswith("data:")] == [page.url]
        names = "[...document.querySelector('table.figures').tBodies[0].rows].map(r => r.cells[1].dataset.value || '')"
        page.locator("table.figures thead button").first.click()
        values = [float(value) for value in page.evaluate(names) if value]
        assert values == sorted(values) and len(values) > 3
        page.locator("main img").first.click()
        assert page.locator("dialog").is_visible()
        browser.close()


def chromium(p):
    """Playwright's own, or the system's; skipped where there is none."""
    import shutil

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        return p.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
    except Exception as error:
        pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")


@pytest.mark.slow
def test_from_a_benchmark_of_the_shipped_editor_to_its_report(tmp_path):
    out = tmp_path / "run"
    evaluate = ["evaluate", "--suite", "scenes", "--model", "mini", "--count", "9", "--sessions", "2", "--steps", "1"]
    assert main([*evaluate, "--out", str(out)]) == 0 and main(["report", str(out)]) == 0
    data = json.loads((out / "report.json").read_text())
    groups = data["suites"][0]["groups"]
    assert [(group["name"], group["edits"]) for group in groups] == [("single-turn", 9), ("three-turn", 2)]
    assert len(groups[1]["examples"][0]["instructions"]) == 3 and groups[0]["shown"] == ["round trip", "mini"]
    page = Page((out / "report.html").read_text())
    assert "copy-input baseline" in " ".join(page.text.split()) and len(page.all_of("img", "src")) > 30
