"""The options that say where the target is, and which of a service's instances a fault hits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from microservo.cli.values import parameters_of
from microservo.errors import InvalidInput
from microservo.system.options import ClusterOptions

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

KUBERNETES = "kubernetes"

_OPTIONS = (
    click.option(
        "--target",
        type=click.Choice(["local", KUBERNETES]),
        default="local",
        show_default=True,
        help="Where the target is: processes of this machine, or pods of a cluster.",
    ),
    click.option(
        "--namespace",
        "namespaces",
        multiple=True,
        metavar="NAME",
        help="Namespace of the target in the cluster. May be given several times.",
    ),
    click.option(
        "--fault-namespace",
        "fault_namespaces",
        multiple=True,
        metavar="NAME",
        help="Namespace in which others keep objects of Chaos Mesh that act on the target, besides its own. "
        "May be given several times.",
    ),
    click.option("--context", metavar="NAME", help="Context of the kubeconfig; the current one without."),
)


def target_options(command: Decorated) -> Decorated:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def instance_options(mode: str | None) -> Callable[[Decorated], Decorated]:
    """Adds the options that choose among the instances of a service; `mode` is the default."""

    def added(command: Decorated) -> Decorated:
        for option in (
            click.option(
                "--label",
                "labels",
                multiple=True,
                metavar="NAME=VALUE",
                help="Label that an instance must have to be hit, in a cluster; repeat.",
            ),
            click.option(
                "--mode",
                default=mode,
                show_default=mode is not None,
                metavar="all|one|N|N%",
                help="How many of these instances to hit; the id of the fault decides which.",
            ),
        ):
            command = option(command)
        return command

    return added


def labels_of(pairs: Sequence[str]) -> Mapping[str, str]:
    """The labels that were given; raises as `parameters_of`."""
    return parameters_of(pairs, "--label", "app=cart")


def cluster_of(
    target: str, namespaces: tuple[str, ...], fault_namespaces: tuple[str, ...], context: str | None
) -> ClusterOptions | None:
    """The cluster that was named; None where the target is local.

    Raises:
        InvalidInput: no namespace was given, or one where there is no cluster.
    """
    if target == KUBERNETES:
        if not namespaces:
            msg = "--target kubernetes needs the namespace of the target; add for example --namespace default"
            raise InvalidInput(msg)
        return ClusterOptions(
            namespaces=tuple(dict.fromkeys(namespaces)),
            fault_namespaces=tuple(dict.fromkeys(fault_namespaces)),
            context=context,
        )
    if namespaces or fault_namespaces or context:
        msg = (
            "--namespace, --fault-namespace and --context are of a cluster; add --target kubernetes, "
            "or leave them out"
        )
        raise InvalidInput(msg)
    return None
