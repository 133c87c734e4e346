"""The faults a sidecar can make: one small class per kind and module; each registers itself."""

from __future__ import annotations

from microservo.domain.modules import import_modules
from services.sidecar.faults.base import ANSWER_FAULTS, LISTENER_FAULTS, REQUEST_FAULTS, SEGMENT_FAULTS

import_modules(__name__, __path__)

KINDS = tuple(sorted({*SEGMENT_FAULTS, *REQUEST_FAULTS, *ANSWER_FAULTS, *LISTENER_FAULTS}))
