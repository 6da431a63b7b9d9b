"""The agent's settings as a TOML file for people: each with what it means, its unit and its default."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import tomlkit
from pydantic.fields import FieldInfo
from tomlkit.container import Container
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from mesh.config import Settings
from pc_agent.config import AgentSettings
from pc_agent.domain.setting_rules import Reach, Rule, rule_of
from pc_agent.settings.sources import SourceSettings
from pc_agent.settings.terminals import TerminalSettings

_HEADING = """\
Settings of Suho's agent on this PC. `suho agent config check` says whether they are right, `… show` what counts.
The command line and the environment (SUHO_PC_AGENT_…) count above this file; the mesh may change what is marked so."""

# Settings that stand as tables, last as TOML wants them; and what is said above an example of one more.
_TABLES: Mapping[str, tuple[type[Settings], str]] = {
    "terminals": (
        TerminalSettings,
        "An example of one more. Those of one account work in parallel; each needs path, login and server then, the"
        " first too. To use it take the first '# ' of its lines away:",
    ),
    "sources": (SourceSettings, "An example. To use it take the first '# ' of its lines away:"),
}
_WIDTH = 118
_UNITS = {
    "_ms": "milliseconds",
    "_s": "seconds",
    "_minutes": "minutes",
    "_days": "days",
    "_points": "points",
    "_percent": "percent",
    "_mb": "megabytes",
    "_volume": "lots",
    "_loss": "the account's currency",
}


class DocumentError(ValueError):
    """The file is no TOML; the text says where."""


def unit_of(name: str) -> str:
    """By the end of a setting's name; empty where it has none."""
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")


def commented(settings: AgentSettings) -> str:
    """A whole file: every setting under its comment, then the tables, with an example of each behind comment signs."""
    document = tomlkit.document()
    for line in _HEADING.splitlines():
        document.add(tomlkit.comment(line))
    for name, field in AgentSettings.model_fields.items():
        if name not in _TABLES:
            _add(document, name, getattr(settings, name), field, _comments(name, field, rule_of(name)))
    parts = [tomlkit.dumps(document)]
    for name, (cls, sentence) in _TABLES.items():
        given = getattr(settings, name)
        parts.append(_behind_signs(AgentSettings.model_fields[name].description or ""))
        parts += [_table(name, one, cls.model_fields) for one in given]
        said = textwrap.fill(sentence, _WIDTH)
        parts.append(_behind_signs(f"{said}\n\n{_example(name, cls, is_described=bool(given))}"))
    return "\n".join(parts)


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """A file with other values, as a person wrote it otherwise: comments and order stay.

    Raises:
        DocumentError: it is no TOML.
    """
    document = parsed(text)
    for name, value in values.items():
        known = name in document
        item = tomlkit.item(plain(value))
        if not known:
            item.comment(AgentSettings.model_fields[name].description or "")
        document[name] = item
    return tomlkit.dumps(document)


def parsed(text: str) -> tomlkit.TOMLDocument:
    """Raises DocumentError: it is no TOML."""
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise DocumentError(str(error)) from None


def plain(value: Any) -> Any:
    """As TOML has it."""
    match value:
        case bool() | int() | float():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {name: plain(item) for name, item in value.items()}
        case str():
            return str(value)
        case Sequence():
            return [plain(item) for item in value]
    return str(value)


def _table(name: str, one: Settings, described: Collection[str]) -> str:
    """An element of the array `name`: with its fields' comments where they are `described`, else those given alone."""
    table = tomlkit.table()
    for field, facts in type(one).model_fields.items():
        if field in described or field in one.model_fields_set:
            comments = _comments(field, facts, None) if field in described else ()
            _add(table, field, getattr(one, field), facts, comments)
    array = tomlkit.aot()
    array.append(table)
    return tomlkit.dumps({name: array})


def _example(name: str, cls: type[Settings], *, is_described: bool) -> str:
    """`is_described`: a table with all comments stands above it."""
    values = {field: facts.examples[0] for field, facts in cls.model_fields.items() if facts.examples}
    return _table(name, cls.model_construct(**values), () if is_described else cls.model_fields)


def _behind_signs(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _add(place: Container | Table, name: str, value: Any, field: FieldInfo, comments: Sequence[str]) -> None:
    if comments:
        place.add(tomlkit.nl())
    for comment in comments:
        place.add(tomlkit.comment(comment))
    if value is None:  # TOML has no word for nothing
        place.add(tomlkit.comment(f"{name} = {_written(*(field.examples or ['']))}"))
    elif isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        inline.update(plain(value))
        place.add(name, inline)
    else:
        place.add(name, plain(value))


def _comments(name: str, field: FieldInfo, rule: Rule | None) -> list[str]:
    facts = [unit_of(name), "must be given" if field.is_required() else f"default {_default(field)}", _reach(rule)]
    return [field.description or "", "; ".join(fact for fact in facts if fact)]


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default is None or default in ("", (), {}):
        return "none"
    if isinstance(default, Settings | tuple) and not all(isinstance(item, str) for item in default):
        return "as here"
    return _written(default)


def _written(value: Any) -> str:
    return str(tomlkit.item(plain(value)).as_string())


def _reach(rule: Rule | None) -> str:
    if rule is None or rule.reach is Reach.LOCAL:
        return ""
    when = "at once" if rule.reach is Reach.LIVE else str(rule.reach)
    return f"the mesh may change it {when}" + (", to what is stricter only" if rule.guard else "")
