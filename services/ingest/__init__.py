"""Takes in marks, behaviour, lifecycle, registry and refusals, and keeps them."""
