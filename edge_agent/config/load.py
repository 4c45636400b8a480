"""From a file to a checked configuration, or to every error in it as file:line:column."""

import hashlib
import inspect
import json
import re
import typing
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from drivers.api import Clock
from edge_agent.model.errors import ConfigError

from . import installed
from .checks import findings
from .marks import Document, Loc, Place, Problem, read
from .schema import ConsoleConfig, LaneConfig

M = TypeVar("M", LaneConfig, ConsoleConfig)


def load_config(path: Path) -> LaneConfig:
    """The lane's configuration. ConfigError CONFIG_UNREADABLE, or CONFIG_INVALID whose message lists every error."""
    return _load(path, LaneConfig)


def load_console_config(path: Path) -> ConsoleConfig:
    """The console's part: of a lane's file, or of a file with only `console`. Raises as `load_config`."""
    content = _content(path)
    whole = read(_text(path, content)).data
    if isinstance(whole, dict) and "lane" not in whole:
        return parse(content, path, ConsoleConfig)
    lane = parse(content, path, LaneConfig)
    if lane.console is None:
        raise ConfigError("CONFIG_INVALID", f"{path.name}:1:1: console: Field required")
    return ConsoleConfig(console=lane.console)


def check_installed(path: Path, config: LaneConfig | ConsoleConfig, clock: Clock, *, files: bool) -> list[str]:
    """Whether this computer has what a good configuration names, with `files` keys and certificates too: the warnings,
    as file:line:column. ConfigError CONFIG_INVALID lists what is missing."""
    document = read(_text(path, _content(path)))
    found = installed.findings(config, clock, files=files)

    def listed(wanted: bool) -> list[Problem]:
        prefix = "warning: " if wanted else ""
        return [
            Problem(document.place(finding.path), _dotted(finding.path), prefix + finding.message)
            for finding in found
            if finding.warning is wanted
        ]

    errors, warnings = listed(False), listed(True)
    if errors:
        raise ConfigError("CONFIG_INVALID", _listed(path, errors + warnings))
    return _listed(path, warnings).splitlines()


def _load(path: Path, model: type[M]) -> M:
    return parse(_content(path), path, model)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "name the lane's file with --config"
        raise ConfigError("CONFIG_UNREADABLE", f"{path}: {error.strerror or error}", hint) from error


def _text(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("CONFIG_INVALID", f"{path.name}:{line}:1: not UTF-8") from error


def parse(content: bytes, path: Path, model: type[M]) -> M:
    """Check the bytes of a file; `path` names it in messages and is where relative paths count from. ConfigError."""
    document = read(_text(path, content))
    problems = list(document.problems)
    config: M | None = None
    if document.data is None and not problems:
        problems.append(Problem(Place(1, 1), "", "the file is empty"))
    elif not document.problems or document.data is not None:
        context = {"folder": path.resolve().parent, "digest": hashlib.sha256(content).hexdigest()}
        try:
            # JSON is the mode in which pydantic can be strict ("8080" is no number) and still read enums and paths.
            config = model.model_validate_json(json.dumps(document.data), strict=True, context=context)
        except ValidationError as error:
            # A value that could not be read is told once, not again as a value of the wrong type.
            told = {problem.path for problem in problems}
            found = _problems(document, model, error.errors(include_url=False))
            problems += [problem for problem in found if problem.path not in told]
    if config is not None:
        for finding in findings(config):
            place = document.place(finding.path)
            problems.append(Problem(place, _dotted(finding.path), finding.message))
    if problems or config is None:
        raise ConfigError("CONFIG_INVALID", _listed(path, problems))
    return config


def _listed(path: Path, problems: list[Problem]) -> str:
    lines = []
    for problem in sorted(set(problems), key=lambda p: (p.place.line, p.place.column, p.path)):
        where = f"{path.name}:{problem.place.line}:{problem.place.column}"
        lines.append(f"{where}: {problem.path}: {problem.message}" if problem.path else f"{where}: {problem.message}")
    return "\n".join(lines)


def _dotted(path: Loc) -> str:
    return ".".join(map(str, path))


def _problem(document: Document, model: type[BaseModel], detail: Any) -> Problem:  # noqa: ANN401 - ErrorDetails
    path = _path_in(document.data, detail["loc"], detail["type"] == "missing")
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return _unknown_key(document, path, _keys_at(model, detail["loc"][:-1]))
    if detail["type"] == "string_type" and isinstance(detail["input"], bool):
        message += " (yes, no, on and off are truth values in YAML: quote it)"
    elif detail["type"] == "string_type" and isinstance(detail["input"], int | float):
        message += " (quote it)"
    return Problem(document.place(path, of_key=detail["type"] == "missing"), _dotted(path), message)


def _problems(document: Document, model: type[BaseModel], details: list[Any]) -> list[Problem]:
    # A table whose keys are words of a union names each branch on its own: gather what would have been right.
    known: dict[Loc, list[str]] = {}
    problems = []
    for detail in details:
        if "[key]" in detail["loc"]:
            path = _path_in(document.data, detail["loc"], missing=False)
            known.setdefault(path, []).extend(re.findall(r"'(\w+)'", str(detail["msg"])))
        else:
            problems.append(_problem(document, model, detail))
    return problems + [_unknown_key(document, path, words) for path, words in known.items()]


def _unknown_key(document: Document, path: Loc, known: list[str]) -> Problem:
    near = get_close_matches(str(path[-1]), known, 1, 0.6)
    message = "unknown key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known))}")
    return Problem(document.place(path, of_key=True), _dotted(path), message)


def _path_in(data: Any, loc: Loc, missing: bool) -> Loc:  # noqa: ANN401 - plain YAML data
    """The path in the file: pydantic's own words for a branch of a union or for a key are left out."""
    path: list[str | int] = []
    for position, step in enumerate(loc):
        absent = missing and position == len(loc) - 1
        if isinstance(data, dict) and (step in data or absent):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _keys_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys the schema knows at a place pydantic names."""
    annotation: Any = model
    for step in loc:
        choices = _models_in(annotation)
        fields = [choice.model_fields[str(step)].annotation for choice in choices if step in choice.model_fields]
        if fields:
            annotation = fields[0]
        elif isinstance(step, str):
            # A branch of a union is named by its discriminator.
            tagged = [c for c in choices if "kind" in c.model_fields and step in _literals(c.model_fields["kind"])]
            annotation = tagged[0] if tagged else annotation
    return [name for choice in _models_in(annotation) for name in choice.model_fields]


def _literals(field: Any) -> tuple[Any, ...]:  # noqa: ANN401 - pydantic FieldInfo
    return typing.get_args(field.annotation)


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
