"""What is declared of a recording that was read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from microservo.sources.settings import SourceSettings

IMPORT_WRITER = "import"


class RecordedSettings(SourceSettings):
    """A folder of minutes.

    Attributes:
        folder: with a file `<begin in microseconds UTC>.rows` for each minute that holds something.
    """

    kind: Literal["recorded"] = "recorded"
    name: str = Field(default=IMPORT_WRITER, pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    folder: Path

    @property
    def url(self) -> str:
        """Where the folder is."""
        return self.folder.absolute().as_uri()
