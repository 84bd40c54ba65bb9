"""The page of documentation about the standard, written from its tables.

Run `python -m services.common.taxonomy.page > docs/taxonomy.md`.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence

from services.common.taxonomy import crosswalk, standard
from services.common.taxonomy.axes import Category, Standard
from services.common.taxonomy.crosswalk import Crosswalk
from services.common.taxonomy.meanings import WORDS, Meaning

_INTRODUCTION = """\
# The category standard and its crosswalks

Version {version}, valid from {valid_from}. This page is written from the tables in
`services/common/taxonomy/tables/{version}/` by `python -m services.common.taxonomy.page`; change
the tables, never the page.

No published standard for the content of number marks was found, so this one is a proposal. It is
built so that every official list found maps onto it without loss, provided the raw label is kept,
and it always is. Three independent axes: **A** what the call is about, **B** how it is made,
**C** what its number is. A mark has one category of A, and may have behaviours of B.
"""

_CATEGORIES = """\
## Axis A: content

The id of a category is its digits (A3107 is 3107, the group A1 is 1), a 16-bit integer. Severity:
4 critical, 3 high, 2 medium, 1 informational. **Level** is what is published once the category is
established: its severity, and 0 for a service, which must never raise a risk. An unclassified
mark has level 1: somebody marked the number, so it is not "nothing known".

**Half-life**: after so many days a mark of the category counts half. No rule or vendor publishes
one, so these are ours. Illegal calls fade slowest, since an early release costs most there, and a
new holder is safe all the same, for the former holder's marks end with the tenure. Marketing and
collection follow, firms keeping their lines for months; then nuisance; services fade first, since
riders and couriers change. A mark that was imported in bulk has {ratio:g} of the half-life.

An authority in *italics* is inferred; the others are named by a source. Sources: P the action
plan of July 2018, R a 12321 `bad_type` or `type`, R(app) the older 12321 app, T Tencent, B Baidu,
X words seen at vendors, L law.
"""

_BEHAVIOURS = """\
## Axis B: behaviour

Found by rules over carriers' aggregates, or said by a label (12321's `type`, the FTC's flag).
"""

_IDENTITIES = """\
## Axis C: identity

What the number is. "Protected" and "verified" are identities and not contents, so A has no such
category.
"""

_CROSSWALKS = """\
## Crosswalks

A label is looked up in this order, compared after NFKC, without white space and case:

1. a code of the standard (`A3107`, `a3107`);
2. the scheme of the source. `sources.csv` names the scheme of some sources; any other has the
   scheme that it is called after, alone or before a `-` or `:` (`tencent`, `tencent-2026`,
   `ftc:dnc`), if there is one;
3. the free words (`words`);
4. failing all three as a whole, its parts between `|`, by the same steps. Those that say what the
   call is about give the categories, in equal shares; every part gives its behaviours. So
   `7|type:1` of 12321 and `Medical & prescriptions|robocall:Y` of the FTC say what and how;
5. unknown: A9000 with weight 1, relation `unknown`. The label waits for a reviewer, with the
   categories of the most similar known labels; the mapping that is confirmed holds for what
   was received before too.

**A label maps to a set of categories.** The weight of a category is P(category | a competent
source said this label): before any evidence about the number, and by the meaning of the word alone.
A label's weights sum to 1. An unspecified category (A1100, A2000, A3000, A3100, A3200, A3300)
stands for "the finer kind is not known". The errors of a source are no part of the weights; its
confusion matrix has them. Where no share is published, the split is our judgement: even between
alternatives, most on the category of the published crosswalk, which is the label's **home** and
stands first. An illegal category is a possibility of a lawful word only where the word itself
leaves that open.

**Relation** says what the category is to the label (in the sense of SKOS, W3C 2009, section 10):
`=` exact, the same calls; `>` broader, the category takes in all of the label's calls and more;
`<` narrower, it takes in only some of them.

**Back to a vendor's label**: the label whose home is the category, or that names it as one of its
meanings; then the same for each wider category, if that label takes in the one asked for; then
for the catch-all of the group. A service is never told by a nuisance label nor an illegal call by a
lawful one: where a scheme has no fitting label, there is none.
"""


def page(std: Standard, xw: Crosswalk) -> str:
    """The whole page as Markdown."""
    return "\n".join(_lines(std, xw)).rstrip() + "\n"


def _lines(std: Standard, xw: Crosswalk) -> Iterator[str]:
    yield _INTRODUCTION.format(version=std.version, valid_from=std.valid_from)
    yield _CATEGORIES.format(ratio=std.import_half_life_ratio)
    yield from _table(
        "code|Chinese|English|severity|level|half-life, days|authority|source",
        (_category(category) for category in std.categories),
    )
    yield _BEHAVIOURS
    yield from _table(
        "code|Chinese|English|severity|authority|source",
        (
            (b.code, b.name_zh, b.name_en, b.severity or "–", "、".join(b.authority), b.source)
            for b in std.behaviours
        ),
    )
    yield _IDENTITIES
    yield from _table(
        "code|Chinese|English|effect",
        ((i.code, i.name_zh, i.name_en, i.effect) for i in std.identities),
    )
    yield "## Authorities\n"
    yield from _table(
        "short|full name|English",
        ((a.name_zh, a.full_name_zh, a.name_en) for a in std.authorities.values()),
    )
    yield _CROSSWALKS
    for scheme in xw.schemes:
        meanings = [meaning for meaning in xw.meanings if meaning.scheme == scheme]
        yield f"### `{scheme}`: {len(meanings)} labels\n"
        yield from _table(
            "label|also written|categories|behaviours|note"
            if scheme != WORDS
            else "word|also|categories|behaviours|note",
            (_meaning(meaning, std) for meaning in meanings),
        )


def _category(category: Category) -> Sequence[object]:
    name = f"**{category.code}**" if not category.parent else category.code
    authority = "、".join(
        f"*{a}*" if a in category.authority_inferred else a for a in category.authority
    )
    return (
        name,
        category.name_zh,
        category.name_en,
        category.severity,
        category.level,
        f"{category.half_life_days:g}",
        authority,
        category.source,
    )


def _meaning(meaning: Meaning, std: Standard) -> Sequence[object]:
    sign = {"exact": "=", "broader": ">", "narrower": "<"}
    spread = ", ".join(
        f"{sign[relation]} {std.category_of_id(category_id).code} {weight:g}"
        for (category_id, weight), relation in zip(meaning.rows, meaning.relations, strict=True)
    )
    label = f"`{meaning.label}`" if meaning.label else "(empty)"
    return (label, "; ".join(meaning.names), spread, " ".join(meaning.behaviours), meaning.note)


def _table(header: str, body: Iterable[Sequence[object]]) -> Iterator[str]:
    columns = header.split("|")
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for cells in body:
        yield "| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |"
    yield ""


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # always a text file here
    sys.stdout.write(page(standard.load(), crosswalk.load()))
