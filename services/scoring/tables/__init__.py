"""Learning a yes/no label from any table, its id numbers, and who is linked to whom."""
