"""When a run will end: its forecast, corrected by what has happened so far."""

#: Share of the work from which on only the pace so far counts.
_TRUSTED = 0.5


def seconds_left(forecast: float, elapsed: float, share: float) -> float:
    """Seconds until the end.

    At the start the forecast counts, then more and more the pace so far. So a wrong forecast is
    corrected, and a slow first call does not spoil the estimate.

    Args:
        forecast: median makespan of the forecast, in seconds.
        elapsed: seconds since the start.
        share: share of the artifacts that are done, from 0 to 1.
    """
    if share >= 1.0:
        return 0.0
    weight = min(1.0, share / _TRUSTED)
    by_pace = elapsed / share if share > 0 else forecast
    return max(0.0, (1.0 - weight) * forecast + weight * by_pace - elapsed)
