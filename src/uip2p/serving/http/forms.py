"""The fields of `POST /v1/images/edits`, and how they become a request of the service."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request as HttpRequest

from uip2p.serving.asking import MAX_PIXELS
from uip2p.serving.http.errors import BadRequest

IMAGE = ("image", "image[]")  # the openai client sends a list under the second name
MOST_FIELDS, LONGEST = 40, 8192  # fields, and bytes of one that is no picture
REFUSED = {
    "mask": "this editor takes no mask: say in the prompt what to change.",
    "markup": "this editor takes no markup: say in the prompt what to change.",
    "url": "response_format url: nothing is kept here that an address could lead to. Take b64_json.",
}

Format = Literal["png", "jpeg", "webp"]
Text = Annotated[str, Field(max_length=2000)]
Scale = Annotated[float, Field(ge=0, le=100)]


class Fields(BaseModel):
    """As OpenAI has them, with ours after `model`. Those that an editor of pictures has no use for are taken only in
    values that ask for nothing."""

    model_config = ConfigDict(extra="forbid")

    prompt: Text = Field(description="The instruction, such as 'make the car blue'.")
    n: int = Field(1, ge=1, description="Results, of seeds seed, seed + 1, …")
    size: str = Field("auto", pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$", description="auto is the picture's "
                      "own; WIDTHxHEIGHT must have its proportions, and the result is resized.")  # fmt: skip
    response_format: Literal["b64_json"] = "b64_json"
    output_format: Format = "png"
    output_compression: int | None = Field(None, ge=0, le=100, description="Quality of JPEG (by default 95) and of "
                                           "WebP, which is lossless at 100 and by default.")  # fmt: skip
    stream: bool = Field(False, description="Server-sent events rather than one answer.")
    partial_images: int = Field(0, ge=0, le=3, description="With stream: pictures on the way, of each result, at most.")
    model: str | None = Field(None, max_length=200, description="The model that is served, or nothing.")
    seed: int = Field(0, ge=0, lt=2**63)
    steps: int | None = Field(None, ge=1, description="Denoising steps. By default the model's.")
    guidance_scale: Scale | None = Field(None, description="How strongly to follow the prompt.")
    image_guidance_scale: Scale | None = Field(None, description="How closely to keep the picture.")
    check: bool = Field(False, description="Undo each result by its reverse, and say how well the picture comes back.")
    best_of: int = Field(1, ge=1, description="Check this many seeds, and answer the best one. n must be 1.")
    reverse_prompt: Text | None = Field(None, description="For a check: the instruction that undoes the edit.")
    caption: Text | None = Field(None, description="For a check: of the picture.")
    edited_caption: Text | None = Field(None, description="For a check: of the result.")
    progress: bool = Field(False, description="With stream: an event image_edit.progress after each step.")
    user: str | None = Field(None, max_length=512, description="Ignored.")
    safety_identifier: str | None = Field(None, max_length=512, description="Ignored.")
    background: Literal["auto", "opaque"] = "auto"
    quality: Literal["auto", "standard"] = "auto"
    moderation: Literal["auto"] = "auto"


async def read_form(request: HttpRequest) -> tuple[bytes, Fields]:
    """The picture's file, and the fields. BadRequest names the field."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise BadRequest("send the picture and the fields as multipart/form-data.", None, 415, "unsupported_media_type")
    async with request.form(max_files=4, max_fields=MOST_FIELDS, max_part_size=LONGEST) as form:
        fields = check_fields(form)
        return await _picture(form).read(), fields


def check_fields(form: FormData) -> Fields:
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if name in IMAGE:
            continue
        if name in REFUSED:
            raise BadRequest(REFUSED[name], name)
        if not isinstance(value, str):
            raise BadRequest(f"{name[:40]}: this is a file, and only image is one.", name[:40])
        if name in texts:
            raise BadRequest(f"{name[:40]} is there twice.", name[:40])
        texts[name] = value
    if texts.get("response_format") == "url":
        raise BadRequest(REFUSED["url"], "response_format")
    try:
        fields = Fields.model_validate(texts)
    except ValidationError as error:
        raise _said(error) from None
    if not fields.stream and (fields.partial_images or fields.progress):
        name = "partial_images" if fields.partial_images else "progress"
        raise BadRequest(f"{name} is for a stream: give stream=true too.", name)
    if fields.best_of > 1 and fields.n > 1:
        raise BadRequest("best_of keeps one result: leave n at 1.", "best_of")
    given = next((name for name in ("reverse_prompt", "caption", "edited_caption") if name in texts), None)
    if given and not fields.check and fields.best_of == 1:
        raise BadRequest(f"{given} is for a check: give check=true too.", given)
    return fields


def wanted_size(size: str, picture: tuple[int, int], max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """"auto", or "WIDTHxHEIGHT" of the picture's own proportions -> (width, height) of the result. UserError."""
    if size == "auto":
        return picture
    if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", size, re.ASCII):
        raise BadRequest(f"size is {size[:40]!r}: give auto, or WIDTHxHEIGHT, such as 640x480.", "size")
    width, height = (int(side) for side in size.split("x"))
    if width * height > max_pixels:
        raise BadRequest(f"size is {size}: the limit is {max_pixels / 1e6:g} megapixels.", "size")
    if abs(width * picture[1] - height * picture[0]) > max(picture):  # more than a pixel off
        own = f"{picture[0]}x{picture[1]}"
        raise BadRequest(f"size is {size}, and the picture {own}: an edit keeps the picture's proportions, so give "
                         "auto, or a size of the same proportions.", "size")  # fmt: skip
    return width, height


def _picture(form: FormData) -> UploadFile:
    found = [value for name in IMAGE for value in form.getlist(name)]
    if not found:
        raise BadRequest("image is missing: send the picture as a file.", "image", code="missing")
    if len(found) > 1:
        raise BadRequest(f"there are {len(found)} images: this editor takes one picture at a time.", "image")
    if not isinstance(found[0], UploadFile):
        raise BadRequest("image is a text: send it as a file, with a file name.", "image")
    return found[0]


def _said(error: ValidationError) -> BadRequest:
    """The first thing that is wrong, as a sentence."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])[:40]
    if first["type"] == "extra_forbidden":
        known = ", ".join(Fields.model_fields)
        return BadRequest(f"there is no field {name!r}. There are image, {known}.", name, code="unknown_field")
    if first["type"] == "missing":
        return BadRequest(f"{name} is missing.", name, code="missing")
    message = first["msg"]
    return BadRequest(f"{name}: {message[0].lower()}{message[1:]}.", name)


def schema(most: dict[str, int]) -> dict[str, Any]:
    """The form, for OpenAPI. most: the largest value of a field, where this service has its own."""
    form = Fields.model_json_schema()
    for name, field in form["properties"].items():
        for choice in field.pop("anyOf", []):
            if choice != {"type": "null"}:
                field.update(choice)
        if field.get("default", "") is None:
            del field["default"]
        if name in most:
            field["maximum"] = most[name]
    picture = {"type": "string", "format": "binary", "description": "One PNG, JPEG or WebP file."}
    form["properties"] = {"image": picture, **form["properties"]}
    form["required"] = ["image", *form["required"]]
    del form["title"]
    return form
