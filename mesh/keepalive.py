"""How long a peer may be silent: then its connection ends, on whichever end notices."""

Options = tuple[tuple[str, int], ...]


def keepalive(idle_ms: int, answer_ms: int) -> Options:
    """Channel arguments: ping after `idle_ms` of silence, give up after `answer_ms` without an answer.

    gRPC waits `ping_timeout_ms` for the answer to a ping, a minute by default, whatever `keepalive_timeout_ms` says;
    and without data it sends no more than two pings unless told to.
    """
    return (
        ("grpc.keepalive_time_ms", idle_ms),
        ("grpc.keepalive_timeout_ms", answer_ms),
        ("grpc.http2.ping_timeout_ms", answer_ms),
        ("grpc.http2.max_pings_without_data", 0),
    )


# A peer that vanished without a word is noticed within 10 s; servers allow pings this often.
KEEPALIVE = keepalive(5_000, 5_000)
