"""YAML read strictly, and what is wrong with it told in lines that say where, what was got and what
was expected.
"""

import types
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel


class Loader(yaml.SafeLoader):
    """Plain data only, as SafeLoader; a key given twice is an error, not a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def set_override(raw: dict[str, Any], given: str, schema: type[BaseModel]) -> str | None:
    """Set one `a.b=value` in nested mappings; return what is wrong with it, if anything is.

    A value is read as YAML, except where `schema` takes text there, such as a path: that is taken
    as it stands, since YAML would end `rec #2` before the comment. `null` is none, where none is
    allowed.
    """
    name, separator, value = given.partition("=")
    keys = name.split(".")
    if not separator or not all(keys):
        return f"override {given!r}: expected section.key=value, for example privacy.epsilon=4."
    section = raw
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            return f"override {given!r}: {key!r} is a value, not a section."
    if _is_text(schema, keys) and value != "null":
        section[keys[-1]] = value
        return None
    try:
        section[keys[-1]] = yaml.load(value, Loader=Loader)  # noqa: S506  a SafeLoader, see above
    except yaml.YAMLError:
        return f"override {given!r}: the value is not valid YAML."
    return None


def _is_text(schema: type[BaseModel], keys: list[str]) -> bool:
    """Whether the setting of this name takes text, or text or none, and nothing else."""
    choices: list[Any] = [schema]
    for key in keys:
        section = next((one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if section is None or key not in section.model_fields:
            return False
        annotation = section.model_fields[key].annotation
        is_union = get_origin(annotation) in (Union, types.UnionType)
        choices = [one for one in get_args(annotation) if one is not types.NoneType] if is_union else [annotation]
    return [get_args(one)[0] if get_origin(one) is Annotated else one for one in choices] == [str]


def describe_problem(path: Path, found: Any) -> str:
    """Return one line for one pydantic error: where, what was got, what was expected."""
    where = ".".join(str(part) for part in found["loc"])
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "value_error":
        return f"{path}: {message}."
    if found["type"] == "extra_forbidden":
        return f"{path}: {where}: no such setting. Check the spelling; `speechpriv validate CONFIG --schema` lists all."
    if found["type"] == "missing":
        return f"{path}: {where}: missing; it has no default."
    return f"{path}: {where} = {found['input']!r}: {message}."
