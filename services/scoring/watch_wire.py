"""What was seen of a model while it scored, as the wire says it."""

from services.common.store import Store
from services.scoring import drift, watch_queries
from zhengming.scoring.v1 import scoring_pb2 as pb

MOST_FEATURES = 5


def described(store: Store, model: pb.Model) -> None:
    """Fill drift, shadow_difference and shadow_outcome of a model of risk, where there are any."""
    if found := watch_queries.newest_drift(store, model.version):
        indices = dict(zip(found["names"], found["indices"], strict=True))
        score = indices.pop(drift.SCORE)
        model.drift.run_id = str(found["run"])
        model.drift.found_time.FromMilliseconds(found["found_ms"])
        model.drift.score_index, model.drift.score_level = score, level(score)
        model.drift.alarming_feature_count = sum(i >= drift.ALARM for i in indices.values())
        for name, index in list(indices.items())[:MOST_FEATURES]:
            if index >= drift.NOTICE:
                model.drift.features.add(feature=name, index=index)
    if told := watch_queries.shadowed(store, model.version):
        model.shadow_difference.CopyFrom(
            pb.ShadowDifference(
                run_id=str(told.run),
                active_version=told.active_version,
                number_count=told.number_count,
                mean_absolute=told.mean_absolute,
                rank_correlation=told.rank_correlation,
                flipped_ratio=told.flipped_ratio,
            )
        )
    if outcome := watch_queries.outcome(store, model.version):
        model.shadow_outcome.CopyFrom(
            pb.ShadowOutcome(
                run_id=str(outcome.run),
                active_version=outcome.active_version,
                number_count=outcome.row_count,
                positive_count=outcome.positive_count,
                log_loss=outcome.log_loss,
                active_log_loss=outcome.active_log_loss,
                difference=outcome.difference,
                lower=outcome.lower,
                upper=outcome.upper,
            )
        )


def level(index: float) -> pb.DriftLevel:
    """What an index means."""
    if index >= drift.ALARM:
        return pb.DRIFT_LEVEL_ALARM
    return pb.DRIFT_LEVEL_NOTICE if index >= drift.NOTICE else pb.DRIFT_LEVEL_STEADY
