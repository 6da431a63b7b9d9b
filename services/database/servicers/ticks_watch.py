"""TickService: what is odd about ticks, and what was alerted on."""

from typing import Any

from suho.database.v1 import tick_service_pb2 as pb

from services.database.clickhouse.incidents import Incidents
from services.database.clickhouse.quality import StoredQuality
from services.database.servicers.edge import DEFAULT_PAGE, LARGEST_PAGE, invalid, phrase
from services.database.servicers.tick_messages import incident, incident_message, quality_message, time_range
from services.database.servicers.tick_service import Handlers, unary


class WatchServicer:
    def __init__(self, quality: StoredQuality, incidents: Incidents) -> None:
        self._quality = quality
        self._incidents = incidents

    def handlers(self) -> Handlers:
        return {
            "GetTickQuality": unary(self.GetTickQuality, pb.GetTickQualityRequest, pb.GetTickQualityResponse),
            "ListTickIncidents": unary(
                self.ListTickIncidents, pb.ListTickIncidentsRequest, pb.ListTickIncidentsResponse
            ),
            "ReportTickIncident": unary(
                self.ReportTickIncident, pb.ReportTickIncidentRequest, pb.ReportTickIncidentResponse
            ),
        }

    async def GetTickQuality(self, request: pb.GetTickQualityRequest, context: Any) -> pb.GetTickQualityResponse:
        names = phrase("server", request.server), phrase("symbol", request.symbol)
        asked = (*names, *time_range(request.from_msc, request.to_msc))
        kinds = await self._incidents.kinds(*asked)
        found = await self._quality.quality(*asked)
        return pb.GetTickQualityResponse(
            symbols=[quality_message(each, kinds.get((each.server, each.symbol), {})) for each in found]
        )

    async def ListTickIncidents(
        self, request: pb.ListTickIncidentsRequest, context: Any
    ) -> pb.ListTickIncidentsResponse:
        if request.limit > LARGEST_PAGE:
            raise invalid(f"limit is {request.limit}; at most {LARGEST_PAGE} incidents fit an answer")
        server, symbol = phrase("server", request.server), phrase("symbol", request.symbol)
        kind = phrase("kind", request.kind)
        found = await self._incidents.newest(server, symbol, kind, request.limit or DEFAULT_PAGE)
        return pb.ListTickIncidentsResponse(incidents=map(incident_message, found))

    async def ReportTickIncident(
        self, request: pb.ReportTickIncidentRequest, context: Any
    ) -> pb.ReportTickIncidentResponse:
        await self._incidents.report(incident(request.incident))
        return pb.ReportTickIncidentResponse()
