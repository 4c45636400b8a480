"""YAML with the place of every value, so that a wrong one is told as file:line:column. Duplicate keys are errors."""

from dataclasses import dataclass
from typing import Any

import yaml

Path = tuple[str | int, ...]


class MarkedYamlError(ValueError):
    """Not YAML, or a key given twice. The message begins with file:line:column."""


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


def read_marked(text: str, name: str) -> MarkedYaml:
    """Parse one document. MarkedYamlError when it is not valid."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        marks: dict[Path, tuple[int, int]] = {}
        data = _build(loader, node, (), marks, name) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
        raise MarkedYamlError(f"{where}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise MarkedYamlError(f"{name}:1:1: {error}") from error
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
            raise MarkedYamlError(f"{name}:{line}:{column}: {key!r} cannot be a key")
        if key in result:
            raise MarkedYamlError(f"{name}:{line}:{column}: {key} is given twice")
        marks[(*path, key)] = (line, column)
        result[key] = _build(loader, value_node, (*path, key), marks, name)
    return result


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
