"""examples/edit.ipynb runs as it stands, and is stored without outputs."""

import ast
import builtins
import time
from pathlib import Path

import nbformat
import pytest

FILE = Path(__file__).parents[1] / "examples" / "edit.ipynb"
NOTEBOOK = nbformat.read(FILE, as_version=4)
CODE = [cell.source for cell in NOTEBOOK.cells if cell.cell_type == "code"]


def test_it_is_stored_without_outputs():
    nbformat.validate(NOTEBOOK)
    assert all(not cell.outputs and cell.execution_count is None for cell in NOTEBOOK.cells if cell.cell_type == "code")
    assert FILE.stat().st_size < 20_000 and len(CODE) >= 8


def test_each_name_is_made_before_it_is_used():
    known = set(dir(builtins))
    for source in CODE:
        tree = ast.parse(source)
        nodes = list(ast.walk(tree))
        known |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        known |= {alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom | ast.Import)
                  for alias in node.names}  # fmt: skip
        known |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name}
        known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        assert {node.id for node in nodes if isinstance(node, ast.Name)} <= known, source


def test_its_code_runs(capsys):
    """The cells one after the other, without a kernel around them."""
    names: dict = {}
    for source in CODE:
        exec(compile(source, str(FILE), "exec"), names)
    said = capsys.readouterr().out
    assert names["edit"].instruction in said and "'helicopter' is not a word" in said and "kept: seed" in said
    assert names["best"].check.score == max(check.score for check in names["best"].candidates)


@pytest.mark.slow
def test_a_kernel_runs_it(tmp_path):
    from nbclient import NotebookClient

    began = time.monotonic()
    done = NotebookClient(NOTEBOOK, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs
                if "image/png" in output.get("data", {})]  # fmt: skip
    assert len(pictures) == 6
    print("seconds:", time.monotonic() - began)
