"""The options that say where the target is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

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
    click.option("--context", metavar="NAME", help="Context of the kubeconfig; the current one without."),
)


def target_options(command: Decorated) -> Decorated:
    """Adds the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cluster_of(target: str, namespaces: tuple[str, ...], context: str | None) -> ClusterOptions | None:
    """The cluster that was named; None where the target is local.

    Raises:
        InvalidInput: no namespace was given, or one where there is no cluster.
    """
    if target == KUBERNETES:
        if not namespaces:
            msg = "--target kubernetes needs the namespace of the target; add for example --namespace default"
            raise InvalidInput(msg)
        return ClusterOptions(namespaces=tuple(dict.fromkeys(namespaces)), context=context)
    if namespaces or context:
        msg = "--namespace and --context are of a cluster; add --target kubernetes, or leave them out"
        raise InvalidInput(msg)
    return None
