"""The page as a web application: Gradio around page.py, pictures from the study's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uip2p.people import page
from uip2p.people.serve import Page, Stranger
from uip2p.people.study import PICTURES
from uip2p.serving.web import CLOSED, gr, guarded, mount


def application(asked: Page, folder: Path) -> Any:
    """The ASGI application. folder: the study's."""
    from fastapi import FastAPI
    from fastapi.staticfiles import StaticFiles

    study = asked.study

    def answer(rater: Any, event: gr.EventData) -> str:
        return answered(asked, rater, event._data)

    with gr.Blocks(title="Which edits are best?", analytics_enabled=False) as blocks:
        rater = gr.BrowserState(None, storage_key=f"study-{study.id}", secret=study.id)
        view = gr.HTML(page.LOADING, js_on_load=page.SCRIPT, apply_default_css=False)
        quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        blocks.load(asked.opened, rater, view, **quiet)
        view.begin(asked.begun, rater, [view, rater], **quiet)
        view.answer(answer, rater, view, **quiet)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.mount(f"/{PICTURES}", StaticFiles(directory=folder / PICTURES))
    style = f"<style>{page.STYLE}</style>"
    mount(app, blocks, style, max_file_size=1, blocked_paths=[str(folder.resolve())])
    return guarded(app, (*CLOSED, "/gradio_api/upload"))  # a study takes no files


def answered(asked: Page, rater: Any, sent: Any) -> str:
    """`Page.answered` of what a browser sent. gr.Error, which Gradio shows: nothing that our page sends."""
    data = sent if isinstance(sent, dict) else {}
    try:
        return asked.answered(rater, data.get("item"), data.get("choices"))
    except Stranger as error:
        raise gr.Error(str(error), print_exception=False) from None
