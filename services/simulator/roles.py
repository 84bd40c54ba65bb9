"""What the numbers of the city are for, how each kind calls, and how readily it is marked."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Calling:
    """How one kind of number calls on a day with calls; ratios in [0, 1], counts a day.

    The values are plausible levels chosen by us so that kinds overlap (a courier calls as much as
    a small call centre); volumes of nuisance callers sit around the figures of china.md section 5.
    """

    active_ratio: float  # of days with any call
    calls_out: float  # median
    spread: float  # standard deviation of log volume between numbers
    answered_ratio: float
    distinct_ratio: float  # distinct callees per call
    ring_only_ratio: float  # of unanswered calls, hung up by the caller
    short_ratio: float  # of answered calls, < 10 s
    talk_s: float  # mean of an answered call
    calls_in: float
    callback_ratio: float  # of incoming calls, from people called before
    night_ratio: float
    repeats: float = 0.5  # mean excess of calls to the most called callee
    per_minute: float = 0.1  # mean excess of calls in the busiest minute
    shared_callee: float = 0.02  # mean excess of callers meeting on one callee
    areas_ratio: float = 0.08  # areas per distinct callee
    sequential: float = 0.01
    extra_imei: float = 0.01
    cells: float = 4.0
    intl_share: float = 0.0  # of numbers whose calls arrive on an international trunk
    sunday: float = 1.0  # volume on Sundays


@dataclass(frozen=True)
class Role:
    """One kind of holder.

    Attributes:
        share: of the city's numbers.
        marks_per_day: expected honest marks by all vendors' users on a day with calls.
        decoys: categories that people take it for, with weights.
        kinds: weights of mobile, MVNO, fixed, 95, 400 numbers.
        churn: share of numbers whose tenure begins or ends within the window.
        tenure_days: bounds of a churning tenure.
    """

    name: str
    category: str
    bad: bool
    share: float
    marks_per_day: float
    calling: Calling
    decoys: tuple[tuple[str, float], ...]
    kinds: tuple[float, float, float, float, float] = (1, 0, 0, 0, 0)
    churn: float = 0.02
    tenure_days: tuple[int, int] = (20, 400)


PRIVATE = Calling(0.5, 2.2, 0.7, 0.72, 0.75, 0.10, 0.10, 95, 2.5, 0.12, 0.10)
_COURIER = Calling(
    0.9, 70, 0.5, 0.80, 0.93, 0.12, 0.36, 28, 20, 0.6, 0.04, per_minute=0.7, areas_ratio=0.02
)
_DELIVERY = replace(_COURIER, calls_out=42, short_ratio=0.46, talk_s=20, night_ratio=0.18, cells=20)
_TAXI = Calling(0.85, 15, 0.5, 0.84, 0.95, 0.1, 0.42, 24, 14, 0.5, 0.26, cells=30, areas_ratio=0.04)
_SHOP = Calling(0.75, 7, 0.8, 0.75, 0.8, 0.08, 0.15, 80, 11, 0.15, 0.05, cells=1.3)
_SERVICE = Calling(
    0.95, 80, 0.9, 0.62, 0.90, 0.10, 0.14, 110, 220, 0.06, 0.05, areas_ratio=0.2, per_minute=1.2
)
_CENTRE = Calling(
    0.82, 150, 0.7, 0.38, 0.95, 0.25, 0.55, 32, 4, 0.7, 0.04, 0.9, 1.5, 0.4, 0.12, 0.12, 0.05, 1.5,
    sunday=0.5,
)  # fmt: skip
_AGENT = replace(
    _CENTRE, calls_out=45, answered_ratio=0.52, short_ratio=0.35, talk_s=60, calls_in=12,
    sequential=0.03, cells=5, shared_callee=0.1, sunday=1.1,
)  # fmt: skip
_COLLECTOR = Calling(
    0.85, 105, 0.6, 0.35, 0.35, 0.2, 0.4, 60, 8, 0.5, 0.10, 6, 1.2, 0.8, 0.15, 0.02, 0.05, 1.5,
    sunday=0.7,
)  # fmt: skip
_GANG = Calling(
    0.92, 85, 0.7, 0.35, 0.97, 0.15, 0.5, 90, 2, 0.4, 0.05, 0.7, 1.4, 0.5, 0.35, 0.25, 0.5, 1.2,
    intl_share=0.15,
)  # fmt: skip
_GROOMER = replace(
    _GANG, calls_out=14, answered_ratio=0.6, distinct_ratio=0.8, short_ratio=0.15, talk_s=260,
    calls_in=6, sequential=0.03, per_minute=0.1, extra_imei=0.15, intl_share=0.08,
)  # fmt: skip
_ONE_RING = Calling(
    0.9, 420, 0.6, 0.03, 0.99, 0.93, 0.9, 6, 45, 0.95, 0.15, 0.2, 6, 0.2, 0.3, 0.6, 0.6, 1.2,
    intl_share=0.2,
)  # fmt: skip
_BOMBER = Calling(
    0.6, 380, 0.6, 0.2, 0.05, 0.6, 0.85, 5, 3, 0.3, 0.3, 120, 8, 12, 0.4, 0.02, 0.8, 1.2
)

_SALES_DECOYS = (("A3000", 0.55), ("A2000", 0.35), ("A1100", 0.10))
_MONEY_DECOYS = (("A3000", 0.35), ("A2000", 0.25), ("A3100", 0.20), ("A1100", 0.20))
_HOSTILE = (("A2000", 0.6), ("A3000", 0.4))
_CENTRE_KINDS = (0.50, 0.16, 0.22, 0.08, 0.04)
_AGENT_KINDS = (0.85, 0.08, 0.07, 0, 0)
_GANG_KINDS = (0.62, 0.30, 0.05, 0.01, 0.02)


def _sales(
    name: str, category: str, share: float, marks: float, calling: Calling = _CENTRE
) -> Role:
    decoys = _MONEY_DECOYS if category.startswith("A31") else _SALES_DECOYS
    kinds = _AGENT_KINDS if calling is _AGENT else _CENTRE_KINDS
    return Role(name, category, True, share, marks, calling, decoys, kinds, 0.35, (15, 200))


def _crime(
    name: str, category: str, share: float, marks: float, pretext: str, calling: Calling = _GANG
) -> Role:
    decoys = ((pretext, 0.45), ("A2000", 0.30), ("A1100", 0.25))
    return Role(name, category, True, share, marks, calling, decoys, _GANG_KINDS, 0.95, (5, 28))


ROLES: tuple[Role, ...] = (
    Role("private", "", False, 0.730, 0.0012, PRIVATE,
         (("A2000", 0.45), ("A3000", 0.22), ("A1100", 0.13), ("A3200", 0.10), ("A4100", 0.10)),
         (0.95, 0.03, 0.02, 0, 0)),
    Role("courier", "A4100", False, 0.030, 0.045, _COURIER, _HOSTILE, (0.97, 0.03, 0, 0, 0), 0.1),
    Role("delivery", "A4110", False, 0.020, 0.030, _DELIVERY,
         (("A4100", 0.5), ("A2000", 0.3), ("A3000", 0.2)), (0.95, 0.05, 0, 0, 0), 0.15),
    Role("taxi", "A4120", False, 0.020, 0.020, _TAXI, (("A2000", 0.6), ("A4100", 0.4)),
         (0.97, 0.03, 0, 0, 0), 0.1),
    Role("shop", "A4300", False, 0.045, 0.008, _SHOP, (("A3000", 0.7), ("A2000", 0.3)),
         (0.55, 0.03, 0.38, 0, 0.04)),
    Role("customer service", "A4200", False, 0.015, 0.050, _SERVICE,
         (("A3000", 0.6), ("A2000", 0.3), ("A1100", 0.1)), (0.1, 0, 0.4, 0.2, 0.3)),
    Role("public service", "A4900", False, 0.0012, 0.060, _SERVICE,
         (("A2000", 0.6), ("A1100", 0.4)), (0, 0, 1, 0, 0), 0.0),
    _sales("loans", "A3101", 0.0130, 0.22),
    _sales("insurance", "A3107", 0.0090, 0.16),
    _sales("property", "A3200", 0.0110, 0.16, _AGENT),
    _sales("education", "A3600", 0.0080, 0.15),
    _sales("stocks", "A3104", 0.0050, 0.18),
    _sales("wealth", "A3102", 0.0030, 0.15),
    _sales("cards", "A3103", 0.0030, 0.14),
    _sales("medical", "A3300", 0.0040, 0.12),
    _sales("cosmetic", "A3302", 0.0015, 0.12),
    _sales("health food", "A3310", 0.0020, 0.14),
    _sales("renovation", "A3210", 0.0040, 0.14),
    _sales("recruiting", "A3400", 0.0040, 0.08, _AGENT),
    _sales("travel", "A3500", 0.0010, 0.10),
    _sales("retail", "A3700", 0.0030, 0.10),
    _sales("telecom offers", "A3710", 0.0020, 0.12),
    _sales("games", "A3730", 0.0010, 0.12),
    _sales("marketing", "A3000", 0.0040, 0.14),
    Role("debt collector", "A2100", True, 0.0070, 0.16, _COLLECTOR,
         (("A2000", 0.6), ("A2200", 0.2), ("A1100", 0.2)), _CENTRE_KINDS, 0.4, (15, 200)),
    _crime("police impostor", "A1101", 0.0040, 0.55, "A2000"),
    _crime("fake customer service", "A1102", 0.0050, 0.50, "A4200"),
    _crime("fake loan", "A1103", 0.0040, 0.50, "A3101"),
    _crime("fake orders", "A1104", 0.0040, 0.45, "A3400"),
    _crime("investment fraud", "A1105", 0.0030, 0.25, "A3104", _GROOMER),
    _crime("fake invoices", "A1400", 0.0020, 0.25, "A3000"),
    _crime("gambling", "A1510", 0.0015, 0.30, "A3730"),
    # 360's reports: one-ring calls were 7.8 % of marked nuisance calls in 2016 (china.md 5).
    Role("one-ring", "A2000", True, 0.0060, 0.30, _ONE_RING, (("A1100", 0.6), ("A3000", 0.4)),
         (0.6, 0.3, 0.1, 0, 0), 0.8, (6, 40)),
    Role("call bomber", "A2200", True, 0.0020, 0.15, _BOMBER, (("A2000", 0.8), ("A1100", 0.2)),
         _GANG_KINDS, 0.8, (6, 40)),
)  # fmt: skip

ROLE_INDEX = {role.name: index for index, role in enumerate(ROLES)}
CRIME_GANGS = tuple(i for i, role in enumerate(ROLES) if role.category.startswith("A11"))
CALL_CENTRES = tuple(i for i, role in enumerate(ROLES) if role.category.startswith("A3"))
