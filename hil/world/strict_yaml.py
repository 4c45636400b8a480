"""Reading YAML with no tolerance: every unknown, missing, doubled or ill-typed key is told as name:line:column."""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import yaml

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Read = Callable[["Problems", yaml.Node], T]


class ScenarioError(Exception):
    """The text is not a valid scenario. `problems` has every fault found, each `name:line:column: message`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unusable(Exception):
    """This node gave nothing usable; the problem is noted already."""


class Problems:
    """Collects what is wrong with one text."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[tuple[int, int, str]] = []

    def note(self, node: yaml.Node, message: str) -> None:
        """Something is wrong at that node."""
        mark = node.start_mark
        self._found.append((mark.line + 1, mark.column + 1, message))

    def refuse(self, node: yaml.Node, message: str) -> Unusable:
        """Note it, and give the exception that ends the reading of this node."""
        self.note(node, message)
        return Unusable()

    def check(self) -> None:
        """Raise ScenarioError when anything was noted."""
        if self._found:
            raise ScenarioError(tuple(f"{self._name}:{line}:{col}: {text}" for line, col, text in sorted(self._found)))


class Section:
    """A mapping being read key by key; `close` refuses the keys nobody asked for."""

    def __init__(self, problems: Problems, node: yaml.Node, what: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            raise problems.refuse(node, f"{what}: expected a mapping")
        self.node = node
        self.problems = problems
        self._what = what
        self._keys: dict[str, yaml.Node] = {}
        self._asked: set[str] = set()
        self._values: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problems.note(key, f"{what}: a key must be a plain word")
            elif key.value in self._keys:
                problems.note(key, f"{what}: {key.value} is given twice")
            else:
                self._keys[key.value] = key
                self._values[key.value] = value

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def need(self, key: str, read: Read[T]) -> T:
        """The value of a key that must be there."""
        self._asked.add(key)
        if key not in self._values:
            raise self.problems.refuse(self.node, f"{self._what}: {key} is missing")
        return read(self.problems, self._values[key])

    def get(self, key: str, read: Read[T], default: T) -> T:
        """The value of a key, or the default when it is absent (or wrong, which is noted)."""
        self._asked.add(key)
        if key not in self._values:
            return default
        try:
            return read(self.problems, self._values[key])
        except Unusable:
            return default

    def items(self, key: str, read_item: Read[T]) -> tuple[T, ...]:
        """The items of a list; none when the key is absent. Items that are wrong are noted and left out."""
        nothing: tuple[T, ...] = ()
        return self.get(key, each(read_item), nothing)

    def close(self) -> None:
        """Refuse what is left."""
        for key, node in self._keys.items():
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                self.problems.note(node, f"{self._what}: unknown key {key}; known: {known}")


def compose(text: str, name: str) -> yaml.Node:
    """The root node of a single document. ScenarioError when it is not YAML, or empty."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{mark.line + 1}:{mark.column + 1}" if mark is not None else "1:1"
        raise ScenarioError((f"{name}:{at}: {error.problem or error}",)) from None
    except yaml.YAMLError as error:
        raise ScenarioError((f"{name}:1:1: {' '.join(str(error).split())}",)) from None
    if node is None:
        raise ScenarioError((f"{name}:1:1: empty",))
    return node


def text_of(problems: Problems, node: yaml.Node) -> str:
    """A string; a number or yes/no must be quoted to be one."""
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        raise problems.refuse(node, "expected text (quote it when it looks like a number or yes/no)")
    return str(node.value)


def flag_of(problems: Problems, node: yaml.Node) -> bool:
    """true or false."""
    if not isinstance(node, yaml.ScalarNode) or node.value not in ("true", "false"):
        raise problems.refuse(node, "expected true or false")
    return bool(node.value == "true")


def number(low: float = -math.inf, high: float = math.inf) -> Read[float]:
    """A finite number from `low` to `high`."""

    def read(problems: Problems, node: yaml.Node) -> float:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in (
            "tag:yaml.org,2002:int",
            "tag:yaml.org,2002:float",
        ):
            raise problems.refuse(node, "expected a number")
        try:
            value = float(node.value)
        except ValueError:
            raise problems.refuse(node, "expected a plain decimal number") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise problems.refuse(node, f"{node.value} is out of range {low:g} to {high:g}")
        return value

    return read


def whole(low: int, high: int) -> Read[int]:
    """A whole number from `low` to `high`."""

    def read(problems: Problems, node: yaml.Node) -> int:
        value = number(low, high)(problems, node)
        if value != int(value):
            raise problems.refuse(node, "expected a whole number")
        return int(value)

    return read


def one_of(kind: type[E]) -> Read[E]:
    """A value of the enum."""

    def read(problems: Problems, node: yaml.Node) -> E:
        try:
            return kind(text_of(problems, node))
        except ValueError:
            known = ", ".join(member.value for member in kind)
            raise problems.refuse(node, f"expected one of {known}") from None

    return read


def word(*known: str) -> Read[str]:
    """One of these words."""

    def read(problems: Problems, node: yaml.Node) -> str:
        value = text_of(problems, node)
        if value not in known:
            raise problems.refuse(node, f"expected one of {', '.join(known)}")
        return value

    return read


def each(read_item: Read[T]) -> Read[tuple[T, ...]]:
    """A list; items that are wrong are noted and left out."""

    def read(problems: Problems, node: yaml.Node) -> tuple[T, ...]:
        if not isinstance(node, yaml.SequenceNode):
            raise problems.refuse(node, "expected a list")
        items: list[T] = []
        for child in node.value:
            try:
                items.append(read_item(problems, child))
            except Unusable:
                continue
        return tuple(items)

    return read
