"""Models on disk: models/<name>/<version>/{*.txt, card.json}, and which one is active.

Several processes may share the folder: `ACTIVE` names the active version in its first line and
those before it in the others, is replaced as a whole, and is looked at in every call.
"""

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, overload

import lightgbm as lgb
import numpy as np

from services.common.errors import DomainError, InvalidArgument, NotFound, out_of_range
from services.scoring.domain import RiskModel
from services.scoring.drift import Reference
from services.scoring.prior import FOLDS, PriorModel

log = logging.getLogger(__name__)

NAMES = ("risk", "prior")
CARD_FILE = "card.json"
MODEL_FILE = "model.txt"
REFERENCE_FILE = "reference.json"
SHADOW_FILE = "SHADOW"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""A version is the name of a folder, and leads nowhere else."""
Model = RiskModel | PriorModel
_Stamp = tuple[int, int, int]


def fold_file(fold: int) -> str:
    """Name of the file of one booster of a prior model."""
    return f"fold{fold}.txt"


class Registry:
    """Reads shipped models and a folder of its own; writes only the latter."""

    def __init__(self, shipped: Path, own: Path) -> None:
        self._shipped, self._own = shipped, own
        self._lock = threading.Lock()
        self._active: dict[str, tuple[_Stamp, Model]] = {}

    @overload
    def active(self, name: Literal["risk"]) -> RiskModel: ...
    @overload
    def active(self, name: Literal["prior"]) -> PriorModel: ...
    def active(self, name: str) -> Model:
        """The model that scores; loaded when it was activated here or by another process.

        A call holds what it was given, so none is lost. While a new one cannot be read, the old
        one goes on.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        pointer = self._pointer(name)
        stamp = _stamp(pointer)
        with self._lock:
            known = self._active.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            try:
                model = self.load(name, _history(pointer)[0])
            except DomainError:
                if known is None:
                    raise
                log.exception("the model activated last cannot be read; the old one goes on")
                return known[1]
            self._active[name] = (stamp, model)
            return model

    def has(self, name: str) -> bool:
        """Whether there is an active model of that name."""
        return any((root / name / "ACTIVE").exists() for root in (self._own, self._shipped))

    def load(self, name: str, version: str) -> Model:
        """Read a model.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            InvalidArgument: FILE_UNREADABLE, for a card that is none, or a file that is not the one
                that the card was written with.
        """
        folder = self._folder(name, version)
        try:
            return self._read(name, version, folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(f"card.json: {error!r}", version) from error
        except lgb.basic.LightGBMError as error:
            raise _unreadable(str(error), version) from error

    def _read(self, name: str, version: str, folder: Path) -> Model:
        card = json.loads((folder / CARD_FILE).read_text())
        # LightGBM reads a damaged text for ever, or past its end: it is given none.
        for file, digest in card.get("files", {}).items():
            if file != Path(file).name or _digest(folder / file) != digest:
                raise _unreadable(f"{file} is not what the card was written with", version)
        calibration, names = card["calibration"], tuple(card["features"])
        if name == "risk":
            return RiskModel(
                booster=lgb.Booster(model_file=str(folder / MODEL_FILE)),
                names=names,
                slope=calibration["slope"],
                intercept=calibration["intercept"],
                version=version,
            )
        return PriorModel(
            boosters=tuple(
                lgb.Booster(model_file=str(folder / fold_file(fold))) for fold in range(FOLDS)
            ),
            names=names,
            classes=tuple(card["classes"]),
            log_base=np.array(card["log_base"], dtype=np.float64),
            temperature=calibration["temperature"],
            version=version,
        )

    def save(
        self,
        name: str,
        version: str,
        booster: lgb.Booster | Mapping[str, lgb.Booster],
        card: dict[str, Any],
        reference: Reference | None = None,
    ) -> None:
        """Store a model beside the others: one booster, or several by file name.

        The card comes last and whole: without it the folder is no model.
        """
        folder = self._own / name / version
        folder.mkdir(parents=True, exist_ok=True)
        boosters = {MODEL_FILE: booster} if isinstance(booster, lgb.Booster) else booster
        for file, part in boosters.items():
            part.save_model(str(folder / file))
        if reference is not None:
            (folder / REFERENCE_FILE).write_text(reference.text())
        card = card | {"files": {file: _digest(folder / file) for file in boosters}}
        _write_card(folder / CARD_FILE, card)

    def load_risk(self, version: str) -> RiskModel:
        """Read a model of risk.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        model = self.load("risk", version)
        assert isinstance(model, RiskModel)
        return model

    def annotate(self, name: str, version: str, field: str, found: object) -> dict[str, Any]:
        """Write what was found of a model of our own into its card; returns the card."""
        path = self._own / name / version / CARD_FILE
        card: dict[str, Any] = json.loads(path.read_text())
        card[field] = found
        _write_card(path, card)
        return card

    def activate(self, name: str, version: str) -> Model:
        """Make a model the one that scores; calls under way finish with the old one.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        model = self.load(name, version)
        earlier = [v for v in self._versions_of_pointer(name) if v != version]
        self._point(name, [version, *earlier])
        if name == "risk" and version == self.shadowed():
            self.put_in_shadow("")
        return model

    def reference(self, name: str, version: str) -> Reference | None:
        """What a model was learned with; None where it was stored without.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            InvalidArgument: FILE_UNREADABLE.
        """
        path = self._folder(name, version) / REFERENCE_FILE
        if not path.exists():
            return None
        try:
            return Reference.read(path.read_text())
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise _unreadable(f"{REFERENCE_FILE}: {error!r}", version) from error

    def target(self, version: str) -> tuple[int, int]:
        """Marks that make a number bad, and within how many days, for a model of risk.

        Raises:
            NotFound: MODEL_NOT_FOUND.
            InvalidArgument: FILE_UNREADABLE.
        """
        path = self._folder("risk", version) / CARD_FILE
        try:
            card = json.loads(path.read_text())
            return int(card.get("positive_marks", 3)), int(card.get("horizon_days", 30))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _unreadable(f"{CARD_FILE}: {error!r}", version) from error

    def put_in_shadow(self, version: str) -> None:
        """Have a model of risk score beside the active one, in place of any other; "": none.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        if version:
            self.load_risk(version)
        self._write("risk", SHADOW_FILE, f"{version}\n")

    def shadowed(self) -> str:
        """Version of the model in shadow, "" without one."""
        path = self._own / "risk" / SHADOW_FILE
        return path.read_text().strip() if path.exists() else ""

    def shadow(self) -> RiskModel | None:
        """The model in shadow; None without one, or while it cannot be read."""
        version = self.shadowed()
        if not version:
            return None
        try:
            return self.load_risk(version)
        except DomainError:
            log.exception("the model in shadow cannot be read; it does not score")
            return None

    def rollback(self, name: str) -> Model:
        """Make the model active that was so before.

        Raises:
            NotFound: MODEL_NOT_FOUND, where there was none before.
        """
        versions = self._versions_of_pointer(name)
        if len(versions) < 2:
            raise NotFound(
                "MODEL_NOT_FOUND",
                f"no model {name!r} was active before this one",
                model=name,
                version="",
            )
        model = self.load(name, versions[1])
        self._point(name, versions[1:])
        return model

    def cards(self, name: str) -> list[tuple[str, str, bool]]:
        """(version, card, whether active), newest first."""
        versions = {
            path.parent.name: path.read_text()
            for root in (self._shipped, self._own)
            for path in (root / name).glob("*/card.json")
        }
        active = self._versions_of_pointer(name)[:1]
        return [(v, versions[v], [v] == active) for v in sorted(versions, reverse=True)]

    def _versions_of_pointer(self, name: str) -> list[str]:
        """The active version and those that were so before, newest first; the shipped one last."""
        found: list[str] = []
        for root in (self._own, self._shipped):
            pointer = root / name / "ACTIVE"
            if pointer.exists():
                found += [version for version in _history(pointer) if version not in found]
        return found

    def _point(self, name: str, versions: list[str]) -> None:
        self._write(name, "ACTIVE", "".join(f"{version}\n" for version in versions))

    def _write(self, name: str, file: str, text: str) -> None:
        """Replace a file as a whole."""
        folder = self._own / name
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{file}.{os.getpid()}.{threading.get_ident()}"
        fresh.write_text(text)
        os.replace(fresh, folder / file)

    def _pointer(self, name: str) -> Path:
        for root in (self._own, self._shipped):
            pointer = root / name / "ACTIVE"
            if pointer.exists():
                return pointer
        raise NotFound("MODEL_NOT_FOUND", f"no active model {name!r}", model=name, version="")

    def _folder(self, name: str, version: str) -> Path:
        if name not in NAMES:
            raise out_of_range("name", repr(name[:40]), "'risk' or 'prior'")
        for root in (self._own, self._shipped):
            folder = root / name / version
            if _VERSION.fullmatch(version) and (folder / CARD_FILE).exists():
                return folder
        raise NotFound(
            "MODEL_NOT_FOUND",
            f"no model {name!r} of version {version[:80]!r}",
            model=name,
            version=version[:80],
        )


def _write_card(path: Path, card: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    os.replace(fresh, path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unreadable(cause: str, version: str) -> InvalidArgument:
    return InvalidArgument(
        "FILE_UNREADABLE",
        f"the model {version[:80]!r} cannot be read: {cause[:200]}",
        file="model",
        cause=cause[:200],
    )


def _stamp(pointer: Path) -> _Stamp:
    """Changes whenever the file is replaced."""
    found = pointer.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _history(pointer: Path) -> list[str]:
    return pointer.read_text().split()
