"""Configs are frozen dataclasses read from TOML. An unknown key or a wrong type is an error that says what is meant."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from uip2p.errors import UserError

T = TypeVar("T")


def from_dict(cls: type[T], mapping: Mapping[str, Any], where: str = "config") -> T:
    """Build the dataclass `cls`, recursively. `where` names the source in errors: "recipe mini-cycle [train]".

    Raises UserError for a key that `cls` does not have (with the nearest one that it has), for a key that is
    missing and has no default, and for a value of the wrong type.
    """
    if not isinstance(mapping, Mapping):
        raise UserError(f"{where}: expected a table of settings, got {_show(mapping)}.")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    check_keys(mapping, fields, where)
    missing = [f.name for f in fields.values() if f.name not in mapping and _required(f)]
    if missing:
        raise UserError(f"{where}: {', '.join(missing)} must be given.")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _convert(value, hints[name], where, name) for name, value in mapping.items()})


def check_keys(mapping: Mapping[str, Any], valid: Iterable[str], where: str) -> None:
    """Raises UserError for the first key that is not in `valid`, naming the nearest and all of them."""
    valid = list(valid)
    for name in mapping:
        if name not in valid:
            near = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{where}: unknown key {name!r}.{hint} Valid keys: {', '.join(valid)}.")


def to_dict(config: Any) -> dict[str, Any]:
    """The plain dict of a config, ready for JSON: tuples become lists, paths become strings."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def load_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file. Raises UserError that names the file, and the line where it is not TOML."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not valid TOML: {error}.") from None


def apply_overrides(mapping: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `mapping` with "train.steps=100" set in it. The value is TOML; a bare word is a string."""
    result = _copy(mapping)
    for override in overrides:
        path, sign, text = override.partition("=")
        names = [name.strip() for name in path.split(".")]
        if not sign or not all(names):
            raise UserError(f"override {override!r}: write it as name=value, for example train.steps=100.")
        table = result
        for name in names[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise UserError(f"override {override!r}: {name!r} is a value, not a table of settings.")
        table[names[-1]] = _toml_value(text.strip())
    return result


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _convert(value: Any, hint: Any, where: str, name: str) -> Any:
    """`value` as `hint` wants it: ints are floats, lists are tuples, tables are dataclasses, strings are paths."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    wrong = UserError(f"{where}: {name} must be {_describe(hint)}, got {_show(value)}.")
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for choice in arguments:
            try:
                return _convert(value, choice, where, name)
            except UserError as error:
                if dataclasses.is_dataclass(choice) and isinstance(value, Mapping):
                    raise error  # a table was meant as this dataclass: say what is wrong inside it
        raise wrong
    if origin is Literal:
        for choice in arguments:
            if value == choice and type(value) is type(choice):
                return value
        near = difflib.get_close_matches(str(value), [str(choice) for choice in arguments], n=1)
        raise UserError(f"{wrong}{f' Did you mean {near[0]!r}?' if near else ''}")
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, f"{where} {name}")  # type: ignore
    if origin in (tuple, list):
        if not isinstance(value, list | tuple):
            raise wrong
        if origin is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
            return origin(_convert(item, arguments[0], where, name) for item in value)
        if len(value) != len(arguments):
            raise wrong
        return tuple(_convert(item, kind, where, name) for item, kind in zip(value, arguments, strict=True))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise wrong
        return {key: _convert(item, arguments[1], where, f"{name}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is type(None):
        hint = types.NoneType
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise wrong
    return value


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    types.NoneType: "nothing",
}


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}: " + ", ".join(_describe(choice) for choice in arguments)
    if origin in (tuple, list):
        return f"a list, each {_describe(arguments[0])}"
    if dataclasses.is_dataclass(hint) or origin is not None:
        return "a table of settings"
    return _WORDS.get(hint, str(hint))


def _show(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copy(value) if isinstance(value, Mapping) else value for name, value in mapping.items()}
