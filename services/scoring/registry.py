"""Models on disk: models/<name>/<version>/{model.txt, card.json}, and which one is active."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import lightgbm as lgb

from services.common.errors import NotFound
from services.scoring.domain import RiskModel


class Registry:
    """Reads shipped models and a folder of its own; writes only the latter."""

    def __init__(self, shipped: Path, own: Path) -> None:
        self._shipped, self._own = shipped, own
        self._lock = threading.Lock()
        self._active: dict[str, RiskModel] = {}

    def active(self, name: str) -> RiskModel:
        """The model that scores, loaded once.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        with self._lock:
            if name not in self._active:
                self._active[name] = self.load(name, self._active_version(name))
            return self._active[name]

    def load(self, name: str, version: str) -> RiskModel:
        """Read a model.

        Raises:
            NotFound: MODEL_NOT_FOUND.
        """
        folder = self._folder(name, version)
        card = json.loads((folder / "card.json").read_text())
        return RiskModel(
            booster=lgb.Booster(model_file=str(folder / "model.txt")),
            names=tuple(card["features"]),
            slope=card["calibration"]["slope"],
            intercept=card["calibration"]["intercept"],
            version=version,
        )

    def save(self, name: str, version: str, booster: lgb.Booster, card: dict[str, Any]) -> None:
        """Store a model beside the others."""
        folder = self._own / name / version
        folder.mkdir(parents=True, exist_ok=True)
        booster.save_model(str(folder / "model.txt"))
        (folder / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")

    def activate(self, name: str, version: str) -> RiskModel:
        """Make a model the one that scores; calls under way finish with the old one."""
        model = self.load(name, version)
        folder = self._own / name
        folder.mkdir(parents=True, exist_ok=True)
        pointer = folder / "ACTIVE.new"
        pointer.write_text(version + "\n")
        os.replace(pointer, folder / "ACTIVE")
        with self._lock:
            self._active[name] = model
        return model

    def cards(self, name: str) -> list[tuple[str, str, bool]]:
        """(version, card, whether active), newest first."""
        versions = {
            path.parent.name: path.read_text()
            for root in (self._shipped, self._own)
            for path in (root / name).glob("*/card.json")
        }
        active = self._active_version(name) if versions else ""
        return [(v, versions[v], v == active) for v in sorted(versions, reverse=True)]

    def _active_version(self, name: str) -> str:
        for root in (self._own, self._shipped):
            pointer = root / name / "ACTIVE"
            if pointer.exists():
                return pointer.read_text().strip()
        raise NotFound("MODEL_NOT_FOUND", f"no active model {name!r}", model=name, version="")

    def _folder(self, name: str, version: str) -> Path:
        for root in (self._own, self._shipped):
            folder = root / name / version
            if version and "/" not in version and (folder / "card.json").exists():
                return folder
        raise NotFound(
            "MODEL_NOT_FOUND",
            f"no model {name!r} of version {version[:80]!r}",
            model=name,
            version=version[:80],
        )
