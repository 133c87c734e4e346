"""Whether a new version of a record can read what the version before it wrote."""

from __future__ import annotations

import json

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas.files import avro_schemas


def incompatibilities() -> list[str]:
    """One sentence for each version that can't read its predecessor; [] when all is well."""
    schemas = avro_schemas()
    problems = []
    for record, version in schemas:
        if (record, version - 1) in schemas:
            reason = explain(schemas[record, version], schemas[record, version - 1])
            if reason:
                problems.append(f"{record}.v{version} can't read {record}.v{version - 1}: {reason}")
    return problems


def explain(reader: object, writer: object) -> str:
    """Why `reader` can't read what `writer` wrote; '' if it can. Both are Avro schemas as JSON values."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(
        parse(json.dumps(reader)), parse(json.dumps(writer))
    )
    if result.compatibility is SchemaCompatibilityType.compatible:
        return ""
    return "; ".join(sorted(result.messages)) or "incompatible"
