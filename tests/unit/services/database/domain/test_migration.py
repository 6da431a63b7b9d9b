"""Migrations: ordered, checksummed, never changed."""

import pytest

from services.database.domain.migration import MigrationError, ordered, pending
from services.database.migrations import migrations

FILES = {"0002_more.sql": "SELECT 2;", "0001_first.sql": "SELECT 1;\n"}


def test_files_are_ordered_by_number() -> None:
    """The folder's order does not matter."""
    assert [migration.name for migration in ordered(FILES)] == ["0001_first.sql", "0002_more.sql"]


@pytest.mark.parametrize("name", ["0003_gap.sql", "first.sql", "0001_again.sql"])
def test_a_number_out_of_order_is_named(name: str) -> None:
    """A gap, a missing number and a double number are mistakes in the files."""
    with pytest.raises(MigrationError, match=r"\.sql: "):
        ordered({"0001_first.sql": "", name: ""})


def test_only_what_is_new_is_pending() -> None:
    """What was applied with the same checksum is left alone, whatever the checkout's line ends."""
    first, more = ordered(FILES)
    crlf = ordered({"0001_first.sql": "SELECT 1;\r\n"})[0]
    assert pending((first, more), [(first.name, crlf.checksum)]) == (more,)


def test_a_changed_file_is_an_error_that_names_it() -> None:
    """What ran once must stay what it was."""
    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed"):
        pending(ordered(FILES), [("0001_first.sql", "0" * 64)])


def test_a_newer_database_is_refused() -> None:
    """An applied migration that the files lack means that this program is too old."""
    with pytest.raises(MigrationError, match=r"0009_later\.sql was applied"):
        pending(ordered(FILES), [("0009_later.sql", "0" * 64)])


def test_statements_are_split_at_line_ends() -> None:
    """Comments go; a semicolon inside a line stays."""
    sql = "-- a; comment\nCREATE TABLE t (a String DEFAULT ';x') ENGINE = Log;\n\nDROP TABLE t;\n"
    only = ordered({"0001_a.sql": sql})[0]
    assert only.statements == ("CREATE TABLE t (a String DEFAULT ';x') ENGINE = Log", "DROP TABLE t")


@pytest.mark.parametrize("engine", ["postgres", "clickhouse"])
def test_the_shipped_migrations_are_sound(engine: str) -> None:
    """They are in the package, and begin with 0001."""
    shipped = migrations(engine)
    assert shipped[0].number == 1
    assert all(migration.statements for migration in shipped)
