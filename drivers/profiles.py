"""Profile files of every kind of device: YAML with the place of every value, so that what is wrong is told as
file:line:column. Unknown and duplicate keys are errors."""

from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]


P = TypeVar("P", bound=BaseModel)


class ProfileFileError(ValueError):
    """Not UTF-8, not YAML, a key given twice, or not of the model. Each line of the message begins with
    file:line:column."""


@dataclass(frozen=True, slots=True)
class MarkedYaml:
    """A document and where its values stand."""

    name: str
    data: Any
    marks: dict[Path, tuple[int, int]]

    def place(self, path: Path) -> str:
        """file:line:column of a value; of the nearest enclosing one when it is missing."""
        while path and path not in self.marks:
            path = path[:-1]
        line, column = self.marks.get(path, (1, 1))
        return f"{self.name}:{line}:{column}"


def parse_profile_file(content: bytes, name: str, model: type[P], **added: Any) -> tuple[P, MarkedYaml]:  # noqa: ANN401 - a model's values
    """The bytes of the file `name` as `model`, with values `added` that no file can hold. ProfileFileError with every
    fault."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProfileFileError(f"{name}:{line}:1: not UTF-8") from error
    document = _read(text, name)
    given = document.data if isinstance(document.data, dict) else {}
    if document.data is not None and not given:
        raise ProfileFileError(f"{name}:1:1: not a table of keys")
    for key in added.keys() & given.keys():
        raise ProfileFileError(f"{document.place((key,))}: {key} is not given in a file")
    try:
        return model.model_validate({**given, **added}), document
    except ValidationError as error:
        lines = [_told(document, fault["loc"], fault["msg"]) for fault in error.errors()]
        raise ProfileFileError("\n".join(lines)) from error


def _told(document: MarkedYaml, where: Path, what: str) -> str:
    key = ".".join(str(part) for part in where)
    return f"{document.place(where)}: {key + ': ' if key else ''}{what}"


def _read(text: str, name: str) -> MarkedYaml:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        marks: dict[Path, tuple[int, int]] = {}
        data = _build(loader, node, (), marks, name) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
        raise ProfileFileError(f"{where}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ProfileFileError(f"{name}:1:1: {error}") from error
    finally:
        loader.dispose()
    return MarkedYaml(name, data, marks)


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, marks: dict[Path, tuple[int, int]], name: str) -> Any:  # noqa: ANN401 - YAML values
    marks.setdefault(path, _position(node))
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*path, index), marks, name) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    result: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        line, column = _position(key_node)
        if not isinstance(key, str | int):
            raise ProfileFileError(f"{name}:{line}:{column}: {key!r} cannot be a key")
        if key in result:
            raise ProfileFileError(f"{name}:{line}:{column}: {key} is given twice")
        marks[(*path, key)] = (line, column)
        result[key] = _build(loader, value_node, (*path, key), marks, name)
    return result


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
