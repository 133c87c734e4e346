"""`microservo completion`: the script that makes a shell complete commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_ADVICE = {
    "bash": 'eval "$(microservo completion bash)"       # in ~/.bashrc',
    "zsh": 'eval "$(microservo completion zsh)"        # in ~/.zshrc',
    "fish": "microservo completion fish | source       # in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\nTo use it:\n  " + "\n  ".join(_ADVICE.values()))
@click.argument("shell", type=click.Choice(list(_ADVICE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL."""
    shell_class = get_completion_class(shell)
    assert shell_class is not None
    script = shell_class(ctx.find_root().command, {}, "microservo", "_MICROSERVO_COMPLETE")
    print(script.source(), flush=True)  # lines and all: the shell reads it
