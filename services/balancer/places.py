"""Answers nginx where an address is: on loopback, for nobody else."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from microservo.adapters.geoip import GeoDatabase
from microservo.errors import InvalidInput, Unavailable
from microservo.runtime.http import guarded


def places_app(database: GeoDatabase) -> ASGIApp:
    """The application: `GET /places/ADDRESS` has the place in the headers of its answer, if it is known.

    nginx asks again after ten minutes, so what it is told here may be that old.
    """

    def place(request: Request) -> Response:
        try:
            found = database.place(request.path_params["address"])
        except InvalidInput as error:
            raise HTTPException(404, str(error)) from error
        except Unavailable as error:
            raise HTTPException(503, str(error)) from error
        if found is None:
            return Response()
        return Response(
            headers={"X-Latitude": f"{found.latitude:.6f}", "X-Longitude": f"{found.longitude:.6f}"}
        )

    return guarded(Starlette(routes=[Route("/places/{address}", place)]), "")
