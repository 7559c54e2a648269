"""How many calls may be repeated, and how many may get a second one."""

from inferway.resilience.budget import HedgeQuota, RetryBudget, RetryRules


def test_three_may_be_repeated_at_once_however_few_there_are() -> None:
    budget = RetryBudget(RetryRules())
    budget.active = 1
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    budget.give_back()
    assert budget.take()


def test_a_fifth_of_those_under_way_may_be_repeated_at_once() -> None:
    budget = RetryBudget(RetryRules())
    budget.active = 100
    assert sum(budget.take() for _ in range(100)) == 20


def test_one_call_in_twenty_may_get_a_second_one() -> None:
    quota = HedgeQuota(0.05)
    taken = 0
    for number in range(1, 10_001):
        quota.count()
        taken += quota.take()
        assert taken <= max(1, number * 0.05 + 1)
    assert 450 <= taken <= 500


def test_a_long_time_without_second_calls_does_not_save_them_all_up() -> None:
    quota = HedgeQuota(0.05)
    for _ in range(100_000):
        quota.count()
    assert sum(quota.take() for _ in range(10_000)) <= 100
