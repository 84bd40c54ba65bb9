"""What every command is told."""


class Target:
    """Where commands work, and for whom they print; set once by the command line."""

    store = "chdb:var/store"
    server = ""
    as_json = False
