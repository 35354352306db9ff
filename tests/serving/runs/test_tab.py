"""The tab in a real headless Chromium: real runs, a run that goes on while it is looked at, one that vanishes."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs it: pip install 'uip2p[ui]'"),
]


@contextmanager
def served(root: Path | None) -> Iterator[str]:
    """The address of a page with the tab and nothing else."""
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    from uip2p.serving.runs.tab import browse

    with gr.Blocks(analytics_enabled=False) as blocks, gr.Tab("Training run"):
        browse(root)
    app, fonts = FastAPI(), ["system-ui", "sans-serif"]
    theme = gr.themes.Default(font=fonts, font_mono=["monospace"])
    gr.mount_gradio_app(app, blocks, "/", footer_links=[], run_history=False, ssr_mode=False, pwa=False, theme=theme)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'uip2p[dev]'")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def test_a_run_is_looked_at_while_it_goes_on(chromium, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    from uip2p.serving.runs import browser as runs_browser
    from uip2p.serving.runs import tab

    monkeypatch.setattr(tab, "EVERY", 0.3)
    monkeypatch.setattr(runs_browser, "FRESH", 0.3)
    root = shutil.copytree(runs, tmp_path / "runs")
    (tmp_path / "secret.png").write_bytes((root / "toy/done/samples/000000016.png").read_bytes())
    with served(root) as address:
        page = chromium.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(20_000)
        asked: list[str] = []
        problems: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
        page.goto(address, wait_until="commit")

        page.get_by_role("heading", name="Alarm: this run only copies its input").wait_for()  # the latest is first
        check_shape(page)
        choose(page, "toy/half")
        page.get_by_role("heading", name="Stopped at step 6 of 12").wait_for()
        check_curves(page)
        check_live(page, root / "toy/half")
        choose(page, "toy/done")
        page.get_by_role("heading", name="Finished at step 12 of 12").wait_for()
        shutil.rmtree(root / "toy/done")
        page.get_by_role("heading", name="toy/done is gone").wait_for()
        assert page.get_by_text("Curves", exact=True).is_hidden()
        choose(page, "copies")
        page.get_by_role("heading", name="Alarm").wait_for()
        check_doors(address, root, tmp_path / "secret.png")
        page.close()
    hosts = {urlsplit(url).netloc for url in asked if url.startswith("http")}
    assert hosts == {urlsplit(address).netloc} and problems == []


def choose(page, name: str) -> None:
    """By keyboard: the list filters as one types."""
    page.locator("#run-picker input").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(name)
    page.get_by_role("option", name=name).wait_for()
    page.keyboard.press("Enter")


def box(page, name: str):
    return page.get_by_role("checkbox", name=name, exact=True)


def check_shape(page) -> None:
    """Nothing is wider than the phone, and what can be pressed has a name."""
    width, inner = page.evaluate("[document.scrollingElement.scrollWidth, window.innerWidth]")
    assert width <= inner == 390
    nameless = page.locator("input:visible, button:visible").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.innerText || e.title)).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert page.get_by_label("To go on with it").inner_text().startswith("uip2p train --recipe mini-cycle")


def check_curves(page) -> None:
    """The losses at first; one more when it is ticked; none when all are taken away."""
    drawn = page.locator(".runs .panels svg")
    labels = drawn.evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    assert [label.partition(":")[0] for label in labels] == ["All losses together", "Denoising"]
    assert all("on held-out pictures" in label for label in labels)
    box(page, "Learning rate").check()
    drawn.nth(2).wait_for()
    before = drawn.nth(0).inner_html()
    box(page, "Logarithmic scale").check()
    page.wait_for_function("before => document.querySelector('.runs .panels svg').innerHTML != before", arg=before)
    for name in ("All losses together", "Denoising", "Learning rate"):
        box(page, name).uncheck()
    page.get_by_text("Choose at least one curve above.").wait_for()
    box(page, "Denoising").check()
    drawn.nth(0).wait_for()


def check_live(page, folder: Path) -> None:
    """A new row and a new grid show by themselves. A slider at its end follows; what is clicked while a look is on its
    way stays, though the look was asked before and answers after."""
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])

    def goes_on(step: int, **more: float) -> None:
        row = last | {"step": step, "images": 4 * step} | more
        Image.new("RGB", (48, 16), "red").save(folder / f"samples/{4 * step:09d}.png")
        with open(folder / "metrics.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")

    slider = page.get_by_label("range slider for Sample grid")
    shown = page.locator(".runs .grid img")
    assert shown.get_attribute("alt") == "Sample grid after 16 images"
    goes_on(8)
    page.get_by_role("heading", name="Stopped at step 8 of 12").wait_for()
    page.get_by_text("grid 2 of 2").wait_for()
    assert shown.get_attribute("alt") == "Sample grid after 32 images"

    held: list = []
    calls = "**/gradio_api/run/**"
    page.route(calls, lambda route: route.continue_() if held else held.append(route))
    while not held:
        page.wait_for_timeout(20)
    goes_on(9, firm=0.5)
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("grid 1 of 3").wait_for()
    box(page, "Learning rate").check()
    box(page, "Logarithmic scale").uncheck()
    held[0].continue_()
    page.unroute(calls)
    page.get_by_role("heading", name="Stopped at step 9 of 12").wait_for()
    page.wait_for_function("[...document.querySelectorAll('input[type=range]')].pop().max == 3")
    box(page, "Reward of FIRM").wait_for()
    page.locator('.runs .panels svg[aria-label^="Learning rate"]').wait_for()
    assert shown.get_attribute("alt") == "Sample grid after 16 images" and slider.input_value() == "1"
    ticked = {name: box(page, name).is_checked() for name in ("Denoising", "All losses together", "Learning rate")}
    assert ticked == {"Denoising": True, "All losses together": False, "Learning rate": True}
    assert not box(page, "Logarithmic scale").is_checked() and not box(page, "Reward of FIRM").is_checked()


def check_doors(address: str, root: Path, secret: Path) -> None:
    """No file of the disk is served, neither one beside the root nor one of a run."""
    for path in (secret, root / "copies/config.json", root / "toy/half/metrics.jsonl"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}/gradio_api/file={quote(str(path))}")
        assert refused.value.code in (403, 404)


def test_without_a_folder_the_tab_says_how_to_give_one(tmp_path):
    import gradio as gr

    from uip2p.serving.runs import page
    from uip2p.serving.runs.tab import browse

    with gr.Blocks(analytics_enabled=False) as blocks:
        browse(None)
    texts = [part["props"].get("value") for part in blocks.config["components"]]
    assert any("uip2p ui --runs runs" in str(text) for text in texts) and blocks.config["dependencies"] == []
    assert "there is no run under" in page.nothing(None, tmp_path)
