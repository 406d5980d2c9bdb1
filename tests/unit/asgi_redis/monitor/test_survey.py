"""The sweep of a monitor, over steps that a test lays out."""

from __future__ import annotations

import threading

import pytest
from redis.exceptions import ConnectionError

from asgi_redis.engine.facts import Found
from asgi_redis.monitor.calls import BudgetedCalls
from asgi_redis.monitor.survey import Largest, Survey


class Steps:
    """An inspector whose sweeps are laid out, each as a list of steps."""

    def __init__(self, *sweeps):
        self.sweeps = list(sweeps)

    def sweep(self):
        for step in self.sweeps.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step


def survey_of(*sweeps):
    return Survey(Steps(*sweeps), BudgetedCalls(threading.Event()), 10)


def sweep_once(survey):
    while not survey.advance():
        pass


class TestLargest:
    def test_however_many_names_there_are_it_holds_a_few_of_them(self):
        largest = Largest(10)
        for number in range(100_000):
            largest.note({f"c{number}": number})
            assert len(largest._numbers) <= 41
        assert list(largest.numbers) == [f"c{number}" for number in range(99_999, 99_989, -1)]
        assert (largest.count, largest.total) == (100_000, sum(range(100_000)))

    def test_the_messages_of_a_channel_on_several_shards_are_added_up(self):
        largest = Largest(10)
        largest.note({"a": 3, "b": 4})
        largest.note({"a": 2})
        assert list(largest.numbers.items()) == [("a", 5), ("b", 4)]
        assert (largest.count, largest.total) == (2, 9)


class TestSurvey:
    def test_the_first_sweep_is_shown_while_it_goes_on(self):
        survey = survey_of([Found({"a": 1}, {}), Found({"b": 2}, {"g": 3})])
        survey.advance()
        assert (survey.latest.queues.numbers, survey.sweeps) == ({"a": 1}, 0)
        sweep_once(survey)
        assert (survey.latest.queues.numbers, survey.latest.groups.numbers) == ({"b": 2, "a": 1}, {"g": 3})
        assert survey.sweeps == 1

    def test_a_later_one_is_shown_when_it_has_ended(self):
        survey = survey_of([Found({"a": 1}, {})], [Found({"b": 2}, {})])
        sweep_once(survey)
        survey.advance()
        assert survey.latest.queues.numbers == {"a": 1}
        sweep_once(survey)
        assert survey.latest.queues.numbers == {"b": 2}

    def test_what_the_other_servers_have_is_shown_where_one_has_failed(self):
        survey = survey_of([Found({"a": 1}, {})], [Found({"b": 2}, {}), ConnectionError("gone")])
        sweep_once(survey)
        survey.advance()
        with pytest.raises(ConnectionError):
            survey.advance()
        assert (survey.latest.queues.numbers, survey.sweeps) == ({"b": 2}, 2)

    def test_where_none_answers_the_last_sweep_stays_and_the_next_step_begins_a_new_one(self):
        survey = survey_of([Found({"a": 1}, {})], [ConnectionError("gone")], [Found({"b": 2}, {})])
        sweep_once(survey)
        with pytest.raises(ConnectionError):
            survey.advance()
        assert (survey.latest.queues.numbers, survey.sweeps) == ({"a": 1}, 1)
        sweep_once(survey)
        assert survey.latest.queues.numbers == {"b": 2}
