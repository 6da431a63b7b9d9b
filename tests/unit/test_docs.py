"""The documents say what the code says: places that are named, commands, settings, the reasons of refusals."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli.__main__ import app
from pc_agent.config import AgentSettings
from pc_agent.domain.setting_rules import Guard, Reach, rule_of
from pc_agent.settings.sources import SourceSettings
from pc_agent.settings.terminals import TerminalSettings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_REASON = re.compile(r"[A-Z]{2,}(_[A-Z]+)*")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@cache
def headings(document: Path) -> dict[str, str]:
    """A document's sections, by what a link to them ends with."""
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", document.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-"): title for title in titles}


def section(name: str, title: str) -> str:
    """Of a document: from its heading to the next one."""
    parts = re.split(rf"^##+ {re.escape(title)}$", (ROOT / name).read_text("utf-8"), maxsplit=1, flags=re.MULTILINE)
    assert len(parts) == 2, f"{name} has no section {title!r}"
    return re.split(r"^##+ ", parts[1], maxsplit=1, flags=re.MULTILINE)[0]


def code(text: str) -> set[str]:
    """What stands between backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def test_every_link_between_documents_leads_somewhere() -> None:
    """To a file, and to a section of it where one is named."""
    lost = []
    for document in DOCUMENTS:
        for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", document.read_text("utf-8")):
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor not in headings(target)):
                lost.append(f"{document.relative_to(ROOT)}: {path}#{anchor}")
    assert not lost


def test_what_the_code_names_of_the_documents_is_there() -> None:
    """As `docs/NAME.md`, with a section in quotation marks behind it where one is meant."""
    named = re.compile(r"docs/([a-z0-9/-]+\.md)(?:, \"([^\"]+)\")?")
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.proto"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    files = [ROOT / name for name in listed.stdout.split() if (ROOT / name).is_file()]
    if not files:
        pytest.skip("not a git checkout: nothing is tracked")
    lost = []
    for file in files:
        for name, title in named.findall(file.read_text("utf-8")):
            document = ROOT / "docs" / name
            if not document.is_file() or (title and title not in headings(document).values()):
                lost.append(f"{file.relative_to(ROOT)}: {name}, {title}")
    assert not lost


def test_every_command_in_the_documents_can_be_given() -> None:
    """Its words and its options are those of the command line."""
    wrong = [
        f"{document.relative_to(ROOT)}: {line}: {why}"
        for document in DOCUMENTS
        for line in _commands(document.read_text("utf-8"))
        if (why := _refused(shlex.split(line, comments=True)[1:]))
    ]
    assert not wrong


def _commands(text: str) -> Iterator[str]:
    yield from re.findall(r"^suho .*$", "\n".join(_FENCE.findall(text)), re.MULTILINE)
    yield from re.findall(r"`(suho [^`]+)`", _FENCE.sub("", text).replace("\n", " "))


def _refused(words: list[str]) -> str:
    command: Any = get_command(app)
    context: Any = None  # none of ours looks at it
    rest = iter(words)
    while isinstance(command, TyperGroup):
        word = next(rest, "…")
        if word in ("…", "--help"):
            return ""
        if word.startswith("-"):
            break
        found = command.get_command(context, word)
        if found is None:
            return f"no command {word!r}"
        command = found
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in rest if word.startswith("-") and len(word) > 1]
    return ", ".join(f"no option {name}" for name in given if name not in known | {"--help"})


def test_every_setting_of_the_agent_stands_in_its_document() -> None:
    """By what the mesh may do with it; those of a terminal and of a source too."""
    rows = [line.split("|")[2] for line in section("docs/agent.md", "Settings").splitlines() if line.startswith("| ")]
    changed, stricter, later, local = (code(row) for row in rows[1:5])
    told = dict.fromkeys(changed, "changed") | dict.fromkeys(stricter, "stricter")
    told |= dict.fromkeys(later, "later") | dict.fromkeys(local, "local")
    assert told == {name: _reach(name) for name in AgentSettings.model_fields}
    for settings, title in ((TerminalSettings, "Several terminals"), (SourceSettings, "Ticks from files")):
        text = section("docs/agent.md", title)
        assert not [name for name in settings.model_fields if not re.search(rf"\b{name}\b", text)]


def _reach(name: str) -> str:
    rule = rule_of(name)
    match rule.reach:
        case Reach.LIVE:
            return "changed" if rule.guard is Guard.NONE else "stricter"
        case Reach.RESTART:
            return "later"
    return "local"


def test_the_engines_reasons_are_those_of_the_document() -> None:
    """Of a denial; one that is made of a symbol's mode is told by its ends."""
    risk = ast.parse((ROOT / "services/trading_engine/domain/risk.py").read_text("utf-8"))
    made = {f"SYMBOL_{mode}_ONLY" for mode in ("LONG", "SHORT", "CLOSE")}
    told = {name for name in code(section("docs/orders.md", "The engine")) if _REASON.fullmatch(name)}
    assert told == _reasons_in(risk, {"Denial"}) | made


def test_the_agents_reasons_are_those_of_the_document() -> None:
    """Of refusals and of every other outcome, wherever the agent makes one; but for the broker's own, its retcodes."""
    made: set[str] = set()
    for file in (ROOT / "pc_agent").rglob("*.py"):
        if "twin" not in file.parts:
            made |= _reasons_in(ast.parse(file.read_text("utf-8")), {"Refusal", "Result", "_halted"})
    titles = ("The agent", "UNKNOWN")
    told = {name for title in titles for name in code(section("docs/orders.md", title)) if _REASON.fullmatch(name)}
    assert made == told


def _reasons_in(tree: ast.AST, makers: set[str]) -> set[str]:
    """Names in capitals, in a module that makes any with one written out; not those of its enums."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node) in makers]
    if not any(_capitals(call) for call in calls):
        return set()
    enums = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and "Enum" in ast.unparse(node)]
    strange = {id(part) for node in enums for part in ast.walk(node)}
    return set(_capitals(tree, strange))


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _capitals(tree: ast.AST, strange: Iterable[int] = ()) -> list[str]:
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in strange
        if _REASON.fullmatch(node.value)
    ]
