"""The `zhengming` command."""
