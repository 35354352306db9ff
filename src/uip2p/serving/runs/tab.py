"""The tab "Training run" of `uip2p ui`: Gradio around browser.py. It reads, and changes nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context

from uip2p.serving.runs import page, words
from uip2p.serving.runs.browser import Browser, View

EVERY = 3.0  # seconds between two looks
SMOOTHING = 10  # percent, before anyone moves the slider
Changes = dict[Any, Any]  # component → its new value, or what of it is new
# Without Gradio's own check of what is sent (preprocess): a look may be on its way while the page changes to another
# run, and then names what is no choice any more, which Gradio would answer with an error on the page. We check it.
# always_last: of one kind of request, one is on its way at a time, and the last one is made with what is chosen then.
QUIET: dict[str, Any] = {
    "queue": False, "show_progress": "hidden", "api_visibility": "private", "preprocess": False,
    "trigger_mode": "always_last",
}  # fmt: skip
# What is remembered of a run that vanished: nothing that a run could be like.
GONE: dict[str, Any] = {"overview": "", "names": [], "grids": 0}
# In the browser, with where the slider is by now: at its end, it follows the newest. grown: grids before and after.
FOLLOW = "(at, grown) => grown && at >= grown[0] ? Math.max(1, grown[1]) : at"
NO_ROOT = """
### Watch a training
This tab shows how far a training is, its losses and its sample pictures. Start the page with the folder that `uip2p
train` writes to:

    uip2p ui --runs runs
"""


def browse(root: Path | None) -> None:
    """Builds the tab's components and events in the Blocks that is being built. root: None says how to give one."""
    if root is None:
        gr.Markdown(NO_ROOT)
        return
    browser = Browser(root)
    gr.HTML(page.style())
    with gr.Row():
        picker = gr.Dropdown(
            browser.names(), value=None, label="Training run (the latest first)", scale=4, min_width=260,
            elem_id="run-picker",
        )  # fmt: skip
        look_again = gr.Button("Look for runs again", scale=1, min_width=180, elem_id="run-again")
    overview = gr.HTML()
    with gr.Column(visible=False) as details:
        command = gr.HTML(js_on_load=page.COPY)
        gr.Markdown("### Losses and what else was measured")
        chosen = gr.CheckboxGroup([], label="Curves", elem_id="run-curves")
        smoothing = gr.Slider(
            0, 50, SMOOTHING, step=1, label="Smoothing: each point is the mean of this percent of the curve"
        )
        logarithmic = gr.Checkbox(False, label="Logarithmic scale")
        curves = gr.HTML()
        gr.Markdown("### Sample grids")
        number = gr.Slider(1, 2, 1, step=1, label="Sample grid, from the first to the newest", visible=False)
        grid = gr.HTML()
        config = gr.HTML()
    memory = gr.State({})  # of what the page shows: by it, a look that finds nothing new sends nothing
    drawing = gr.State()  # which log the curves are of, and how much of it
    grown = gr.JSON(visible="hidden")  # how many grids there were, and are

    def opened(name: str | None, share: Any, log: Any) -> Changes:
        """Another run: what is chosen of it anew; how it is drawn stays as it was set."""
        view = browser.view(name)
        found = browser.names()
        if view is None:
            known = {} if name is None else GONE | {"found": found, "name": name}
            return {**gone(name), memory: known}
        count, names = len(view.grids), view.first_names
        return {
            picker: gr.update(choices=found, value=name), **state(view), details: gr.update(visible=True),
            config: page.settings(view.config, view.fault),
            chosen: gr.update(choices=_choices(view), value=names),
            curves: browser.curves(view, names, _number(share, 0, 50), bool(log)), drawing: (view.name, view.version),
            number: gr.update(maximum=max(2, count), visible=count > 1, value=max(1, count)),
            grid: browser.sample(view, count), memory: _remembered(browser, view),
        }  # fmt: skip

    def gone(name: str | None) -> Changes:
        return {overview: page.nothing(name, root), details: gr.update(visible=False)}

    def state(view: View) -> Changes:
        return {overview: browser.overview(view), command: browser.resume(view)}

    def drawn(name: Any, names: Any, share: Any, log: Any) -> Any:
        view = browser.view(_name(name))
        return gr.skip() if view is None else browser.curves(view, _names(names), _number(share, 0, 50), bool(log))

    def turned(name: Any, at: Any) -> Any:
        view = browser.view(_name(name))
        return gr.skip() if view is None else browser.sample(view, int(_number(at, 1, len(view.grids))))

    def looked(name: Any, share: Any, log: Any, known: dict[str, Any]) -> Changes:
        """The run that is chosen, or what is new of it. A click made while this is on its way must not be undone by
        it: so it sets no control that a person may have moved, and what they decide (curves, grid) is drawn apart."""
        name, found = _name(name), browser.names()
        if name is None:  # nobody can have chosen one
            name = next(iter(found), None)
            return opened(name, share, log) if name or not known else {}
        if name != known.get("name"):
            return opened(name, share, log)
        listed = {} if found == known["found"] else {picker: gr.update(choices=[*found, *({name} - {*found})])}
        view = browser.view(name)
        if view is None:
            told = known["overview"] == GONE["overview"]
            return {**listed, **({} if told else gone(name)), memory: GONE | {"found": found, "name": name}}
        now = _remembered(browser, view)
        changes: Changes = {**listed, memory: now, drawing: (view.name, view.version)}
        if now["overview"] != known["overview"]:
            changes |= state(view) | {details: gr.update(visible=True)}
        if now["names"] != known["names"]:
            first: dict[str, Any] = {} if known["names"] else {"value": view.first_names}  # nothing could be chosen yet
            changes[chosen] = gr.update(choices=_choices(view), **first)
        if now["grids"] != known["grids"]:
            changes[number] = gr.update(maximum=max(2, now["grids"]), visible=now["grids"] > 1)
            changes[grown] = [known["grids"], now["grids"]]
            if known["grids"] == 0:
                changes[grid] = browser.sample(view, now["grids"])
        return changes

    def again() -> Any:
        return gr.update(choices=browser.names(anew=True))

    everything = [picker, overview, details, command, config, chosen, curves, drawing, number, grown, grid, memory]
    root_block = Context.root_block
    assert root_block is not None, "browse belongs inside `with gr.Blocks()`"
    # One kind of request opens and looks, so that no answer for a run comes after that for the next one.
    looking = [picker, smoothing, logarithmic, memory]
    gr.on([root_block.load, picker.input, gr.Timer(EVERY).tick], looked, looking, everything, **QUIET)
    gr.on(
        [chosen.input, smoothing.input, logarithmic.input, drawing.change], drawn,
        [picker, chosen, smoothing, logarithmic], curves, **QUIET,
    )  # fmt: skip
    number.change(turned, [picker, number], grid, **QUIET)
    grown.change(None, [number, grown], number, js=FOLLOW, api_visibility="private")
    look_again.click(again, None, picker, **QUIET)


def _name(sent: Any) -> str | None:
    return sent if isinstance(sent, str) else None


def _names(sent: Any) -> list[str]:
    return [name for name in sent if isinstance(name, str)] if isinstance(sent, list) else []


def _number(sent: Any, low: float, high: float) -> float:
    return float(min(max(sent, low), high)) if isinstance(sent, int | float) and math.isfinite(sent) else float(low)


def _choices(view: View) -> list[tuple[str, str]]:
    return [(words.title(name), name) for name in view.names]


def _remembered(browser: Browser, view: View) -> dict[str, Any]:
    return {
        "name": view.name, "found": browser.names(), "overview": browser.overview(view), "names": view.names,
        "grids": len(view.grids),
    }  # fmt: skip
