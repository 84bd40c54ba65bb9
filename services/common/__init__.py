"""What every service needs and that knows no service."""
