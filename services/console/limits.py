"""How often one visitor may ask what."""

from services.common.quota import Rate

LOOKUP = Rate("lookup", 20, 20)
FILING = Rate("filing", 6, 2)
CASE = Rate("case", 30, 20)
LOGIN = Rate("login", 6, 3)
STAFF = Rate("staff", 120, 240)
BATCH = Rate("batch", 20, 60)
