"""The tab "Training run" of `uip2p ui`: Gradio around browser.py. It reads, and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
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
QUIET: dict[str, Any] = {
    "queue": False, "show_progress": "hidden", "api_visibility": "private", "preprocess": False,
}  # fmt: skip
# What is remembered of a run that vanished: nothing that a run could be like.
GONE: dict[str, Any] = {"overview": "", "names": [], "version": -1, "grids": 0}
NO_ROOT = (
    "There is no folder of training runs here. Start with `uip2p ui --runs DIR`, where DIR is what `uip2p train` wrote "
    "to (`runs` by default), to see how a training goes."
)


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
        again = gr.Button("Look for runs again", scale=1, min_width=180, elem_id="run-again")
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

    def opened() -> Changes:
        names = browser.names(anew=True)
        first = names[0] if names else None
        return {picker: gr.update(choices=names, value=first), **shown(first)}

    def shown(name: Any) -> Changes:
        """Another run: everything anew."""
        name = _name(name)
        view = browser.view(name)
        if view is None:
            known = {} if name is None else GONE | {"found": browser.names(), "name": name}
            return {**gone(name), memory: known}
        names = view.first_names
        return {
            **state(view), details: gr.update(visible=True), config: page.settings(view.config, view.fault),
            chosen: gr.update(choices=_choices(view), value=names),
            curves: browser.curves(view, names, SMOOTHING, False), smoothing: SMOOTHING, logarithmic: False,
            number: _slider(view, follow=True), grid: browser.sample(view, len(view.grids)),
            memory: _remembered(browser, view),
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

    def looked(
        name: Any, names: Any, share: Any, log: Any, at: Any, known: dict[str, Any], anew: bool = False
    ) -> Changes:
        """What is new of the run that is looked at. What the person chose stays, and a slider at its end follows."""
        name, names = _name(name), _names(names)
        found = browser.names(anew)
        if name is None or not known:
            return opened() if found else {memory: known}
        if name != known["name"]:  # on its way while another run was chosen; twice in a row, that choice was lost
            return shown(name) if name == known.get("other") else {memory: known | {"other": name}}
        listed = {} if found == known["found"] else {picker: gr.update(choices=[*found, *({name} - {*found})])}
        view = browser.view(name)
        if view is None:
            told = known["overview"] == GONE["overview"]
            return {**listed, **({} if told else gone(name)), memory: GONE | {"found": found, "name": name}}
        now = _remembered(browser, view)
        changes: Changes = {**listed, memory: now}
        if now["overview"] != known["overview"]:
            changes |= state(view) | {details: gr.update(visible=True)}
        if now["names"] != known["names"]:
            names = names if known["names"] else view.first_names
            changes[chosen] = gr.update(choices=_choices(view), value=names)
        if now["version"] != known["version"]:
            changes[curves] = browser.curves(view, names, _number(share, 0, 50), bool(log))
        if now["grids"] != known["grids"]:
            follow = _number(at, 1, len(view.grids)) >= known["grids"]
            changes[number] = _slider(view, follow)
            if follow:
                changes[grid] = browser.sample(view, len(view.grids))
        return changes

    everything = [
        picker, overview, details, command, config, chosen, smoothing, logarithmic, curves, number, grid, memory,
    ]  # fmt: skip
    settings = [picker, chosen, smoothing, logarithmic]
    looking = [*settings, number, memory]
    assert Context.root_block is not None, "browse belongs inside `with gr.Blocks()`"
    Context.root_block.load(opened, None, everything, **QUIET)
    picker.input(shown, picker, everything, **{**QUIET, "show_progress": "minimal"}, show_progress_on=overview)
    for control in (chosen, smoothing, logarithmic):
        control.input(drawn, settings, curves, trigger_mode="always_last", **QUIET)
    number.input(turned, [picker, number], grid, trigger_mode="always_last", **QUIET)
    gr.Timer(EVERY).tick(looked, looking, everything, **QUIET)
    again.click(_anew(looked), looking, everything, **QUIET)


def _anew(looked: Callable[..., Changes]) -> Callable[..., Changes]:
    def again(name: Any, names: Any, share: Any, log: Any, at: Any, known: Any) -> Changes:
        return looked(name, names, share, log, at, known, True)

    return again


def _name(sent: Any) -> str | None:
    return sent if isinstance(sent, str) else None


def _names(sent: Any) -> list[str]:
    return [name for name in sent if isinstance(name, str)] if isinstance(sent, list) else []


def _number(sent: Any, low: float, high: float) -> float:
    return float(min(max(sent, low), high)) if isinstance(sent, int | float) and math.isfinite(sent) else float(low)


def _choices(view: View) -> list[tuple[str, str]]:
    return [(words.title(name), name) for name in view.names]


def _slider(view: View, follow: bool) -> Any:
    count = len(view.grids)
    bounds: dict[str, Any] = {"maximum": max(2, count), "visible": count > 1}
    return gr.update(**bounds, value=max(1, count)) if follow else gr.update(**bounds)


def _remembered(browser: Browser, view: View) -> dict[str, Any]:
    return {
        "name": view.name, "found": browser.names(), "overview": browser.overview(view), "names": view.names,
        "version": view.version, "grids": len(view.grids),
    }  # fmt: skip
