"""Which of a vendor's labels tells a category of ours."""

from collections.abc import Sequence

from services.common.taxonomy.axes import Category, Standard
from services.common.taxonomy.meanings import EXACT, NARROWER, RELATIONS, Meaning


def label_for(category: Category, meanings: Sequence[Meaning], standard: Standard) -> str | None:
    """The label of a scheme that tells a category, or None if it has no fitting one.

    The category itself is tried, then each wider one, then the catch-all of its group. A label
    fits if the category is its home, or, of such labels the heaviest, if the category is some of
    what it says. A wider category's label must take in the one asked for. A service is never told
    by a label at home elsewhere, and neither is an illegal call; nuisance and marketing may be
    told by the scheme's word for any unwanted call.

    Args:
        category: what is to be told.
        meanings: the scheme's, in the order of preference among equals.
        standard: the standard that both speak of.
    """
    said = [meaning for meaning in meanings if meaning.says_what]
    homes: dict[int, Meaning] = {}
    for meaning in sorted(said, key=lambda m: RELATIONS.index(m.relations[0])):
        homes.setdefault(meaning.home, meaning)
    chain = [category, *standard.ancestors(category.code)]
    chain += [c for c in standard.categories if c.catch_all_of == category.group]
    for wider in dict.fromkeys(chain):
        home = homes.get(wider.id)
        same = wider is category or wider.catch_all_of == category.code
        if home and (same or _takes_in(home, category)):
            return home.label
        fitting = [meaning for meaning in said if _tells(meaning, wider, standard)]
        if fitting:
            return max(fitting, key=lambda m: m.weight_of(wider.id)).label
    return None


def _takes_in(meaning: Meaning, category: Category) -> bool:
    return meaning.relations[0] in (EXACT, NARROWER) or meaning.weight_of(category.id) > 0


def _tells(meaning: Meaning, category: Category, standard: Standard) -> bool:
    ids = [category_id for category_id, _ in meaning.rows]
    relation = dict(zip(ids, meaning.relations, strict=True)).get(category.id)
    home = standard.category_of_id(meaning.home)
    unwanted = ("A2", "A3")
    general = home.catch_all_of in unwanted and category.group in unwanted
    return relation in (EXACT, NARROWER) and (home.group == category.group or general)
