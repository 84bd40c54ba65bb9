"""What every page needs: the site with its services, who visits and may, how errors are told."""

import logging
import secrets
from dataclasses import dataclass

import flask
import grpc
from google.rpc import status_pb2

from services.common import errors, rpc
from services.common.clock import Clock
from services.common.quota import Limits, Rate
from services.console import language, limits
from services.console.accounts import Account, Accounts
from services.console.hashed_numbers import PublishedHashes
from zhengming.arbitration.v1 import (
    arbitration_pb2_grpc,
    dispute_pb2_grpc,
    ledger_pb2_grpc,
    notice_pb2_grpc,
    referral_pb2_grpc,
)
from zhengming.features.v1 import features_pb2_grpc
from zhengming.ingest.v1 import ingest_pb2_grpc, number_pb2_grpc, taxonomy_pb2_grpc
from zhengming.reputation.v1 import feed_pb2_grpc, reputation_pb2_grpc
from zhengming.scoring.v1 import scoring_pb2_grpc

log = logging.getLogger(__name__)

CALL_S = 20
"""Deadline of each call to a service."""


@dataclass(frozen=True)
class Upstream:
    """Stubs of the services behind the pages."""

    ingest: ingest_pb2_grpc.IngestServiceStub
    taxonomy: taxonomy_pb2_grpc.TaxonomyServiceStub
    numbers: number_pb2_grpc.NumberServiceStub
    arbitration: arbitration_pb2_grpc.ArbitrationServiceStub
    disputes: dispute_pb2_grpc.DisputeServiceStub
    ledger: ledger_pb2_grpc.LedgerServiceStub
    referrals: referral_pb2_grpc.ReferralServiceStub
    notices: notice_pb2_grpc.NoticeServiceStub
    reputation: reputation_pb2_grpc.ReputationServiceStub
    scoring: scoring_pb2_grpc.ScoringServiceStub
    features: features_pb2_grpc.FeaturesServiceStub
    feed: feed_pb2_grpc.FeedServiceStub


class Site:
    """What every page needs, in one place; `site()` finds it."""

    def __init__(
        self, upstream: Upstream, accounts: Accounts, clock: Clock, rate_scale: float
    ) -> None:
        self.upstream, self.accounts, self.clock = upstream, accounts, clock
        self.limits = Limits(clock, rate_scale)
        self.hashes = PublishedHashes(upstream.feed, clock)


def site() -> Site:
    """The site of the application that serves this request."""
    found: Site = flask.current_app.extensions["zhengming"]
    return found


def csrf() -> str:
    """The token that every form of this visitor carries."""
    if "csrf" not in flask.session:
        flask.session["csrf"] = secrets.token_urlsafe(24)
        flask.session.permanent = True
    token: str = flask.session["csrf"]
    return token


# ---- who may ----------------------------------------------------------------------------------


def require(*roles: str) -> Account:
    """The account that is logged in, in one of the roles.

    Raises:
        Refused: UNAUTHENTICATED or PERMISSION_DENIED.
    """
    account: Account | None = flask.g.account
    if account is None:
        raise Refused("UNAUTHENTICATED", "log in first")
    if account.role not in roles:
        raise Refused("PERMISSION_DENIED", f"not for the role {account.role}", role=account.role)
    site().limits.take(limits.STAFF, account.name)
    return account


def limit(rate: Rate, count: int = 1) -> None:
    """Count this request against the visitor's address."""
    site().limits.take(rate, flask.request.remote_addr or "", count)


class Refused(errors.DomainError):
    """Who asks is not known, or may not."""


# ---- errors -----------------------------------------------------------------------------------


def told(error: errors.DomainError) -> str:
    """An error in the visitor's language; without words for it, as the service put it."""
    key = f"error.{error.reason}"
    if key in language.words():
        text: str = flask.g.say(key, **{"retry_after_s": "", **error.metadata})
        return text
    return str(error)


def told_status(status: status_pb2.Status) -> str:
    """The error of one item of a batch, as `told`."""
    found = rpc.from_status_proto(status)
    return told(found) if found else status.message


def translated(error: grpc.RpcError) -> errors.DomainError:
    """What a call failed with, in the words of the service."""
    found = rpc.to_domain_error(error)
    if found is not None:
        return found
    code = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
    log.warning("a call failed", extra={"code": code})
    return errors.Unavailable("NOT_READY", "a service does not answer; try again", service=code)
