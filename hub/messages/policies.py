"""Policies between the wire and the domain."""

from suho.hub.v1 import traffic_pb2 as pb

from hub.domain.policy import Canary, OutlierDetection, Policy, Retry

_OUTLIER = (
    *("interval_ms", "base_ejection_ms", "max_ejection_percent"),
    *("failure_percent", "minimum_hosts", "request_volume"),
)


def policy_from(message: pb.ServicePolicy) -> Policy:
    """A policy; what is left out is as in the default one. Nothing is judged here."""
    return Policy(
        service=message.service,
        timeout_ms=message.timeout_ms,
        retry=_retry_from(message.retry) if message.HasField("retry") else Retry(),
        max_requests=message.max_requests or Policy("").max_requests,
        outlier_detection=_outlier_from(message.outlier_detection) if message.HasField("outlier_detection") else None,
        canary=_canary_from(message.canary) if message.HasField("canary") else None,
        reason=message.reason,
        by=message.by,
        changed_unix_ms=message.changed_unix_ms,
    )


def policy_to(policy: Policy, revision: int = 0) -> pb.ServicePolicy:
    """A policy on the wire, with the store's revision where it is known."""
    message = pb.ServicePolicy(
        service=policy.service,
        timeout_ms=policy.timeout_ms,
        retry=pb.RetryPolicy(
            max_attempts=policy.retry.max_attempts,
            base_backoff_ms=policy.retry.base_backoff_ms,
            max_backoff_ms=policy.retry.max_backoff_ms,
            retry_on=policy.retry.retry_on,
        ),
        max_requests=policy.max_requests,
        reason=policy.reason,
        by=policy.by,
        changed_unix_ms=policy.changed_unix_ms,
        revision=revision,
    )
    if (outlier := policy.outlier_detection) is not None:
        message.outlier_detection.CopyFrom(
            pb.OutlierDetection(**{name: getattr(outlier, name) for name in _OUTLIER}),
        )
    if (canary := policy.canary) is not None:
        message.canary.CopyFrom(pb.Canary(header=canary.header, value=canary.value, version=canary.version))
    return message


def _retry_from(message: pb.RetryPolicy) -> Retry:
    """Zeros and nothing mean the default; the longest pause is ten times the first where it is not said."""
    default = Retry()
    base = message.base_backoff_ms or default.base_backoff_ms
    return Retry(
        message.max_attempts or default.max_attempts,
        base,
        message.max_backoff_ms or 10 * base,
        tuple(message.retry_on) or default.retry_on,
    )


def _outlier_from(message: pb.OutlierDetection) -> OutlierDetection:
    return OutlierDetection(**{name: getattr(message, name) for name in _OUTLIER})


def _canary_from(message: pb.Canary) -> Canary:
    return Canary(message.header, message.value, message.version)
