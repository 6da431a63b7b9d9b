"""What watchers say of the configuration that they run, at this hub."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hub.domain.admission import MAX_TEXT, AdmissionError
from hub.domain.catalog import Catalog
from hub.domain.configuration import MAX_VALUES, ConfigTarget, admit_config_target
from hub.registry import NotRegisteredError
from mesh.clock import unix_ms
from mesh.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """The versions that an instance runs, why not others, and which of their values are not in force, and why."""

    target: ConfigTarget
    service_version: int = 0
    instance_version: int = 0
    refusal: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    told_unix_ms: int = 0


class ConfigReports:
    """The newest report of each registered instance."""

    def __init__(self, catalog: Catalog, clock: Callable[[], int] = unix_ms) -> None:
        self._catalog = catalog
        self._clock = clock
        self._reports: dict[str, Report] = {}

    def take(self, report: Report) -> None:
        """Remember it in place of the one before.

        Raises:
            AdmissionError: it names no instance, or says too much.
            NotRegisteredError: nobody of that id is registered.
        """
        _admit(report)
        if self._catalog.get(report.target.instance) is None:
            raise NotRegisteredError(f"no instance {report.target.instance!r} is registered; register, then report")
        if report.refusal:
            log.warning("settings are refused", instance=report.target.instance, because=report.refusal)
        self._forget_the_gone()
        self._reports[report.target.instance] = replace(report, told_unix_ms=self._clock())

    def all(self) -> list[Report]:
        """Of the instances that are registered, by id."""
        self._forget_the_gone()
        return [self._reports[instance] for instance in sorted(self._reports)]

    def _forget_the_gone(self) -> None:
        for instance in [instance for instance in self._reports if self._catalog.get(instance) is None]:
            del self._reports[instance]


def _admit(report: Report) -> None:
    admit_config_target(report.target)
    if not report.target.instance:
        raise AdmissionError("name the instance that reports")
    texts = [report.refusal, *report.notes, *report.notes.values()]
    if len(report.notes) > MAX_VALUES or any(len(text) > MAX_TEXT for text in texts):
        raise AdmissionError(f"a report has at most {MAX_VALUES} notes of {MAX_TEXT} characters each")
