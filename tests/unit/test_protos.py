"""The contract's generated code."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_generated_code_is_what_the_compiler_makes_now() -> None:
    """Regenerating changes nothing; otherwise somebody forgot `make protos`."""
    if not (ROOT / ".venv-protos" / "bin" / "python").exists():
        pytest.skip("the compiler's environment is not there: `make setup` makes it")
    result = subprocess.run(
        [sys.executable, "-m", "protos.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "protos").glob("suho/**/*_pb2.py")), ids=lambda p: p.stem)
def test_every_enum_begins_with_an_unset_value(path: Path) -> None:
    """Zero means nobody said: an unset field must not trade."""
    name = ".".join(path.relative_to(ROOT / "protos").with_suffix("").parts)
    if name.startswith("suho.envoy"):
        return  # Envoy's own numbers
    module = importlib.import_module(name)
    for enum in module.DESCRIPTOR.enum_types_by_name.values():
        assert enum.values_by_number[0].name.endswith("_UNSPECIFIED")
