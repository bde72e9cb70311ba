"""ALARMS: what a watch over live rows rings for."""

from tltf.config.catalogs.row import Row

ALARMS = {
    "drift": Row(
        "tltf.serving.monitoring.alarms.drift:drift",
        {"alpha": 0.01},
        "rows are not like those of the reference: outputs, predicted classes, features",
        paper="arXiv:1810.11953, Gretton et al. 2012",
    ),
    "rate": Row(
        "tltf.serving.monitoring.alarms.rate:rate",
        {"label": str, "above": None, "below": None},
        "a class or label is predicted too often or too seldom",
    ),
    "surge": Row(
        "tltf.serving.monitoring.alarms.surge:surge",
        {"label": str, "points": 0.1, "alpha": 0.001, "windows": 10},
        "a class or label is predicted more often than in the windows before",
    ),
    "mean": Row(
        "tltf.serving.monitoring.alarms.mean:mean",
        {"name": "value", "above": None, "below": None},
        "the mean of a predicted number is too large or too small",
    ),
    "failures": Row(
        "tltf.serving.monitoring.alarms.failures:failures",
        {"above": 0.05},
        "too many rows could not be read or predicted",
    ),
}
