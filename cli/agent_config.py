"""`suho agent config`: the settings file of the agent on this PC, what counts of it, and what changed when."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.config_values import assignments, shown
from cli.connection import JsonOption
from cli.output import fail, print_json, print_table, utc
from mesh.config import SettingsError, env_prefix, load_settings, refuse_unknown
from mesh.environment import environment
from pc_agent.config import AgentSettings
from pc_agent.domain.setting_rules import Reach, rule_of
from pc_agent.paths import config_file, log_folder, state_folder
from pc_agent.settings.journal import recall, records
from pc_agent.settings.judging import PROGRAM, Judged, UnfitError, judge
from pc_agent.settings.keeper import title_of

app = typer.Typer(no_args_is_help=True, help="The settings of the agent on this PC.")

DEFAULT_FILE = config_file()

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help=f"The agent's settings file; otherwise {env_prefix(PROGRAM)}CONFIG, or {DEFAULT_FILE}."
    ),
]
ValuesArgument = Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="TOML, or else a text.")]


@app.command()
def init(
    values: ValuesArgument = None,
    config: FileOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a file with every setting, each under what it means; edit it, then `check`."""
    from pc_agent.settings.document import commented

    file = file_named(config)
    if file.exists() and not force:
        fail(f"{file} is there already; --force replaces it, `suho agent config set` changes single settings")
    beside = config is not None
    folders = {
        "state_dir": str((file.parent / "agent").absolute() if beside else state_folder()),
        "log_dir": str((file.parent / "logs").absolute() if beside else log_folder()),
    }
    given = {**folders, **assignments(values or ())}
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, commented(AgentSettings.model_validate(folders)), assignments(values or ()))
    if as_json:
        print_json({"file": str(file), "changed": given})
    else:
        print(f"{file} has every setting with its default: say in it which terminal and which account, then check it")


@app.command("set")
def set_(values: ValuesArgument = None, config: FileOption = None, as_json: JsonOption = False) -> None:
    """Change settings in the file; all else in it stays, your comments too. They count from the agent's next start."""
    file, given = file_named(config), assignments(values or ())
    if not given:
        fail("nothing is to be changed: name what, e.g. max_spread_points=30", 2)
    _write(file, _read(file), given)
    if as_json:
        print_json({"file": str(file), "changed": given})
    else:
        said = ", ".join(f"{name} = {shown(value)}" for name, value in given.items())
        print(f"{file} says {said} now; it counts from the agent's next start")


@app.command()
def check(config: FileOption = None, as_json: JsonOption = False) -> None:
    """Whether the agent can start with the file; status 1 where it can not."""
    file = file_named(config)
    _read(file)
    try:
        settings = _load(file)
    except SettingsError as error:
        if as_json:
            print_json({"file": str(file), "fit": False, "because": str(error)})
            raise typer.Exit(1) from None
        fail(f"{file}: {error}")
    found, open_ = [fact for fact in _facts(settings) if fact["differs"]], _left_open(settings)
    if as_json:
        differing = [fact["name"] for fact in found]
        print_json({"file": str(file), "fit": True, "because": "", "differing": differing, "left_open": open_})
        return
    print(f"{file} is fit; not as by default: {', '.join(fact['name'] for fact in found) or 'nothing'}")
    for sentence in open_:
        print(sentence)


@app.command()
def show(config: FileOption = None, as_json: JsonOption = False) -> None:
    """Every setting as it counts, from where, and whether the mesh may change it."""
    facts = _facts(_checked(file_named(config)))
    if as_json:
        print_json({"settings": facts})
        return
    rows = [
        (fact["name"], _cell(fact), fact["from"], _cell({**fact, "value": fact["default"]}) if fact["differs"] else "-",
         fact["mesh"], fact["note"] or "-")
        for fact in facts
    ]  # fmt: skip
    print_table(("NAME", "VALUE", "FROM", "DEFAULT", "THE MESH", "NOTE"), rows, "")


@app.command()
def journal(
    config: FileOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many of the newest.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """What changed, when, by whom, and what was refused and why; oldest first."""
    found = list(records(_checked(file_named(config)).state_dir))[-limit:]
    if as_json:
        print_json({"records": found})
        return
    for record in found:
        print(f"{utc(record['at_unix_ms'])} {_cause(record)}: {record['outcome']}{_because(record)}")
        for change in record["changes"]:
            print(f"  {change['name']} {shown(change['old'])} → {shown(change['new'])} ({change['outcome']})")
    if not found:
        print("nothing changed yet")


def file_named(config: Path | None) -> Path:
    """The settings file that counts here."""
    return config or Path(environment(f"{env_prefix(PROGRAM)}CONFIG") or DEFAULT_FILE)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file} can not be read: {error}; `suho agent config init` writes one", 1)


def _load(file: Path) -> AgentSettings:
    """As the agent would start with it here; raises SettingsError."""
    return load_settings(AgentSettings, PROGRAM, ["--config", str(file)])


def checked_file(config: Path | None) -> tuple[Path, AgentSettings]:
    """The file that counts here, and what it says; the command ends where the agent could not start with it."""
    file = file_named(config)
    return file, _checked(file)


def _checked(file: Path) -> AgentSettings:
    _read(file)
    try:
        return _load(file)
    except SettingsError as error:
        fail(str(error))


def _write(file: Path, text: str, values: Mapping[str, Any]) -> None:
    """The text with other values, if the agent could start with it; otherwise the file stays and the command ends."""
    from pc_agent.settings.document import DocumentError, with_values

    fresh = file.with_name(f"{file.name}.new")
    try:
        for name in values:
            refuse_unknown(AgentSettings, name, "command line")
        fresh.write_text(with_values(text, values), "utf-8")
        _load(fresh)
        fresh.replace(file)
    except (SettingsError, DocumentError, OSError) as error:
        fresh.unlink(missing_ok=True)
        fail(f"{file} was not changed: {str(error).replace(str(fresh), str(file))}")


def _facts(settings: AgentSettings) -> list[dict[str, Any]]:
    """Each setting as the agent would have it when it starts now: the mesh's as remembered on this PC."""
    kept = recall(settings.state_dir).kept
    try:
        judged = judge(settings, kept.values)
    except UnfitError as error:
        judged = Judged(settings, dict.fromkeys(kept.values, f"what the mesh keeps does not fit: {error}"))
    values, own = judged.settings.model_dump(mode="json"), settings.model_dump(mode="json")
    defaults = AgentSettings(state_dir=settings.state_dir).model_dump(mode="json")
    return [
        {
            "name": name,
            "value": value,
            "from": settings.origin(name) if value == own[name] else title_of(kept),
            "default": defaults[name],
            "differs": value != defaults[name],
            "mesh": _mesh(name),
            "note": judged.held.get(name, ""),
        }
        for name, value in values.items()
    ]


def _left_open(settings: AgentSettings) -> list[str]:
    """What the agent will find by itself where the file does not say it: a person should know."""
    found = []
    for one in settings.terminals:
        path = "" if one.path else "no path, so the one that MetaTrader finds on this PC"
        login = "" if one.login else "no login, so the account that it is logged in to"
        if path or login:
            found.append(f"terminal {one.name!r} has {' and '.join(filter(None, (path, login)))}")
    return found


def _cell(fact: Mapping[str, Any]) -> str:
    """A value in a table; of terminals and sources their names."""
    if fact["name"] in ("terminals", "sources"):
        return ", ".join(one["name"] for one in fact["value"])
    return shown(fact["value"])


def _mesh(name: str) -> str:
    """What the mesh may do with it."""
    rule = rule_of(name)
    if rule.reach is Reach.LOCAL:
        return "may not change it"
    when = "at once" if rule.reach is Reach.LIVE else str(rule.reach)
    return f"may make it stricter {when}" if rule.guard else f"may change it {when}"


def _cause(record: Mapping[str, Any]) -> str:
    if record["from"] == "start":
        return "the agent started otherwise than before"
    made = [
        f"{what} version {record[key]['version']} by {record[key]['by']} ({record[key]['reason']})"
        for what, key in (("service", "of_service"), ("instance", "of_instance"))
        if record[key]["version"]
    ]
    return " + ".join(made) or "nothing is kept by the mesh any more"


def _because(record: Mapping[str, Any]) -> str:
    return f", {record['because']}" if record["because"] else ""
