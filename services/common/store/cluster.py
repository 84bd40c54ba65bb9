"""Statements about tables, as a cluster of ClickHouse servers takes them. Pure.

Every table is there twice under one name: in the database's shard database, replicated, the rows
of one shard; and in the database itself, a Distributed table over all shards. Statements that
read and insert therefore read the same on one server, on a shard and on the whole cluster.
"""

import re

SHARD_KEYS = ("number", "mark_key")
"""Columns that rows are spread by, the first that a table has. Tables without either are small
and live on the first shard, and so do those of WHOLE."""
WHOLE = ("changes",)
"""Tables whose blocks must appear as a whole or not at all."""

_CREATE = re.compile(
    r"CREATE\s+TABLE\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?(?P<name>\w+)\s*\((?P<columns>.*)\)\s*"
    r"ENGINE\s*=\s*(?P<engine>\w+)(\s*\((?P<arguments>[^)]*)\))?(?P<rest>.*)",
    re.S | re.I,
)
_ALTER = re.compile(r"ALTER\s+TABLE\s+(?P<name>\w+)\s+(?P<rest>.*)", re.S | re.I)
_COLUMN_CHANGE = re.compile(r"(ADD|DROP|MODIFY)\s+COLUMN", re.I)


def shard_database(database: str) -> str:
    """The database of the rows of one shard."""
    return f"{database}_shard"


def distributed_statements(statement: str, cluster: str, database: str) -> list[str]:
    """What a statement about a table becomes on a cluster: one or more, in order.

    CREATE TABLE makes both tables; ALTER TABLE goes to the rows, and where it is about columns
    also to the table over them: this one without ON CLUSTER, for a queue of the cluster takes no
    such change of a table that is not replicated, and so to be run on every server.

    Raises:
        ValueError: a CREATE TABLE of another form.
    """
    text = statement.strip()
    if altered := _ALTER.fullmatch(text):
        rows = f"{shard_database(database)}.{altered['name']} ON CLUSTER {cluster}"
        made = [f"ALTER TABLE {rows} {altered['rest']}"]
        if _COLUMN_CHANGE.match(altered["rest"]):
            made.append(f"ALTER TABLE {database}.{altered['name']} {altered['rest']}")
        return made
    if not re.match(r"CREATE\s+TABLE", text, re.I):
        return [statement]
    created = _CREATE.fullmatch(text)
    if created is None or not created["engine"].endswith("MergeTree"):
        raise ValueError(f"no MergeTree table: {text[:60]}")
    name, columns = created["name"], created["columns"]
    place = f"/zhengming/tables/{{shard}}/{database}/{name}"
    arguments = ", ".join(filter(None, (f"'{place}'", "'{replica}'", created["arguments"])))
    exists = "IF NOT EXISTS " if created["exists"] else ""
    rows = f"{shard_database(database)}.{name}"
    over = f"Distributed({cluster}, {shard_database(database)}, {name}, {_spread(name, columns)})"
    return [
        f"CREATE TABLE {exists}{rows} ON CLUSTER {cluster} ({columns}) "
        f"ENGINE = Replicated{created['engine']}({arguments}){created['rest']}",
        f"CREATE TABLE {exists}{database}.{name} ON CLUSTER {cluster} ({columns}) ENGINE = {over}",
    ]


def _spread(name: str, columns: str) -> str:
    if name not in WHOLE:
        for key in SHARD_KEYS:
            if re.search(rf"(^|,)\s*{key}\s", columns):
                return f"intHash64({key})"
    return "toUInt64(0)"
