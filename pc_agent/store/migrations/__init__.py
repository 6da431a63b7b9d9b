"""The store's schema, as numbered SQL files beside this one: applied once, in order, never changed afterwards."""

from importlib.resources import files


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of all, in order."""
    found = [item for item in files(__name__).iterdir() if item.name.endswith(".sql")]
    return sorted((item.name, item.read_text("utf-8")) for item in found)
