"""The page and the API reach the editor only through the service; the method knows nothing of either."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import uip2p

SRC = Path(uip2p.__file__).parent
FRONTS = sorted(file for name in ("http", "ui") for file in (SRC / "serving" / name).glob("*.py"))
METHOD = sorted(file for name in ("editing", "learning", "models", "datasets", "scenes")
                for file in (SRC / name).rglob("*.py") if file.name != "command.py")  # fmt: skip
# What runs a model, or is one. What only judges words, pictures and answers is for everybody.
RUNS_MODELS = ("torch", "diffusers", "transformers", "uip2p.models", "uip2p.learning", *(
    f"uip2p.editing.{name}" for name in ("editor", "batch", "guidance", "loading", "residual", "sampling")
))  # fmt: skip


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that code imports when it runs, at the top or within functions: not those of its types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        else:
            yield from imported(node)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def what_is_wrong(code: str) -> list[str]:
    """Of a module of a page or an API: imports of what runs models, and hands on the service's editor."""
    tree = ast.parse(code)
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    reached = [ast.unparse(node) for node in attributes if node.attr == "editor"]
    return [*(module for module in imported(tree) if within(module, RUNS_MODELS)), *reached]


@pytest.mark.parametrize("file", FRONTS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_pages_and_apis_reach_the_editor_only_through_the_service(file):
    assert what_is_wrong(file.read_text("utf-8")) == []


def test_the_method_knows_no_server():
    assert len(METHOD) > 50
    for file in METHOD:
        wrong = [module for module in imported(ast.parse(file.read_text("utf-8")))
                 if within(module, ("uip2p.serving", "fastapi", "starlette", "gradio", "uvicorn"))]  # fmt: skip
        assert wrong == [], file


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import torch", ["torch"]), ("def f():\n  from uip2p.models import folder", ["uip2p.models.folder"]),
        ("from uip2p.editing import editor", ["uip2p.editing.editor"]), ("service.editor.edit()", ["service.editor"]),
        ("if TYPE_CHECKING:\n  from uip2p.editing.editor import Edited", []),
        ("from uip2p.editing.instructions import check_instruction", []), ("import torchmetrics", []),
    ],
)  # fmt: skip
def test_this_test_would_see_it(code, wrong):
    assert what_is_wrong(code) == wrong
