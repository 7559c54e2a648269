"""The metrics, as the code tells them."""

from docs.generator.markdown import table
from inferway.observe.families import families


def metrics_table() -> str:
    """Every metric with its kind, its labels and what it counts."""
    rows = (
        (f"`{family.name}`", family.kind, ", ".join(f"`{label}`" for label in family.labels), family.about)
        for family in families().all()
    )
    return table(("Metric", "Kind", "Labels", "What it counts"), rows)
