"""The agent's settings as a TOML file for people: each with what it means, its unit and its default."""

from collections.abc import Mapping, Sequence
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

_HEADING = """\
Settings of Suho's agent on this PC. `suho agent config check` says whether they are right, `… show` what counts.
The command line and the environment (SUHO_PC_AGENT_…) count above this file; the mesh may change what is marked so."""

# Settings that stand as tables; a comment where there is none.
_TABLES = ("terminals", "sources")
_UNITS = {
    "_ms": "milliseconds",
    "_s": "seconds",
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
    """A whole file: every setting under its comment, tables last as TOML wants them."""
    document = tomlkit.document()
    for line in _HEADING.splitlines():
        document.add(tomlkit.comment(line))
    tables = {name: getattr(settings, name) for name in _TABLES}
    for name, field in AgentSettings.model_fields.items():
        comments = _comments(name, field, rule_of(name))
        if name not in tables:
            _add(document, name, getattr(settings, name), comments)
        elif not tables[name]:
            _add(document, name, None, [*comments, f"Each is a [[{name}]] table at the end of this file."])
    document.add(tomlkit.nl())
    for name, each in tables.items():
        if each:
            written = tomlkit.aot()
            for one in each:
                written.append(_table(one))
            document.add(name, written)
    return tomlkit.dumps(document)


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


def _table(one: Settings) -> Table:
    table = tomlkit.table()
    for name, field in type(one).model_fields.items():
        _add(table, name, getattr(one, name), _comments(name, field, None))
    return table


def _add(place: Container | Table, name: str, value: Any, comments: Sequence[str]) -> None:
    place.add(tomlkit.nl())
    for comment in comments:
        place.add(tomlkit.comment(comment))
    if value is None:  # TOML has no word for nothing
        place.add(tomlkit.comment(f'{name} = ""'))
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
    return str(tomlkit.item(plain(default)).as_string())


def _reach(rule: Rule | None) -> str:
    if rule is None or rule.reach is Reach.LOCAL:
        return ""
    when = "at once" if rule.reach is Reach.LIVE else str(rule.reach)
    return f"the mesh may change it {when}" + (", to what is stricter only" if rule.guard else "")
