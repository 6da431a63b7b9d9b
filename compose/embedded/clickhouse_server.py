"""ClickHouse's HTTP interface over the engine in chdb, for `suho up` and tests.

What clients such as clickhouse-connect use: queries with parameters and settings, inserts in any format, compressed
or not, errors with their codes, summaries. Not offered: sessions (temporary tables), external data, streamed results
(a result is whole in memory), cancelling by query id (KILL QUERY works by `Settings['log_comment']`), users.
"""

import asyncio
import base64
import hmac
import json
import logging
import os
import sys
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web
from pydantic import Field, SecretStr

from compose.embedded.clickhouse_engine import Engine, EngineError, Request, Result
from mesh.config import ProgramSettings, SettingsError, load_settings
from mesh.log import configure_logging, get_logger

log = get_logger(__name__)

_CONNECTIONS = 4
_LARGEST_BODY = 1 << 30
# What the HTTP interface itself takes; anything else in the query string is a setting.
# fmt: off
_OURS = frozenset(
    (
        "query", "database", "default_format", "query_id", "user", "password", "session_id",
        "session_timeout", "session_check", "quota_key", "role", "wait_end_of_query", "buffer_size",
        "compress", "decompress", "client_protocol_version", "send_progress_in_http_headers",
        "http_headers_progress_interval_ms", "enable_http_compression",
        "cancel_http_readonly_queries_on_client_close",
    )
)
# fmt: on
# Where ClickHouse answers with another status than 500.
_STATUS = {516: 403, 497: 403, 60: 404, 81: 404, 48: 501, 62: 400, 115: 400, 117: 400, 33: 400, 27: 400, 6: 400}
_AUTHENTICATION_FAILED = (
    "Code: 516. DB::Exception: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"
)


class ClickHouseSettings(ProgramSettings):
    """Settings of the embedded ClickHouse."""

    port: int = Field(ge=1, le=65535, description="Port on loopback.")
    user: str = Field(description="Who may call.")
    password: SecretStr = Field(description="The caller's password.")
    state_dir: Path = Field(description="Folder of the data.")
    memory_mb: int = Field(2048, ge=256, description="Most memory that queries and merges may take.")


class Interface:
    """HTTP requests to statements, results to HTTP responses."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, user: str, password: str) -> None:
        self._engine = engine
        self._pool = pool
        self._expected = _basic(user, password).encode()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_get("/ping", self._ping)
        app.router.add_route("*", "/", self._statement)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _statement(self, http: web.Request) -> web.Response:
        query_id = http.query.get("query_id") or str(uuid.uuid4())
        try:
            self._authenticate(http)
            request = await _read(http)
            if not request.sql.strip():
                return web.Response(text="Ok.\n")
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._pool, self._engine.execute, request)
        except EngineError as error:
            return self._refusal(error, query_id)
        return _response(result, query_id)

    def _authenticate(self, http: web.Request) -> None:
        user = http.headers.get("X-ClickHouse-User") or http.query.get("user")
        if user is not None:
            password = http.headers.get("X-ClickHouse-Key") or http.query.get("password", "")
            given = _basic(user, password)
        else:
            given = http.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), self._expected):
            raise EngineError(_AUTHENTICATION_FAILED)

    def _refusal(self, error: EngineError, query_id: str) -> web.Response:
        headers = {"X-ClickHouse-Exception-Code": str(error.code), "X-ClickHouse-Query-Id": query_id}
        text = str(error)
        if "(version " not in text:
            text += f" (version {self._engine.version})"
        return web.Response(status=_STATUS.get(error.code, 500), text=text + "\n", headers=headers)


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def _read(http: web.Request) -> Request:
    given: Mapping[str, str] = http.query
    if http.content_type == "multipart/form-data":
        form = await http.post()
        if any(isinstance(value, web.FileField) for value in form.values()):
            raise EngineError("Code: 48. DB::Exception: External data is not offered here. (NOT_IMPLEMENTED)")
        given, body = {**http.query, **{name: str(value) for name, value in form.items()}}, b""
    else:
        body = await _body(http)
    query = given.get("query", "").encode()
    settings = {name: value for name, value in given.items() if name not in _OURS and not name.startswith("param_")}
    if http.method == "GET":
        settings["readonly"] = "2"
    return Request(
        sql=query or body,
        data=body if query else b"",
        database=given.get("database", ""),
        default_format=given.get("default_format", "TabSeparated"),
        parameters={name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")},
        settings=settings,
    )


async def _body(http: web.Request) -> bytes:
    """The body, unpacked."""
    body = await http.read()
    encoding = http.headers.get("Content-Encoding", "identity")
    if encoding == "identity" or not body:
        return body
    import pyarrow  # 0.1 s that a start without compressed inserts need not wait for

    try:
        with pyarrow.input_stream(pyarrow.py_buffer(body), compression=encoding) as stream:
            unpacked: bytes = stream.read()
    except (ValueError, OSError) as error:
        raise EngineError(f"Code: 432. DB::Exception: {encoding}: {error}. (UNKNOWN_COMPRESSION_METHOD)") from None
    return unpacked


def _response(result: Result, query_id: str) -> web.Response:
    summary = {
        "read_rows": str(result.read_rows),
        "read_bytes": str(result.read_bytes),
        "written_rows": str(result.written_rows),
        "written_bytes": str(result.written_bytes),
        "elapsed_ns": str(int(result.elapsed_s * 1e9)),
    }
    headers = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": json.dumps(summary),
    }
    if result.format:
        headers["X-ClickHouse-Format"] = result.format
    return web.Response(body=result.body, headers=headers)


def main() -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    try:
        settings = load_settings(ClickHouseSettings, "clickhouse", sys.argv[1:])
    except SettingsError as error:
        sys.stderr.write(f"clickhouse can not start: {error}\n")
        return os.EX_CONFIG
    configure_logging("clickhouse", settings.instance, settings.log_level, settings.log_format)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    engine = Engine(settings.state_dir, settings.memory_mb << 20)
    try:
        with ThreadPoolExecutor(_CONNECTIONS, "statement") as pool:
            app = Interface(engine, pool, settings.user, settings.password.get_secret_value()).application()
            log.info("serving", port=settings.port, version=engine.version)
            web.run_app(app, host="127.0.0.1", port=settings.port, print=None, shutdown_timeout=1.0)
    finally:
        engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
