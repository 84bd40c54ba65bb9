"""`zhengming console`: who may log in to the web pages."""

import os
import sys
from typing import Annotated

import typer

from services.cli.target import Target
from services.configuration import environment
from services.console.accounts import ROLES, Accounts, hashed

app = typer.Typer(no_args_is_help=True, help="Accounts of the console.")
users = typer.Typer(no_args_is_help=True, help="Accounts of the console.")
app.add_typer(users, name="user")


def _accounts() -> Accounts:
    return Accounts(environment({**os.environ, "ZHENGMING_STORE": Target.store}).accounts)


@users.command()
def add(
    name: str,
    role: Annotated[str, typer.Option(help=", ".join(ROLES))],
    source: Annotated[str, typer.Option(help="The vendor's source, or the authority.")] = "",
) -> None:
    """Add an account or set its password: asked for on a terminal, else read from stdin."""
    if sys.stdin.isatty():
        password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    _accounts().put(hashed(name, role, source, password))
    print(f"{name} may log in as {role}")


@users.command(name="list")
def list_users() -> None:
    """List the accounts."""
    for name, role, source in _accounts().names():
        print(f"{name}\t{role}\t{source}")
