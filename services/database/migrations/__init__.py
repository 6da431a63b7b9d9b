"""The engines' schemas, as numbered SQL files beside this one."""

from importlib.resources import files

from services.database.domain.migration import Migration, ordered


def migrations(engine: str) -> tuple[Migration, ...]:
    """All migrations of `engine` ("postgres" or "clickhouse"), in order."""
    folder = files(__name__) / engine
    return ordered({item.name: item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(".sql")})
