"""The page in a real headless Chromium, on a real server with the shipped model: what a person does, from an upload to
a file that is taken along. One server for all tests here."""

from __future__ import annotations

import io
import os
import shutil
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from uip2p.editing.editor import Editor
from uip2p.scenes.render import render
from uip2p.scenes.world import World
from uip2p.serving.asking import Limits
from uip2p.serving.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
    pytest.mark.skipif(find_spec("gradio") is None, reason="the page needs it: pip install 'uip2p[ui]'"),
]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", *CAMERA]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
ANOTHER = {"viewport": {"width": 1200, "height": 900}}  # at the same time: of one's own pages, the hidden one rests


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, object]]:
    """The page's address, and its desk."""
    import uvicorn

    uploads = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        patch.setenv("XDG_DATA_HOME", str(uploads / "xdg"))
        from uip2p.safety.policy import load_policy
        from uip2p.serving.ui.desk import Desk
        from uip2p.serving.ui.examples import examples
        from uip2p.serving.ui.page import application
        from uip2p.serving.ui.session import Sessions

        policy = load_policy()
        service = Service(Editor.from_pretrained("mini", "cpu"), Limits(steps=500), check_prompt=policy.check)
        desk = Desk(service, Sessions(), examples(service.editor.parts), shipped=True)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(application(desk), log_level="error", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", desk
            server.should_exit = True
            thread.join(10)
        service.drain(2)
        left = [name for _, _, names in os.walk(uploads) for name in names if name.endswith((".png", ".jpg", ".webp"))]
        assert left == []  # what was uploaded did not stay on the disk


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'uip2p[dev]'")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield Browsers(browser)
        browser.close()


class Browsers:
    """One browser with what it has cached for all who have such a screen: it reads Gradio's script only once."""

    def __init__(self, chromium):
        self.chromium, self.open = chromium, {}

    def page(self, screen: dict):
        key = str(screen)
        if key not in self.open:
            self.open[key] = self.chromium.new_context(**screen, accept_downloads=True)
        return self.open[key].new_page()


class Person:
    """Someone with the page open."""

    def __init__(self, chromium: Browsers, address: str, **screen):
        self.problems: list[str] = []
        self.asked: list[str] = []
        self.address = address
        self.page = chromium.page(screen or DESKTOP)
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address, wait_until="commit")
        self.page.locator("#u-gallery button").first.wait_for()

    def _note(self, line) -> None:
        """Gradio asks for its own copy of an upload, which is closed: the page shows it from memory."""
        if line.type == "error" and "/gradio_api/file=" not in line.location["url"]:
            self.problems.append(line.text)

    def upload(self, content: bytes, name: str) -> None:
        given = {"name": name, "mimeType": "image/png", "buffer": content}
        self.page.locator("#u-upload input[type=file]").set_input_files(given)

    @property
    def text(self):
        return self.page.locator("#u-instruction textarea, #u-instruction input").first

    def say(self, instruction: str) -> None:
        """Enter submits."""
        self.text.fill(instruction)
        self.text.press("Enter")

    def wait_for(self, states: int, at: str) -> None:
        """So many states, and one of this instruction is looked at."""
        self.page.locator("#u-history .u-state").nth(states - 1).wait_for()
        self.page.locator(f'#u-history .u-state[aria-current][title="{at}"]').wait_for()

    def click(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def width(self) -> int:
        return self.page.evaluate("document.scrollingElement.scrollWidth")

    def left(self) -> None:
        """Nothing went wrong, nobody else was asked, every picture has an alternative text."""
        assert self.problems == []
        hosts = {urlsplit(url).netloc for url in self.asked if not url.startswith(("data:", "blob:"))}
        assert hosts == {urlsplit(self.address).netloc}
        assert self.page.locator("main img:not([alt]), .gradio-container img:not([alt])").count() == 0
        self.page.close(run_before_unload=False)


def bus() -> bytes:
    content = io.BytesIO()
    Image.fromarray(render(World(20261126, "test").edit(29, "color").source)).save(content, "PNG")
    return content.getvalue()


def test_an_upload_is_edited_again_and_again_undone_redone_and_branched(chromium, served, monkeypatch):
    one = Person(chromium, served[0])
    page = one.page
    one.upload(bus(), "bus.png")
    one.wait_for(1, "your picture")
    assert page.locator("#u-undo").is_disabled()
    one.say("make the bus red")
    one.wait_for(2, "make the bus red")
    slider = page.locator("#u-compare")
    pictures = slider.locator("img")
    page.get_by_alt_text("After the edit").wait_for()
    assert pictures.count() == 2 and pictures.first.get_attribute("alt") == "Before the edit"
    assert slider.bounding_box()["height"] > 300
    before, after = pictures.evaluate_all("all => all.map(image => image.src)")
    assert before != after and before.startswith("data:image/")
    one.say("make it night")  # on the result, not on the first picture
    one.wait_for(3, "make it night")
    assert pictures.first.get_attribute("src") == after
    page.locator("#u-undo").click()
    one.wait_for(3, "make the bus red")
    page.locator("h1").click()
    page.keyboard.press("Control+z")
    one.wait_for(3, "your picture")
    page.keyboard.press("Control+Shift+Z")
    one.wait_for(3, "make the bus red")
    page.locator("#u-redo").click()
    one.wait_for(3, "make it night")
    page.locator("#u-history .u-state").first.click()  # back to the beginning, and another way from there
    one.wait_for(3, "your picture")
    one.say("make the bus green")
    one.wait_for(4, "make the bus green")
    assert page.locator("#u-history .u-state").all_inner_texts() == [
        "your picture", "make the bus red", "make it night", "make the bus green",
    ]  # fmt: skip
    with page.expect_download() as download:
        page.get_by_role("link", name="PNG").click()
    content = download.value.path().read_bytes()
    assert Image.open(io.BytesIO(content)).size == (64, 64) and b"compositeWithTrainedAlgorithmicMedia" in content
    one.left()


def test_candidates_stand_side_by_side_and_a_word_shows_where_it_looked(chromium, served):
    one = Person(chromium, served[0])
    page = one.page
    page.locator("#u-gallery button").first.click()
    one.wait_for(1, "your picture")
    assert one.text.input_value() == "make the bus red"
    page.get_by_role("button", name="More settings").click()
    put(page, "#u-count", "3")
    one.click("Edit")
    cards = page.locator("#u-candidates button")
    cards.nth(2).wait_for()
    scores = [float(text.split()[1]) for text in page.locator("#u-candidates .u-told b").all_inner_texts()]
    best = cards.nth(int(np.argmax(scores)))
    assert cards.count() == 3 and "best" in best.inner_text() and best.get_attribute("aria-pressed") == "true"
    other = cards.nth((int(np.argmax(scores)) + 1) % 3)
    other.click()
    one.wait_for(3, "make the bus red")
    page.locator('#u-candidates button[aria-pressed="true"]').nth(0).wait_for()
    assert other.get_attribute("aria-pressed") == "true" and best.get_attribute("aria-pressed") == "false"
    chips = page.locator("#u-words button")
    assert chips.all_inner_texts() == ["make", "the", "bus", "red"]
    chips.nth(2).click()
    overlaid = page.get_by_alt_text("Where the edit looked for “bus”")
    overlaid.wait_for()
    first = overlaid.get_attribute("src")
    chips.nth(3).click()
    page.get_by_alt_text("Where the edit looked for “red”").wait_for()
    assert page.get_by_alt_text("Where the edit looked for “red”").get_attribute("src") != first
    chips.nth(3).click()
    page.locator("#u-compare img").first.wait_for()
    dark = "document.body.classList.contains('dark')"
    assert not page.evaluate(dark)  # as the system has it
    page.locator("#u-theme").click()
    page.wait_for_function(dark)
    page.reload(wait_until="commit")
    page.wait_for_function(dark)
    page.evaluate("localStorage.clear()")
    one.left()


def test_what_goes_wrong_is_said_in_a_sentence(chromium, served):
    one = Person(chromium, served[0], **PHONE)
    page, alert = one.page, one.page.locator("#u-message [role=alert]")
    one.upload(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "picture.png")
    alert.get_by_text("not a picture we can read").wait_for()
    one.say("make the bus red")
    alert.get_by_text("There is no picture yet").wait_for()
    one.upload(bus(), "bus.png")
    one.wait_for(1, "your picture")
    assert alert.count() == 0
    one.say("make the buss red")
    alert.get_by_text("Did you mean 'bus'?").wait_for()
    assert one.width() == 390
    alert.get_by_role("button", name="make the bus red").click()
    page.wait_for_function("document.querySelector('#u-instruction :is(textarea, input)').value == 'make the bus red'")
    assert page.locator("#u-history .u-state").count() == 1
    one.click("New picture")  # from below, where it was seen
    page.wait_for_function("document.querySelector('#u-upload').getBoundingClientRect().top >= 0")
    page.evaluate("scrollTo(0, 9999)")
    page.locator("#u-gallery button").last.click()  # what it brings is seen, though it was far above
    one.wait_for(2, "your picture")
    page.wait_for_function("document.querySelector('#u-stage').getBoundingClientRect().top >= 0")
    assert page.locator(".toast-wrap .error, .toast-body.error").count() == 0 and one.width() == 390
    one.left()


def put(page, field, value):
    """Into a number's field. Settings that have just been opened are built anew once, faster than a person types."""
    number = page.locator(f"{field} input[type=number]")
    for _ in range(20):
        number.fill(value)
        number.press("Tab")
        page.wait_for_timeout(150)
        if number.input_value() == value:
            return
    raise AssertionError(f"{field} does not stay {value}")


def test_a_slow_edit_says_how_far_it_is_and_is_cancelled_between_steps(chromium, served):
    one, other = Person(chromium, served[0]), Person(chromium, served[0], **ANOTHER)
    for person in (one, other):
        person.upload(bus(), "bus.png")
        person.wait_for(1, "your picture")
        person.page.get_by_role("button", name="More settings").click()
        put(person.page, "#u-count", "8")
        put(person.page, "#u-steps", "500")
    one.say("make the bus red")
    one.page.locator(".u-working p", has_text="of 8000").wait_for()
    put(other.page, "#u-steps", "499")  # goes into no batch with the first
    other.say("make the bus red")
    other.page.get_by_text("Waiting: 1 edit before yours").wait_for()
    one.click("Cancel")
    one.page.get_by_text("Cancelled: nothing has changed.").wait_for()
    one.page.get_by_role("button", name="Edit", exact=True).wait_for()
    assert one.page.locator("#u-history .u-state").count() == 1
    other.page.locator(".u-working p", has_text="of 7984").wait_for()  # its turn
    desk = served[1]
    waited = desk.service.outcomes["cancelled"]
    other.left()  # with its edit on its way: the page is closed
    for _ in range(200):
        if desk.service.outcomes["cancelled"] > waited and len(desk.sessions) == 1:
            break
        one.page.wait_for_timeout(50)
    assert desk.service.outcomes["cancelled"] == waited + 1 and len(desk.sessions) == 1  # and its pictures are gone
    one.left()


def test_a_picture_is_pasted(chromium, served):
    one = Person(chromium, served[0], **DESKTOP)
    one.page.evaluate("""async () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: 30, height: 20 });
        canvas.getContext("2d").fillRect(5, 5, 9, 9);
        const carrier = new DataTransfer();
        carrier.items.add(new File([await new Promise((done) => canvas.toBlob(done))], "a.png", { type: "image/png" }));
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carrier, bubbles: true }));
    }""")
    one.wait_for(1, "your picture")
    assert sizes(served)[-1] == (30, 20)
    one.page.close()


@pytest.mark.slow  # Chromium's camera of its own sometimes gives no first frame on a busy machine
def test_a_picture_from_the_camera(chromium, served):
    one = Person(chromium, served[0], **DESKTOP, permissions=["camera"])
    page = one.page
    page.get_by_label("Capture from camera").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#u-upload video')?.readyState === 4")  # else Gradio takes nothing
    page.wait_for_timeout(200)
    page.get_by_role("button", name="capture photo").click()
    one.wait_for(1, "your picture")
    assert sizes(served)[-1][0] >= 320
    page.close()


def sizes(served):
    """Of all pictures that are open on a page, the newest page's last."""
    return [state.content.picture.size for session in served[1].sessions for state in session.history.states]


def test_doors(served):
    address = served[0]
    for path in (
        "/gradio_api/file=/etc/hostname", "/gradio_api/file/etc/hostname", "/gradio_api/proxy=http://127.0.0.1",
        "/docs", "/monitoring", "/download/x/0.png", "/download/x/../0.png", "/openapi.json",
    ):  # fmt: skip
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{address}{path}")
        assert refused.value.code in (403, 404, 405), path
    with urllib.request.urlopen(address) as reply:
        assert "default-src 'self'" in reply.headers["content-security-policy"]
        assert "set-cookie" not in reply.headers
