"""Hostile URLs inside a network namespace whose every address is this machine: none may reach anything."""

from tests.faults.figures import Asked, run, tell
from tests.faults.namespaces import found_in_namespace


async def measure(asked: Asked) -> None:
    """Runs the namespace's own program and reads its counts."""
    report = await found_in_namespace("tests.media.namespace")
    reached = sum(report["reached"].values())
    refused, loaded = report["outcomes"].get("refused", 0), report["honest"].get("loaded", 0)
    tell(
        asked,
        "SSRF: hostile URLs that reached the canary",
        f"{reached} of {report['hostile']} ({refused} refused)",
        "0 of 300 or more",
        passed=reached == 0 and refused == report["hostile"] >= 300,
    )
    tell(asked, "SSRF: honest URLs that were loaded", f"{loaded} of 8", "8 of 8", passed=loaded == 8)
    naive = report["naive_reached"]
    tell(
        asked,
        "SSRF: times a fetcher without a guard reached the canary (control)",
        naive,
        "100 or more",
        passed=naive >= 100,
    )


if __name__ == "__main__":
    run("ssrf", measure)
