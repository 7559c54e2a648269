"""What an output file holds, and that it survives."""

import json
from pathlib import Path

import pytest

from inferway.cli.batching.lines import Job, Line, Splitter
from inferway.cli.batching.output import Done, Output, check_input, write_whole
from inferway.cli.batching.tally import Tally
from inferway.cli.batching.told import answer_line, failure_line
from inferway.errors import OperatorError

BODY = {
    "data": {"completions": []},
    "provider": "p",
    "tokens_used": {"total": 3},
    "cost_usd": 0.1,
    "latency_ms": 2,
}


def lines(count: int) -> list[Line]:
    splitter = Splitter()
    return [*splitter.feed(b"".join(b'{"n": %d}\n' % number for number in range(1, count + 1)))]


def job(line: Line) -> Job:
    return Job(number=line.number, sum=line.sum, id=f"id-{line.number}", body={})


def answered(line: Line) -> bytes:
    return answer_line(job(line), BODY)


def failed(line: Line) -> bytes:
    return failure_line(job(line), 400, {"message": "no", "type": "BadRequestError", "code": "unknown_model"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def look(file: Path, *, retry_failed: bool = False) -> tuple[Done, Tally]:
    """What a new run finds, and what it makes of the file."""
    tally = Tally()
    with Output(file) as output:
        done = output.look(tally, retry_failed=retry_failed)
        output.begin(retry_failed=retry_failed)
    tally.begin()
    return done, tally


def test_what_the_file_holds_is_done_and_counted(file: Path) -> None:
    one, two, three = lines(3)
    file.write_bytes(answered(two) + failed(one))
    done, tally = look(file)
    assert [done.has(line) for line in (one, two, three)] == [True, True, False]
    assert (tally.answered, tally.failed, tally.earlier, str(tally.cost_usd)) == (1, 1, 2, "0.1")
    assert tally.summary()["errors"][0]["lines"] == [1]


@pytest.mark.parametrize("cut", [1, 5, 40, 150])
def test_half_a_line_at_the_end_is_taken_away(file: Path, cut: int) -> None:
    one, two = lines(2)
    file.write_bytes(answered(one) + answered(two)[:cut])
    done, _ = look(file)
    assert (done.has(one), done.has(two)) == (True, False)
    assert file.read_bytes() == answered(one)


@pytest.mark.parametrize(
    "content",
    [
        b"my notes",
        b"my notes\n",
        b'{"a": 1}\n',
        b'{"line": 0, "line_sha256": "12"}\n',
        b'{"line": 1, "line_sha256": "no"}\n',
    ],
)
def test_a_file_of_somebody_else_is_refused_and_stays_as_it_is(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(OperatorError, match="not an output"):
        look(file)
    assert file.read_bytes() == content
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_an_output_of_another_input_is_refused(file: Path) -> None:
    file.write_bytes(answered(lines(3)[2]))
    done, _ = look(file)
    assert check_input(lines(5), done) == 5
    with pytest.raises(OperatorError, match="Line 3 is not the one"):
        check_input([Line(number=3, text=b"another")], done)
    with pytest.raises(OperatorError, match="ends at line 2"):
        check_input(lines(2), done)


def test_failures_that_are_tried_again_leave_the_file_first(file: Path) -> None:
    one, two, three = lines(3)
    file.write_bytes(answered(one) + failed(two) + answered(three) + b'{"line": ')
    done, tally = look(file, retry_failed=True)
    assert [done.has(line) for line in (one, two, three)] == [True, False, True]
    assert (tally.answered, tally.failed) == (2, 0)
    assert file.read_bytes() == answered(one) + answered(three)


def test_a_run_keeps_its_name_until_all_is_answered(file: Path) -> None:
    def name() -> str:
        with Output(file) as output:
            output.look(Tally(), retry_failed=False)
            output.begin(retry_failed=False)
            return output.run

    first = name()
    assert name() == first, "killed before the first answer, or after some"
    file.unlink()
    second = name()
    assert second != first, "the old output is gone: these are other calls"
    with Output(file) as output:
        output.begin(retry_failed=False)
        output.forget_run()
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert name() != second


def test_two_runs_do_not_write_one_file(file: Path) -> None:
    with Output(file) as output:
        output.begin(retry_failed=False)
        with pytest.raises(OperatorError, match="another run"), Output(file):
            pass
    look(file)


def test_a_full_disk_is_said_with_what_to_do() -> None:
    with (
        Path("/dev/full").open("wb") as full,
        pytest.raises(OperatorError, match=r"no space left .* it goes on"),
    ):
        write_whole(full.fileno(), b"line\n", "out.jsonl")


def test_places_that_cannot_be_written_are_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="this is a folder"), Output(tmp_path):
        pass
    with pytest.raises(OperatorError, match="no such file or directory"), Output(tmp_path / "none" / "out"):
        pass


def test_a_partial_answer_and_one_without_a_price_are_told(file: Path) -> None:
    half = {"completions": [{"text": "a"}, {"error": {"message": "no"}}]}
    mute = BODY | {"cost_usd": None, "tokens_used": None, "data": 'the word "error" of a plugin'}
    one, two = lines(2)
    file.write_bytes(answer_line(job(one), BODY | {"data": half}) + answer_line(job(two), mute))
    _, tally = look(file)
    assert (tally.answered, tally.partial, tally.unpriced) == (2, 1, 1)
    told = "\n".join(tally.lines())
    assert "without 1 answers whose price is not known" in told
    assert "1 answers in which one of several prompts failed" in told


def test_half_of_a_character_pair_in_an_answer_is_written_as_an_unknown_character(file: Path) -> None:
    [one] = lines(1)
    file.write_bytes(answer_line(job(one), BODY | {"data": {"text": "\ud83d"}}))
    assert look(file)[1].answered == 1
    assert json.loads(file.read_text("utf-8"))["body"]["data"]["text"] == "\ufffd"
