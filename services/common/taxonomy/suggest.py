"""Which known labels an unknown one looks like, for the reviewer who must place it."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence

import faiss
import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidArgument, out_of_range
from services.common.taxonomy.meanings import fold

GRAM_LENGTHS = (1, 2, 3)

_WIDTH = 4096
_CANDIDATES_PER_ANSWER = 50
_CHANCE = 0.05  # two words that only share a letter or two come to less
_IDF_FLOOR = 0.1  # a gram of every category still tells equal labels from unequal ones
# One letter says next to nothing of a Latin word, one character much of a Chinese one.
_LONE_LETTER_WEIGHT = 0.1


class Suggester:
    """Nearest known labels by cosine over weighted character n-grams.

    A label is the bag of its 1- to 3-grams, each weighing sqrt(count) · idf (Salton & Buckley
    1988, doi 10.1016/0306-4573(88)90021-0). The idf counts categories and not labels: 电话 and
    推销 stand with many categories and say little, however few labels are known of each. Grams
    that no known label has lengthen the vector, and so lower every similarity.

    The vectors are hashed to 4,096 signed places (Weinberger et al. 2009,
    doi 10.1145/1553374.1553516), searched exactly by inner product, and what is found is measured
    again without hashing, so that a collision never makes two labels look alike.

    Args:
        known: (label, category id) pairs; labels that fold alike may repeat.

    Raises:
        InvalidArgument: FIELD_REQUIRED if there is no known label.
    """

    def __init__(self, known: Sequence[tuple[str, int]]) -> None:
        if not known:
            raise InvalidArgument(
                "FIELD_REQUIRED", "known: at least one label is needed", field="known"
            )
        self._known = tuple(known)
        bags = [_grams(label) for label, _ in self._known]
        pairs = {
            (gram, category_id)
            for bag, (_, category_id) in zip(bags, self._known, strict=True)
            for gram in bag
        }
        category_count = len({category_id for _, category_id in self._known})
        self._idf = {
            gram: float(np.log((1 + category_count) / (1 + count))) + _IDF_FLOOR
            for gram, count in Counter(gram for gram, _ in pairs).items()
        }
        self._idf_of_unseen = float(np.log(1 + category_count)) + _IDF_FLOOR
        self._weights = [self._weigh(bag) for bag in bags]
        self._index = faiss.IndexFlatIP(_WIDTH)
        self._index.add(np.stack([_hashed(weights) for weights in self._weights]))

    def suggest(self, label: str, k: int = 5) -> list[tuple[int, str, float]]:
        """The k likeliest categories, each by its most similar known label.

        Returns:
            (category id, known label, similarity in 0 to 1), the most similar first and equals
            in order of category; fewer than k if fewer categories have a label at 0.05 or more.

        Raises:
            InvalidArgument: FIELD_OUT_OF_RANGE if k is below 1.
        """
        if k < 1:
            raise out_of_range("k", k, "1 or more")
        asked = self._weigh(_grams(label))
        if not asked:
            return []
        # Many more than k, so that the many names of one category do not crowd out the others.
        count = min(len(self._known), k * _CANDIDATES_PER_ANSWER)
        _, places = self._index.search(_hashed(asked)[None], count)
        found: list[tuple[int, str, float]] = []
        for place in places[0].tolist():
            weights = self._weights[place]
            cosine = sum(weight * weights.get(gram, 0.0) for gram, weight in asked.items())
            if cosine >= _CHANCE:
                known, category_id = self._known[place]
                found.append((category_id, known, min(1.0, cosine)))
        best: dict[int, tuple[int, str, float]] = {}
        for answer in sorted(found, key=lambda answer: (-answer[2], answer[0], answer[1])):
            best.setdefault(answer[0], answer)
        return list(best.values())[:k]

    def _weigh(self, bag: Counter[str]) -> dict[str, float]:
        """The weight of each gram, of length 1 together; empty for an empty bag."""
        weights = {
            gram: count**0.5 * self._idf.get(gram, self._idf_of_unseen) * _letter(gram)
            for gram, count in bag.items()
        }
        length = sum(weight * weight for weight in weights.values()) ** 0.5
        return {gram: weight / length for gram, weight in weights.items()}


def _hashed(weights: Mapping[str, float]) -> npt.NDArray[np.float32]:
    vector = np.zeros(_WIDTH, np.float32)
    for gram, weight in weights.items():
        place = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
        vector[place % _WIDTH] += weight if place >> 31 else -weight
    return vector


def _grams(label: str) -> Counter[str]:
    text = fold(label)
    return Counter(text[i : i + n] for n in GRAM_LENGTHS for i in range(len(text) - n + 1))


def _letter(gram: str) -> float:
    return _LONE_LETTER_WEIGHT if len(gram) == 1 and gram.isascii() else 1.0
