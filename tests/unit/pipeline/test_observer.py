"""Who observes the one life is told how each call ended, from the record that was settled."""

import pytest

from inferway.errors import JournalFull, ProviderFailed
from inferway.types import Parameters
from inferway.usage.records import UsageRecord
from tests.unit.pipeline.kit import Kit, Scripted, row, said
from tests.unit.pipeline.test_life import Recorder


class Watcher:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[UsageRecord, Parameters]] = []

    def ended(self, record: UsageRecord, parameters: Parameters) -> None:
        self.told.append((record, parameters))


async def test_an_observer_gets_the_settled_record_and_what_was_asked() -> None:
    watcher = Watcher()
    kit = Kit(row("a", Scripted(said("hello"))), observer=watcher)
    await kit.infer(parameters={"temperature": 0.5})
    ((record, parameters),) = watcher.told
    assert kit.ledger.records == [record]
    assert parameters.temperature == 0.5


async def test_the_attempts_of_a_fallback_say_when_each_began() -> None:
    watcher = Watcher()
    kit = Kit(row("a", Scripted(ProviderFailed("down"))), row("b", Scripted(said("hello"))), observer=watcher)
    await kit.infer(fallbacks=[{"provider": "b", "model": "m"}])
    attempts = watcher.told[0][0].attempts
    assert {each.provider for each in attempts} == {"a", "b"}
    began = [each.started_ms for each in attempts]
    assert began == sorted(began)
    assert began[0] > 0
    assert attempts[-1].started_ms + attempts[-1].duration_ms <= watcher.told[0][0].latency_ms


async def test_a_failed_call_is_observed_and_one_that_could_not_be_recorded_is_not() -> None:
    watcher = Watcher()
    kit = Kit(row("a", Scripted(ProviderFailed("down"))), observer=watcher)
    with pytest.raises(ProviderFailed):
        await kit.infer()
    assert watcher.told[0][0].status == "error"
    kit.ledger.failure = JournalFull("full")
    with pytest.raises(JournalFull):
        await kit.infer()
    assert len(watcher.told) == 1


async def test_only_a_streamed_call_has_a_first_event() -> None:
    watcher = Watcher()
    kit = Kit(row("a", Scripted(said("one two"))), observer=watcher)
    await kit.infer(sink=Recorder(), stream=True)
    await kit.infer()
    streamed, whole = (record for record, _ in watcher.told)
    assert streamed.first_event_ms is not None
    assert 0 < streamed.first_event_ms <= streamed.latency_ms
    assert whole.first_event_ms is None
