"""What people are told, and for how long."""

from hub.domain.alarms import AlarmKind, Board, Condition, services_in_trouble
from hub.domain.instance import Address, Instance
from hub.domain.status import Status

AWAY = Condition(AlarmKind.STORE_AWAY, "", "away")
EMPTY = Condition(AlarmKind.SERVICE_WITHOUT_ENDPOINTS, "echo", "nobody")


def test_an_alarm_begins_and_ends_once() -> None:
    """Its text may change while it lasts, its beginning does not."""
    board = Board()
    begun, ended = board.take([AWAY], 0, 1_000)
    assert ([alarm.kind for alarm in begun], ended) == ([AlarmKind.STORE_AWAY], [])
    assert board.take([Condition(AlarmKind.STORE_AWAY, "", "still away")], 1, 2_000) == ([], [])
    assert [(alarm.text, alarm.since_unix_ms) for alarm in board.alarms] == [("still away", 1_000)]
    begun, ended = board.take([], 2, 3_000)
    assert (begun, [alarm.kind for alarm in ended], board.alarms) == ([], [AlarmKind.STORE_AWAY], [])


def test_a_service_that_restarts_is_no_alarm() -> None:
    """Only after five seconds without anybody to call; then it is known since when."""
    board = Board()
    assert board.take([EMPTY], 0, 1_000) == ([], [])
    board.take([], 4, 5_000)
    assert board.take([EMPTY], 4.5, 5_500) == ([], [])
    begun, _ = board.take([EMPTY], 9.5, 10_500)
    assert [alarm.since_unix_ms for alarm in begun] == [5_500]


def test_services_that_nobody_can_call_are_named() -> None:
    """Registered ones without an instance that is UP, ones that others depend on, ones of which only doubt is left; not
    who has no address, like an agent that was drained."""
    addresses = (Address("grpc", "127.0.0.1", 8000),)
    found = services_in_trouble(
        [
            Instance("a-1", "a", status=Status.UP, dependencies=("b", "ghost")),
            Instance("a-2", "a", status=Status.DOWN),
            Instance("b-1", "b", status=Status.STARTING),
            Instance("c-1", "c", addresses=addresses, status=Status.EXPIRED, doubted=True, dependencies=("nobody",)),
            Instance("d-1", "d", addresses=addresses, status=Status.OUT_OF_SERVICE),
            Instance("agent-1", "agent", status=Status.DRAINING),
        ]
    )
    assert [(one.kind, one.subject) for one in found] == [
        (AlarmKind.SERVICE_WITHOUT_ENDPOINTS, "b"),
        (AlarmKind.SERVICE_WITHOUT_ENDPOINTS, "ghost"),
        (AlarmKind.SERVICE_IN_DOUBT, "c"),
        (AlarmKind.SERVICE_WITHOUT_ENDPOINTS, "d"),
    ]
