"""The folder of schemas tests itself."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest

import schemas
from microservo.domain.joined_topics import SOURCES
from schemas import catalogue, compatibility
from schemas.codec import FRAME_BYTES, SchemaError, decode, decode_as, encode
from schemas.columns import columns_of
from schemas.examples import example_bytes, examples, golden_bytes
from schemas.fields import parsed
from schemas.files import avro_schemas, newest_schemas, schema_ids
from schemas.generate import CHART_TOPICS, chart_topics, generate
from schemas.reading import Reader, ResolvingReader, reader_of
from schemas.records import Experiment, FaultRequest, FeatureWindow, LogBatch, MetricBatch

FOLDER = Path(schemas.__file__).parent
EXAMPLES = [
    pytest.param(record, id=f"{name}.v{version}/{example}")
    for (name, version), found in examples().items()
    for example, record in found.items()
]
GOLDEN = [
    pytest.param(version, example, value, id=f"{version[0]}.v{version[1]}/{example}")
    for version, found in golden_bytes().items()
    for example, value in found.items()
]


def all_fields(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, dict):
        own = [node] if "name" in node and "type" in node and node.get("type") != "record" else []
        return own + [field for value in node.values() for field in all_fields(value)]
    return [field for value in node for field in all_fields(value)] if isinstance(node, list) else []


def plain(value: Any) -> Any:
    """A value as it lies on the wire: instants as microseconds, arrays as tuples."""
    if isinstance(value, datetime):
        return (value - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


def test_versions_run_from_one_without_a_gap() -> None:
    for record in {record for record, _ in avro_schemas()}:
        versions = [version for name, version in avro_schemas() if name == record]
        assert versions == list(range(1, len(versions) + 1))


def test_every_schema_has_an_id_and_every_id_a_schema() -> None:
    assert schema_ids().keys() == avro_schemas().keys()
    assert len(set(schema_ids().values())) == len(schema_ids())


def test_every_record_is_on_one_topic_and_every_topic_has_a_record() -> None:
    placed = [record for topic in catalogue.catalogue().values() for record in topic.records]
    assert sorted(placed) == sorted(newest_schemas())
    assert all(topic.records for topic in catalogue.catalogue().values())
    assert catalogue.topic_of("fault_event").name == catalogue.FAULT_EVENTS


def test_a_topic_names_fields_of_each_of_its_records() -> None:
    for topic in catalogue.catalogue().values():
        for record, event in topic.records.items():
            fields = {entry["name"] for entry in newest_schemas()[record]["fields"]}
            assert {topic.key, *event.id, event.time or topic.key} <= fields, record


def test_states_are_compacted_and_facts_are_kept_for_ever() -> None:
    for topic in catalogue.catalogue().values():
        assert (topic.retention == "newest") == (topic.kind == "state"), topic.name
        assert ("compact" in topic.config.values()) == (topic.kind == "state"), topic.name
    assert catalogue.catalogue()[catalogue.FAULT_EVENTS].config["retention.ms"] == "-1"


def test_joined_topics_have_the_same_number_of_partitions() -> None:
    joined = [topic for topic in catalogue.catalogue().values() if topic.joined]
    assert {topic.name for topic in joined} == set(SOURCES)
    assert {topic.partitions for topic in joined} == {None}


def test_a_topic_may_be_kept_for_some_days_and_its_dead_letters_as_long() -> None:
    topic = replace(catalogue.catalogue()[catalogue.TELEMETRY_LOGS], retention="30d")
    assert topic.config["retention.ms"] == str(30 * 24 * 3600 * 1000)
    assert topic.dead_letter_config["retention.ms"] == topic.config["retention.ms"]
    state = catalogue.catalogue()[catalogue.EXPERIMENTS]
    assert state.dead_letter_config["cleanup.policy"] == "delete"
    with pytest.raises(ValueError, match="retention 'a while'; expected"):
        _ = replace(topic, retention="a while").config


def test_a_state_may_keep_what_was_superseded_or_deleted_for_some_days() -> None:
    config = catalogue.catalogue()[catalogue.SYSTEM_STATE].config
    days_ms = str(2 * 24 * 3600 * 1000)
    assert (config["min.compaction.lag.ms"], config["delete.retention.ms"]) == (days_ms, days_ms)
    assert "min.compaction.lag.ms" not in catalogue.catalogue()[catalogue.EXPERIMENTS].config


def test_every_field_says_what_it_means_and_instants_their_unit() -> None:
    for key, schema in avro_schemas().items():
        assert schema["doc"], key
        for field in all_fields(schema["fields"]):
            assert field.get("doc"), f"{key}: {field['name']} has no doc"
            if field["name"].endswith("_us"):
                assert "icrosecond" in field["doc"], f"{key}: {field['name']} does not say its unit"


def test_every_version_has_an_example() -> None:
    assert examples().keys() == avro_schemas().keys()
    assert all(examples().values())


@pytest.mark.parametrize("record", EXAMPLES)
def test_examples_decode_to_what_was_encoded(record: object) -> None:
    assert decode(encode(record)) == record


def test_every_example_has_its_golden_bytes() -> None:
    missing = "run `python -m schemas.examples` and commit what it writes"
    assert {version: found.keys() for version, found in golden_bytes().items()} == {
        version: found.keys() for version, found in example_bytes().items()
    }, missing


@pytest.mark.parametrize(("version", "example", "value"), GOLDEN)
def test_bytes_of_a_version_never_change(version: tuple[str, int], example: str, value: bytes) -> None:
    assert example_bytes()[version][example] == value
    if avro_schemas()[version] is newest_schemas()[version[0]]:
        assert encode(examples()[version][example]) == value


@pytest.mark.parametrize(("version", "example", "value"), GOLDEN)
def test_the_reference_implementation_reads_old_bytes_as_we_do(
    version: tuple[str, int], example: str, value: bytes
) -> None:
    newest = newest_schemas()[version[0]]
    writer, reader = (avro.schema.parse(json.dumps(each)) for each in (avro_schemas()[version], newest))
    read = avro.io.DatumReader(writer, reader).read(avro.io.BinaryDecoder(io.BytesIO(value[FRAME_BYTES:])))
    ours: Any = examples()[version][example]
    assert plain(read) == plain(dataclasses.asdict(ours))


def test_what_an_older_version_wrote_has_the_defaults_of_new_fields() -> None:
    (log,) = examples()["log_batch", 1].values()
    (run,) = examples()["experiment", 1].values()
    assert isinstance(log, LogBatch)
    assert isinstance(run, Experiment)
    assert (log.line_id, run.writers) == (b"", ())
    (newer,) = examples()["experiment", 2].values()
    assert isinstance(newer, Experiment)
    assert [each.writer for each in newer.writers] == ["telemetry-collector", "telemetry-collector-2"]
    assert replace(newer, writers=()) == run


@pytest.mark.parametrize("version", [key for key in avro_schemas() if key[0].endswith("_batch")])
def test_batches_of_every_version_are_read_as_quickly_as_those_of_the_newest(
    version: tuple[str, int],
) -> None:
    newest = newest_schemas()[version[0]]
    assert isinstance(reader_of(avro_schemas()[version], newest, FRAME_BYTES), Reader)


def test_a_field_that_the_newest_version_removed_is_left_out() -> None:
    """It passes the check of compatibility, so it must not fail to decode."""
    before = avro_schemas()["service_graph", 1]
    extra = {"name": "region", "type": "string", "doc": "Removed since."}
    older = {**before, "fields": [before["fields"][0], extra, *before["fields"][1:]]}
    assert compatibility.explain(before, older) == ""
    (graph,) = examples()["service_graph", 1].values()
    fields = {entry["name"]: getattr(graph, entry["name"]) for entry in before["fields"]}
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed(older), {**fields, "region": "north"})
    assert ResolvingReader(older, before, 0).read(buffer.getvalue()) == (graph, buffer.tell())


def test_generated_records_are_up_to_date() -> None:
    generated = re.sub(r"\s|,(?=\))|,(?=\])", "", generate())
    committed = re.sub(r"\s|,(?=\))|,(?=\])", "", (FOLDER / "records.py").read_text("utf-8"))
    assert generated == committed, "run `python -m schemas.generate`"


def test_the_topics_of_the_helm_chart_are_those_of_the_contract() -> None:
    assert CHART_TOPICS.read_text("utf-8") == chart_topics(), "run `python -m schemas.generate`"


def test_every_version_reads_the_one_before() -> None:
    assert compatibility.incompatibilities() == []


def test_an_incompatible_change_is_noticed() -> None:
    before = avro_schemas()["service_graph", 1]
    after = json.loads(json.dumps(before))
    after["fields"].append({"name": "region", "type": "string", "doc": "No default."})
    assert "region" in compatibility.explain(after, before)
    after["fields"][-1]["default"] = ""
    assert compatibility.explain(after, before) == ""


def test_topic_names_are_lower_case_with_hyphens() -> None:
    for name in catalogue.catalogue():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


def test_constants_name_every_topic() -> None:
    constants = {
        value
        for name, value in vars(catalogue).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert constants - {catalogue.DEAD_LETTER_SUFFIX} == catalogue.catalogue().keys()


def batch() -> bytes:
    (record,) = examples()["metric_batch", 1].values()
    return encode(record)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "too few"),
        (b"\0\0\0\0", "too few"),
        (b'{"service": "cart"}', "names no known schema"),
        (b"\0\0\0\xff\xff", "names no known schema"),
        (b"\0\0\0\0\5", "does not follow"),
        (batch()[:-1], "does not follow"),
        (batch() + b"!", "left over"),
    ],
)
def test_bytes_that_are_no_record_are_refused_with_the_reason(value: bytes, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        decode(value)


def newest_examples() -> list[Any]:
    newest = {name: next(iter(found.values())) for (name, _), found in sorted(examples().items())}
    return [
        pytest.param(newest[name], schema, id=name)
        for name, schema in newest_schemas().items()
        if columns_of(schema)
    ]


@pytest.mark.parametrize(("record", "schema"), newest_examples())
def test_a_record_whose_columns_differ_in_length_is_refused(record: Any, schema: dict[str, Any]) -> None:
    for column in columns_of(schema):
        if [each.one_per for each in columns_of(schema)].count(column.one_per) == 1:
            continue  # beside no other, it can be of any length
        content = getattr(record, column.name)
        short, long = content[: -column.width], content + content[-column.width :]
        for uneven in (replace(record, **{column.name: short}), replace(record, **{column.name: long})):
            if not content or (column.may_be_empty and not getattr(uneven, column.name)):
                assert decode(encode(uneven)) == uneven
                continue
            with pytest.raises(SchemaError, match=f"column .* has .* one per {column.one_per}"):
                decode(encode(uneven))


def test_every_column_says_where_its_numbers_lie() -> None:
    for schema in newest_schemas().values():
        fields = {entry["name"]: entry for entry in schema["fields"]}
        columns = columns_of(schema)
        assert {column.name for column in columns if column.dtype} == {
            entry["name"] for entry in schema["fields"] if entry["type"] == "bytes"
        }
        for column in columns:
            if column.index_into:
                assert fields[column.index_into]["type"] == {"type": "array", "items": "string"}


def test_another_record_than_expected_is_refused() -> None:
    with pytest.raises(SchemaError, match="expected a FaultRequest, got a MetricBatch"):
        decode_as(FaultRequest, batch())


def test_a_value_of_the_wrong_type_is_refused_when_written() -> None:
    wrong = FaultRequest(fault_id="f", action="explode", requested_at_us=1)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="FaultRequest can't be encoded"):
        encode(wrong)
    with pytest.raises(SchemaError, match="no record of the contract"):
        encode("text")


def test_every_cut_of_a_message_is_refused() -> None:
    whole = batch()
    assert isinstance(decode(whole), MetricBatch)
    for end in range(len(whole)):
        with pytest.raises(SchemaError):
            decode(whole[:end])


def test_a_batch_that_begins_like_another_is_its_own() -> None:
    (record,) = examples()["metric_batch", 1].values()
    assert isinstance(record, MetricBatch)
    renamed = replace(record, names=tuple(name.upper() for name in record.names))
    longer = replace(record, names=(*record.names, "one more"))
    long = replace(record, run_id="r" * 64, service="s" * 300)
    bare = replace(long, service="", instances=(), names=(), time_us=b"", instance=b"", name=b"", value=b"")
    for batch in (record, renamed, longer, record, longer, long, bare, long):
        assert decode(encode(batch)) == batch


def test_numbers_and_lists_are_written_as_the_reference_implementation_reads_them() -> None:
    values = (0.0, -0.0, 1.5, math.inf, *map(float, range(300)))
    names = tuple(f"name {number} äöü" for number in range(len(values)))
    window = FeatureWindow(
        run_id="run", service="cart", start_us=0, end_us=5, revision=0, names=names, values=values
    )
    schema_of_avro = avro.schema.parse(json.dumps(avro_schemas()["feature_window", 2]))
    read = avro.io.DatumReader(schema_of_avro).read(
        avro.io.BinaryDecoder(io.BytesIO(encode(window)[FRAME_BYTES:]))
    )
    assert isinstance(read, dict)
    assert (tuple(read["names"]), tuple(read["values"])) == (names, values)
    assert decode(encode(replace(window, names=(), values=()))) == replace(window, names=(), values=())
