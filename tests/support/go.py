"""Programs in Go for tests, built into the user's cache once: gRPC's client in another language, and grpcurl."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from mesh.environment import child_environment, environment

_SOURCES = Path(__file__).parents[1] / "go" / "xdsclient"
_GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"
# The first build fetches and compiles gRPC; one that is cut short goes on where it was.
_BUILD_TIMEOUT_S = 100


@pytest.fixture(scope="session")
def xds_client_binary() -> Path:
    """`tests/go/xdsclient`: a client of `xds:///mesh` that is neither ours nor Python (see `run_client`)."""
    digest = hashlib.blake2b(digest_size=8)
    for source in sorted(_SOURCES.iterdir()):
        digest.update(source.read_bytes())
    folder = _cache() / f"xdsclient-{digest.hexdigest()}"
    return _built(folder, "xdsclient", "build", "-trimpath", "-buildvcs=false", "-o", str(folder), ".")


@pytest.fixture(scope="session")
def grpcurl_binary() -> Path:
    """grpcurl itself."""
    return _built(_cache() / f"grpcurl-{_GRPCURL.rpartition('@')[2]}", "grpcurl", "install", "-trimpath", _GRPCURL)


def _built(folder: Path, name: str, *command: str) -> Path:
    """The program, built when it is not there; skips where that can not be."""
    program = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run at the same time wait for one build
        if not program.is_file():
            _build(folder, name, command)
    return program


def _build(folder: Path, name: str, command: tuple[str, ...]) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"{name}: Go is not installed")
    own = child_environment({"GOBIN": str(folder), "CGO_ENABLED": "0"})
    try:
        done = subprocess.run(
            (go, *command), cwd=_SOURCES, env=own, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name}: Go did not build it within {_BUILD_TIMEOUT_S} s; the next run goes on from there")
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no word why"]
        pytest.skip(f"{name}: Go can not build it: {said[0][:300]}")


def _cache() -> Path:
    return Path(environment("XDG_CACHE_HOME") or Path.home() / ".cache") / "suho" / "go"
