r"""The configuration of an nginx that balances services, as text.

::

    GET /cart/a%2Fb?x=1 ──► location /cart/ ──► least_conn ──► 10.0.0.7:8080  GET /a%2Fb?x=1
                                │ X-Latitude, X-Longitude: the client's own, else those of its address
                                └─► places.log, from which demand is counted

Everything that is put in is a name, an address or a number that was checked before. What is left of a path is
taken from the raw request, since nginx would decode `%2F` otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LOCATIONS_LOG: Final = "places.log"
GENERATION_PATH: Final = "/_/generation"
MOST_BODY: Final = "64m"
DRAIN_S: Final = 300
"""How long a request may go on that began before a reload."""
PLACE_KEPT_S: Final = 600
"""How long it is remembered where an address is."""
_ZONE_KIB: Final = 64
_ZONE_KIB_PER_SERVER: Final = 2

_SERVICE: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"
# Degrees, in range, with no more digits than a double has.
_LATITUDE: Final = r"[+-]?(?:90(?:\.0{1,15})?|[0-8]?[0-9](?:\.[0-9]{1,15})?)"
_LONGITUDE: Final = r"[+-]?(?:180(?:\.0{1,15})?|(?:1[0-7][0-9]|[0-9]{1,2})(?:\.[0-9]{1,15})?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A server of a service.

    Attributes:
        address: as of `canonical_address`.
        is_up: whether it gets requests.
    """

    address: str
    is_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What stays the same for as long as a balancer runs.

    Attributes:
        listen: address and port for users, IPv6 in [].
        workers: processes of nginx.
        connections: of each of them.
        user: user and group that they become; empty where nginx isn't started by root.
        place_port: port of loopback at which it is answered where an address is; None where that isn't known.
        trusted_proxies: networks whose `X-Forwarded-For` is believed.
    """

    listen: str
    workers: int
    connections: int
    user: str = ""
    place_port: int | None = None
    trusted_proxies: Sequence[str] = ()


def configuration(entry: Entry, services: Mapping[str, Sequence[Upstream]], generation: int) -> str:
    """The text of nginx.conf; paths in it are relative to nginx' prefix.

    Args:
        entry: what stays the same.
        services: the servers by service, whose names are as of `registry.documents.NAME`.
        generation: of this configuration; what `GENERATION_PATH` answers once it is served.
    """
    numbered = list(enumerate(sorted(services.items())))
    lines = [
        *_process(entry),
        "http {",
        *_indented(_shared(entry)),
        *_indented(line for number, (_, servers) in numbered for line in _upstream(number, servers)),
        "  server {",
        *_indented(_indented(_entrance(entry, generation))),
        *_indented(
            _indented(
                line
                for number, (service, servers) in numbered
                for line in _location(
                    entry, number, service, is_served=any(server.is_up for server in servers)
                )
            )
        ),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _process(entry: Entry) -> Iterator[str]:
    yield "daemon off;"
    if entry.user:
        yield f"user {entry.user};"
    yield f"worker_processes {entry.workers};"
    yield f"worker_shutdown_timeout {DRAIN_S}s;"
    yield "pid nginx.pid;"
    yield "error_log stderr warn;"
    yield f"events {{ worker_connections {entry.connections}; }}"


def _shared(entry: Entry) -> Iterator[str]:
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        yield f"{kind}_temp_path temporary/{kind};"
    yield "default_type application/json;"
    yield "server_tokens off;"
    yield f"client_max_body_size {MOST_BODY};"
    # A client's next request on a connection that is kept open may come just when a reload closes it.
    yield "keepalive_timeout 0;"
    yield 'log_format place "$balanced $place_latitude $place_longitude";'
    yield 'map $http_upgrade $connection_header { "" close; default upgrade; }'
    yield rf'map $request_uri $wanted_service {{ "~^/(?<name>{_SERVICE})(?:[/?]|$)" $name; default ""; }}'
    yield rf'map $request_uri $wanted_rest {{ "~^/{_SERVICE}/?(?<rest>.*)$" $rest; default ""; }}'
    # Both -1 means unknown, as usmanager's balancer has it.
    yield (
        'map "$http_x_latitude $http_x_longitude" $has_place '
        f'{{ "-1 -1" 0; "~^{_LATITUDE} {_LONGITUDE}$" 1; default 0; }}'
    )
    for axis in ("latitude", "longitude"):
        found = f"$found_{axis}" if entry.place_port else '""'
        yield f"map $has_place $place_{axis} {{ 1 $http_x_{axis}; default {found}; }}"
    if entry.place_port:
        sizes = "keys_zone=places:1m max_size=64m inactive=1h"
        yield f"proxy_cache_path places levels=1 {sizes} use_temp_path=off;"


def _upstream(number: int, servers: Sequence[Upstream]) -> Iterator[str]:
    """A group; two in a row failing within 2 s is a pause of 2 s, until health checks have the say."""
    zone_kib = max(_ZONE_KIB, _ZONE_KIB_PER_SERVER * len(servers))
    yield f"upstream service-{number} {{"
    # So that workers count connections together.
    yield f"  zone service-{number} {zone_kib}k;"
    yield "  least_conn;"
    for server in servers:
        yield f"  server {server.address} max_fails=2 fail_timeout=2s{'' if server.is_up else ' down'};"
    yield "}"


def _entrance(entry: Entry, generation: int) -> Iterator[str]:
    yield f"listen {entry.listen};"
    yield "absolute_redirect off;"
    for network in entry.trusted_proxies:
        yield f"set_real_ip_from {network};"
    if entry.trusted_proxies:
        yield "real_ip_header X-Forwarded-For;"
        yield "real_ip_recursive on;"
    yield f"access_log {LOCATIONS_LOG} place if=$balanced;"
    yield from _proxying()
    if entry.place_port:
        yield from _place_of_address(entry.place_port)
    yield f'location = {GENERATION_PATH} {{ access_log off; {_no_place(entry)}return 200 "{generation}"; }}'
    # Not for the whole server: the question where an address is would set it too, for the request as well.
    yield "location / {"
    yield '  set $balanced "";'
    yield f"  {_no_place(entry)}return 404 '{_error('there is no such service')}';"
    yield "}"


def _proxying() -> Iterator[str]:
    yield "proxy_http_version 1.1;"
    yield "proxy_connect_timeout 2s;"
    # What another server may be asked for too: never what may have had an effect.
    yield "proxy_next_upstream error timeout;"
    for header, value in (
        ("Host", "$http_host"),
        ("Upgrade", "$http_upgrade"),
        ("Connection", "$connection_header"),
        ("X-Latitude", "$place_latitude"),
        ("X-Longitude", "$place_longitude"),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
        ("X-Forwarded-Host", "$http_host"),
        ("X-Forwarded-Proto", "$scheme"),
        ("X-Forwarded-Prefix", "/$balanced"),
    ):
        yield f"proxy_set_header {header} {value};"


def _place_of_address(port: int) -> Iterator[str]:
    """Asks where a client is; a request goes on without, where that is not answered."""
    yield "auth_request /_/place;"
    yield "auth_request_set $found_latitude $upstream_http_x_latitude;"
    yield "auth_request_set $found_longitude $upstream_http_x_longitude;"
    yield "location = /_/place {"
    yield "  internal;"
    yield "  auth_request off;"
    yield "  access_log off;"
    yield "  error_log stderr crit;"
    yield f"  proxy_pass http://127.0.0.1:{port}/places/$remote_addr;"
    yield f"  proxy_set_header Host 127.0.0.1:{port};"
    yield "  proxy_pass_request_headers off;"
    yield "  proxy_pass_request_body off;"
    yield '  proxy_set_header Content-Length "";'
    yield "  proxy_connect_timeout 1s;"
    yield "  proxy_read_timeout 1s;"
    yield "  proxy_cache places;"
    yield "  proxy_cache_key $remote_addr;"
    yield f"  proxy_cache_valid 200 {PLACE_KEPT_S}s;"
    yield "  proxy_cache_use_stale error timeout updating http_500 http_502 http_503;"
    yield "  proxy_intercept_errors on;"
    yield "  error_page 403 404 422 500 502 503 504 =204 @nowhere;"
    yield "}"
    yield "location @nowhere { internal; auth_request off; access_log off; return 204; }"


def _location(entry: Entry, number: int, service: str, *, is_served: bool) -> Iterator[str]:
    yield f"location = /{service} {{ rewrite ^ /{service}/ last; }}"
    yield f"location /{service}/ {{"
    # By dots and slashes that nginx resolves another service may stand in the raw path.
    plain = _error(f"write the path as /{service}/...")
    yield f"  if ($wanted_service != {service}) {{ return 400 '{plain}'; }}"
    yield f"  set $balanced {service};"
    if is_served:
        name = re.escape(service)
        yield f'  proxy_redirect "~^/(?!/|{name}(?:[/?]|$))(.*)$" /{service}/$1;'
        yield f"  proxy_pass http://service-{number}/$wanted_rest;"
    else:
        # By a detour, since `return` would answer before it is known where the user is.
        yield f"  try_files /_/none @unserved-{number};"
    yield "}"
    if not is_served:
        reason = _error(f"no server of {service} is up")
        yield f"location @unserved-{number} {{ {_no_place(entry)}return 503 '{reason}'; }}"


def _error(reason: str) -> str:
    return f'{{"error": "{reason}"}}'


def _no_place(entry: Entry) -> str:
    return "auth_request off; " if entry.place_port else ""


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
