"""Terms of a symbol as a person writes them: checked, and refused in words."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pc_agent.twin.domain.terms import Terms

_TERMS = TypeAdapter(Terms)


class TermsError(ValueError):
    """Terms that can not be; the message names the term."""


def read_terms(given: Mapping[str, Any], before: Terms | None = None) -> Terms:
    """What is `given`, over the terms that were `before` or those that Terms begins with.

    Raises:
        TermsError
    """
    if unknown := sorted(set(given) - set(Terms.__dataclass_fields__)):
        raise TermsError(f"{', '.join(unknown)} is no term; known are {', '.join(Terms.__dataclass_fields__)}")
    try:
        return _TERMS.validate_python({**asdict(before or Terms()), **given})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        raise TermsError(where + first["msg"].removeprefix("Value error, ")) from None
