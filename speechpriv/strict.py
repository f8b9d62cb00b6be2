"""YAML read strictly, and what is wrong with it told in lines that say where, what was got and what was expected."""

from pathlib import Path
from typing import Any

import yaml


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


def override(raw: dict[str, Any], given: str) -> str | None:
    """Set one `a.b=value` in nested mappings; what is wrong with it, if anything is."""
    name, separator, value = given.partition("=")
    keys = name.split(".")
    if not separator or not all(keys):
        return f"override {given!r}: expected section.key=value, for example privacy.epsilon=4."
    section = raw
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            return f"override {given!r}: {key!r} is a value, not a section."
    try:
        section[keys[-1]] = yaml.load(value, Loader=Loader)  # noqa: S506  a SafeLoader, see above
    except yaml.YAMLError:
        return f"override {given!r}: the value is not valid YAML."
    return None


def problem(path: Path, found: Any) -> str:
    """One line for one pydantic error: where, what was got, what was expected."""
    where = ".".join(str(part) for part in found["loc"])
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "value_error":
        return f"{path}: {message}."
    if found["type"] == "extra_forbidden":
        return f"{path}: {where}: no such setting. Check the spelling; `speechpriv validate CONFIG --schema` lists all."
    if found["type"] == "missing":
        return f"{path}: {where}: missing; it has no default."
    return f"{path}: {where} = {found['input']!r}: {message}."
