"""What the API of a balancer offers: one table, from which come its routes and its OpenAPI document."""

from __future__ import annotations

from microservo.domain.balancing.documents import (
    ADDRESS,
    BalancedServersDocument,
    BalancedServicesDocument,
    BalancerHealthDocument,
    ServersDocument,
    canonical_address,
)
from microservo.domain.registry.documents import NAME
from microservo.errors import InvalidInput, Retryable
from microservo.runtime.api import Api, Call, Operation, PathParameter
from services.balancer.balancer import Balancer, NoSuchServer


def _all(balancer: Balancer, _: Call) -> BalancedServicesDocument:
    return BalancedServicesDocument(services=balancer.services())


def _servers(balancer: Balancer, call: Call) -> BalancedServersDocument:
    return BalancedServersDocument(servers=balancer.servers(call.path["service"]))


def _put(balancer: Balancer, call: Call) -> BalancedServersDocument:
    servers: ServersDocument = call.body
    return BalancedServersDocument(servers=balancer.put(call.path["service"], servers.root))


def _remove(balancer: Balancer, call: Call) -> None:
    try:
        address = canonical_address(call.path["server"])
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    balancer.remove(call.path["service"], address)


def _health(balancer: Balancer, _: Call) -> BalancerHealthDocument:
    status = "behind" if balancer.is_behind else "ok"
    return BalancerHealthDocument(status=status, generation=balancer.served, nginx=balancer.version)


_NONE = {404: "There is no such service or server."}
_NOT_SERVED = {503: "It is kept, but nginx does not serve it yet; or it can't be kept."}

API = Api(
    title="MicroServo load balancer",
    description="The servers of each service that a load balancer sends users to.",
    port=1906,
    path_parameters={
        "service": PathParameter(pattern=NAME, expected="1 to 200 letters, digits, '.', '_' and '-'"),
        "server": PathParameter(pattern=ADDRESS, expected="an IP address and a port, as 10.0.0.7:8080"),
    },
    statuses={NoSuchServer: 404, Retryable: 503},
    operations=(
        Operation(
            name="listAllServers",
            method="get",
            path="/servers",
            summary="The servers of all services.",
            handle=_all,
            answer=BalancedServicesDocument,
        ),
        Operation(
            name="listServers",
            method="get",
            path="/{service}/servers",
            summary="The servers of a service.",
            handle=_servers,
            answer=BalancedServersDocument,
            refusals=_NONE,
        ),
        Operation(
            name="addServers",
            method="post",
            path="/{service}/servers",
            summary="Adds servers to a service, or enters what is new; answers once users reach them.",
            handle=_put,
            status=201,
            answer=BalancedServersDocument,
            body=ServersDocument,
            refusals=_NOT_SERVED,
            waits=True,
        ),
        Operation(
            name="removeServer",
            method="delete",
            path="/{service}/servers/{server}",
            summary="Removes a server; answers once it gets no new requests.",
            handle=_remove,
            status=204,
            refusals={**_NONE, **_NOT_SERVED},
            waits=True,
        ),
        Operation(
            name="checkHealth",
            method="get",
            path="/healthz",
            summary="Whether it answers, and whether nginx serves what it knows; needs no token.",
            handle=_health,
            answer=BalancerHealthDocument,
            is_open=True,
        ),
    ),
)
