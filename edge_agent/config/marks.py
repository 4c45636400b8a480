"""YAML with the place of every key and value, and without YAML's surprises (dates, base 60, octal, doubled keys)."""

import math
import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

Loc = tuple[str | int, ...]

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 32
_MAX_NODES = 100_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place; `path` is the dotted key path, "" for the document."""

    place: Place
    path: str
    message: str


@dataclass(slots=True)
class Document:
    """A parsed document: plain data, and the place of each key and of each value by path."""

    data: Any = None
    keys: dict[Loc, Place] = field(default_factory=dict)
    values: dict[Loc, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Loc, of_key: bool = False) -> Place:
        """The place of a value (or of its key); of the nearest enclosing value when it is not there."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))


class _Loader(yaml.SafeLoader):
    """YAML 1.1 truth values (so that `host: no` is told as such), numbers in decimal or 0x only, no dates."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for tag, pattern, first in (
    ("bool", r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)", "yYnNtTfFoO"),
    ("int", r"(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789."),
    ("null", r"(?:~|null|Null|NULL|)", "~nN"),
    ("merge", r"(?:<<)", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), [*first, ""])


def read(text: str) -> Document:
    """Parse one document. Never raises: what cannot be used is in `problems`."""
    document = Document()
    if len(text.encode(errors="replace")) > _MAX_BYTES:
        document.problems.append(Problem(Place(1, 1), "", f"larger than {_MAX_BYTES} bytes"))
        return document
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        document.problems.append(Problem(place, "", error.problem or "not YAML"))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.problems.append(Problem(Place(line, 1), "", "a character that YAML does not allow"))
    except (yaml.YAMLError, RecursionError, ValueError):
        document.problems.append(Problem(Place(1, 1), "", "not YAML"))
    else:
        if node is not None:
            document.data = _Builder(document).build(node, ())
    return document


class _Builder:
    """Turns nodes into plain data, noting places and problems on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def build(self, node: yaml.Node, path: Loc) -> Any:  # noqa: ANN401 - YAML values
        self._nodes += 1
        self._document.values[path] = _start(node)
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            # Aliases of aliases grow without bound, and an alias may contain itself.
            if self._nodes <= _MAX_NODES + 1:
                self._problem(node, path, "too deep or too large (aliases?)")
            self._nodes = _MAX_NODES + 1
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self._problem(key_node, path, "only plain words can be keys")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                first = self._document.keys[here]
                self._problem(key_node, here, f"given twice, first at {first.line}:{first.column}")
                continue
            self._document.keys[here] = _start(key_node)
            result[key] = self.build(value_node, here)
        return result

    def _scalar(self, node: yaml.Node, path: Loc) -> Hashable:
        text = str(node.value)
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() in ("yes", "true", "on")
            case "int" | "float" as kind:
                return self._number(node, path, kind)
            case _:
                self._problem(node, path, f"the tag {node.tag} is not used here")
                return None

    def _number(self, node: yaml.Node, path: Loc, kind: str) -> int | float | None:
        text = str(node.value)
        try:
            number = float(text) if kind == "float" else int(text, 16 if text.startswith("0x") else 10)
        except ValueError:
            # An explicit tag on something that is no number, or more digits than Python converts.
            self._problem(node, path, "not a number")
            return None
        if not math.isfinite(number) or abs(number) >= 2**63:
            self._problem(node, path, "a number out of any range used here")
            return None
        return number

    def _problem(self, node: yaml.Node, path: Loc, message: str) -> None:
        self._document.problems.append(Problem(_start(node), ".".join(map(str, path)), message))


def _start(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
