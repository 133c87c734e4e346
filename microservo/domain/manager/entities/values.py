"""Bounds of the values that entities have, as their documents are checked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ :@-]{0,127}$")]
"""Of an entity; no slash, which parts kind and id in keys."""
Text = Annotated[str, StringConstraints(max_length=1024)]
PortNumber = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
InstantUs = Annotated[int, Field(ge=0)]
