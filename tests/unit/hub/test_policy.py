"""Which policies may be set."""

from typing import Any

import pytest

from hub.domain.admission import AdmissionError
from hub.domain.policy import Canary, OutlierDetection, Policy, Retry, admit_policy, default_policy

OUTLIER = {
    "interval_ms": 1000,
    "base_ejection_ms": 1000,
    "max_ejection_percent": 50,
    "failure_percent": 50,
    "minimum_hosts": 2,
    "request_volume": 10,
}


def test_the_default_policy_may_be_set() -> None:
    """And is the same object each time, so that nothing is made of it again."""
    admit_policy(default_policy("echo"))
    assert default_policy("echo") is default_policy("echo")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"service": "No Name"}, "service 'No Name'"),
        ({"timeout_ms": 3_600_001}, "timeout_ms 3600001 is not within 0 to 3600000"),
        ({"max_requests": 0}, "max_requests 0"),
        ({"by": "x" * 1025}, "by is longer than 1024"),
        ({"retry": Retry(max_attempts=6)}, "retry.max_attempts 6 is not within 1 to 5"),
        ({"retry": Retry(max_attempts=0)}, "retry.max_attempts 0"),
        ({"retry": Retry(base_backoff_ms=100, max_backoff_ms=99)}, "retry.max_backoff_ms 99 is not within 100"),
        ({"retry": Retry(retry_on=("UNAVAILABLE",))}, "retry.retry_on: 'UNAVAILABLE' is none of cancelled"),
        ({"retry": Retry(retry_on=("internal", "internal"))}, "lists a status twice"),
        ({"canary": Canary("X-Canary", "yes", "2")}, "canary.header 'X-Canary': 1-128 lower-case"),
        ({"canary": Canary("x-bin", "yes", "2")}, "not ending in -bin"),
        ({"canary": Canary("grpc-timeout", "yes", "2")}, "gRPC's own"),
        ({"canary": Canary("user-agent", "yes", "2")}, "gRPC's own"),
        ({"canary": Canary("x-canary", "", "2")}, "canary.value"),
        ({"canary": Canary("x-canary", "\n", "2")}, "canary.value"),
        ({"canary": Canary("x-canary", "yes", "")}, "canary.version"),
        *(
            ({"outlier_detection": OutlierDetection(**{**OUTLIER, field: 0})}, f"outlier_detection.{field} 0")
            for field in OUTLIER
        ),
    ],
)
def test_a_wrong_policy_is_refused_by_the_name_of_what_is_wrong(fields: dict[str, Any], sentence: str) -> None:
    """Before gRPC's clients would refuse it, each for itself."""
    with pytest.raises(AdmissionError) as refused:
        admit_policy(Policy(**{"service": "echo", **fields}))
    assert sentence in str(refused.value)
