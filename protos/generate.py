"""Generate the Python code of every .proto beside it, or say whether it is fresh.

Runs the one pinned compiler of `protos/requirements.txt` in `.venv-protos`.
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
COMPILER = ROOT.parent / ".venv-protos" / "bin"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def compile_into(target: Path) -> None:
    """Write the generated modules of all .proto files below `target`."""
    sources = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("suho/**/*.proto"))
    subprocess.run(
        [
            COMPILER / "python",
            "-m",
            "grpc_tools.protoc",
            f"--plugin=protoc-gen-mypy={COMPILER / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={COMPILER / 'protoc-gen-mypy_grpc'}",
            "-I.",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            *sources,
        ],
        cwd=ROOT,
        check=True,
    )
    for path in target.glob("suho/**/*_pb2_grpc.py"):
        if "def add_" not in path.read_text():  # a package without services needs no stubs
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


def generated(root: Path) -> set[Path]:
    return {p.relative_to(root) for pattern in GENERATED for p in root.glob(f"suho/**/{pattern}")}


def stale(fresh: Path) -> list[Path]:
    """Files that differ from what the compiler makes now, are missing, or are left over."""
    names = generated(fresh) | generated(ROOT)
    return sorted(
        name
        for name in names
        if not ((fresh / name).is_file() and (ROOT / name).is_file())
        or not filecmp.cmp(fresh / name, ROOT / name, shallow=False)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when something is stale")
    check: bool = parser.parse_args().check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        compile_into(fresh)
        if check:
            names = stale(fresh)
            for name in names:
                sys.stderr.write(f"stale: protos/{name} (run `make protos`)\n")
            return 1 if names else 0
        for name in generated(ROOT):
            (ROOT / name).unlink()
        for name in generated(fresh):
            shutil.copyfile(fresh / name, ROOT / name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
