"""The state that consumers keep a copy of: its rows, their digest, its files and its signature."""
