"""A whole folder of pictures, each with its own instruction: resumable, and one bad row does not stop the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from tqdm import tqdm

from uip2p.editing.editor import Edited, Editor
from uip2p.editing.instructions import check_instruction
from uip2p.editing.reversibility import Check, Words, check_words, load_encoder
from uip2p.errors import UserError
from uip2p.evaluate.rows import identity
from uip2p.images import WRITERS, load_image, write_atomic
from uip2p.models.folder import SHIPPED
from uip2p.provenance.writer import Writer, model_name

# What a row may say for a check, named as in `EditRecord`; each is left to the grammar where it does not
WORDS = {"reverse": "reverse_instruction", "caption": "caption", "edited_caption": "edited_caption"}
EVERY_FILE_SAYS_SO = Writer()
DONE_FILE = "edits.jsonl"  # one line for each finished picture: what was asked, and what was done


@dataclass(frozen=True, slots=True)
class Row:
    """One line of metadata.jsonl. output: its name under the output folder. words: for a check, what else it says."""

    number: int
    file_name: str
    instruction: str
    output: str
    words: Words = field(default_factory=Words)


@dataclass(slots=True)
class Summary:
    """edited, skipped: how many pictures. failed: one dict a bad row, with its `row`, `file_name` and `error`."""

    edited: int
    skipped: int
    failed: list[dict[str, Any]]


def edit_records(
    editor: Editor, records: str | Path, out: str | Path, *, batch_size: int = 8, quiet: bool = False,
    writer: Writer = EVERY_FILE_SAYS_SO, **options: Any,
) -> Summary:  # fmt: skip
    """Edits the pictures of an imagefolder: `file_name` (beside the records) and `instruction` of every row.

    Outputs are named as the inputs (a format we do not write becomes .png). A picture whose output is there, made of
    the same row, is skipped. writer: how the pictures are written. options: those of `Editor.edit`; for a check,
    `reverse_instruction`, `caption` and `edited_caption` are taken from the rows that have them. UserError: unreadable
    records, full disk; `out` holds results of another model or of other options.
    """
    records, out = Path(records), Path(out)
    checked = bool(options.get("check")) or options.get("best_of", 1) != 1
    rows, failed = read_rows(records, checked)
    request = {**what_was_loaded(editor), **options, **writer.asked()}
    done = _read_done(out / DONE_FILE, request)
    if checked:
        load_encoder(options.get("clip"), editor)  # before any picture is made
    if out.resolve() == records.parent.resolve():
        raise UserError(f"{out}: this is the folder of the input pictures. Give another one for the results.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: this folder cannot be made ({error.strerror}). Give another one.") from error

    todo = [row for row in rows if done.get(row.output) != _asked(row) or not (out / row.output).is_file()]
    summary = Summary(0, len(rows) - len(todo), failed)
    model = model_name(editor)
    ready = _load(todo, records.parent, editor, failed, checked)
    with tqdm(total=len(todo), unit=" pictures", disable=True if quiet else None) as bar:
        bar.update(0)
        while batch := list(islice(ready, batch_size)):
            pictures, texts = [picture for _, picture in batch], [row.instruction for row, _ in batch]
            words: dict[str, Any] = (
                {name: [getattr(row.words, name) for row, _ in batch] for name in WORDS} if checked else {}
            )
            results = editor.edit(pictures, texts, batch_size=batch_size, **options, **words)
            for (row, _), edited in zip(batch, results, strict=True):
                _save(row, edited, out, request, writer, model, records.parent)
            summary.edited += len(batch)
            bar.update(summary.edited + len(failed) - bar.n)
    failed.sort(key=lambda failure: failure["row"])
    return summary


def read_rows(records: Path, checked: bool = False) -> tuple[list[Row], list[dict[str, Any]]]:
    """The rows of a metadata.jsonl, and what is wrong with those that are none. UserError: no such file, no row.

    checked: whether the words for a check are read too.
    """
    try:
        lines = records.read_text(encoding="utf-8").splitlines()
    except IsADirectoryError:
        raise UserError(f"{records}: this is a folder. Give its metadata.jsonl.") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{records}: cannot be read ({reason}). Give a metadata.jsonl.") from error
    rows: list[Row] = []
    failed: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _parse(number, line, checked)
            if (first := taken.setdefault(row.output, number)) != number:
                raise UserError(f"its result has the name of row {first}'s ({row.output}): rename one of the pictures.")
            rows.append(row)
        except UserError as error:
            failed.append(_failure(number, None, error))
    if not rows and not failed:
        raise UserError(f"{records}: it has no rows. Each line is a JSON object with file_name and instruction.")
    return rows, failed


def _parse(number: int, line: str, checked: bool) -> Row:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise UserError(f"not JSON ({error}).") from None
    if not isinstance(content, dict):
        raise UserError("not a JSON object.")
    for key in ("file_name", "instruction"):
        if not isinstance(content.get(key), str) or not content[key].strip():
            raise UserError(f"the field '{key}' is missing or not a text.")
    words = {name: content.get(key) for name, key in WORDS.items()} if checked else {}
    for name, text in words.items():
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise UserError(f"the field '{WORDS[name]}' is not a text: correct it, or leave it out.")
    path = PurePosixPath(content["file_name"].replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"file_name '{content['file_name']}' leads out of the records' folder: use a name inside it.")
    output = path if path.suffix.lower() in WRITERS else path.with_suffix(".png")
    return Row(number, content["file_name"], content["instruction"], str(output), Words(**words))


def _load(
    rows: list[Row], folder: Path, editor: Editor, failed: list[dict[str, Any]], checked: bool
) -> Iterator[tuple[Row, Image.Image]]:
    """Rows with their pictures, those that can be edited; the others go to `failed`."""
    for row in rows:
        try:
            text = check_instruction(row.instruction, editor.parts)
            if checked:
                check_words(text, row.words, editor.parts)
            yield row, load_image(folder / row.file_name)
        except UserError as error:
            failed.append(_failure(row.number, row.file_name, error))


def _failure(number: int, file_name: str | None, error: UserError) -> dict[str, Any]:
    return {"row": number, "file_name": file_name, "error": str(error)}


def _save(
    row: Row, edited: Edited, out: Path, request: dict[str, Any], writer: Writer, model: str, sources: Path
) -> None:
    """The picture first, its line after it: a line is a promise that the picture is there."""
    path = out / row.output
    path.parent.mkdir(parents=True, exist_ok=True)
    writer.save(edited.image, path, writer.made(edited, model), sources / row.file_name)
    made = {"output": row.output, "asked": _asked(row), "request": request, **asdict_without_image(edited)}
    try:
        with open(out / DONE_FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps(made, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{out / DONE_FILE}: cannot be written ({error.strerror}). Free some space, go on.") from error


def asdict_without_image(edited: Edited) -> dict[str, Any]:
    """What was done, as JSON; of a check and its candidates only where there is one."""
    made = {name: value for name, value in _shallow(edited).items() if name not in ("image", "check", "candidates")}
    if edited.check:
        made |= {name: value for name, value in _shallow(edited.check).items() if name not in ("seed", "reversed")}
    if edited.candidates:
        made["candidates"] = [_figures(check) for check in edited.candidates]
    return made


def _shallow(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _figures(check: Check) -> dict[str, Any]:
    return {name: getattr(check, name) for name in ("seed", "reversibility", "direction", "score")}


def _asked(row: Row) -> dict[str, Any]:
    words = {name: text for name, text in asdict(row.words).items() if text is not None}
    return {"file_name": row.file_name, "instruction": row.instruction, **words}


def what_was_loaded(editor: Editor) -> dict[str, Any]:
    """The model and all that went on it, weights by their fingerprints."""
    loaded = {"model": editor.parts.name, **editor.parts.loaded}
    weights = {name: loaded[name] for name in ("model", "lora", "tiny_decoder") if loaded.get(name)}
    return loaded | {name: identity(SHIPPED.get(str(which), which)) for name, which in weights.items()}


def _read_done(path: Path, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """output -> what its row asked. A line cut short by a kill is dropped, and the file put right. UserError: a picture
    was made by another request."""
    if not path.is_file():
        return {}
    done, whole = {}, []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            content = json.loads(line)
            output, asked, before = content["output"], content["asked"], dict(content["request"])
        except (ValueError, KeyError, TypeError):
            continue
        names = [name for name in before | request if before.get(name) != request.get(name)]
        if names:
            other = ", ".join(f"{name} {_said(before.get(name))} (now {_said(request.get(name))})" for name in names)
            raise UserError(f"{path.parent}: holds pictures made with {other}. Ask for the same, or give another -o.")
        done[output] = asked
        whole.append(line)
    write_atomic(path, "".join(line + "\n" for line in whole).encode())
    return done


def _said(value: Any) -> str:
    return "the default" if value is None else str(value)
