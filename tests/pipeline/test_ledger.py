"""What a pipeline has spent and finished, and what is left for each stage."""

import time

import pytest

from xfer.errors import BadValue, RunError, UnwritableFile
from xfer.pipeline import ledger as ledgers
from xfer.pipeline.ledger import Ledger

SHARES = {"a": 0.5, "b": 0.3, "c": 0.2}


def ledger(folder, minutes=1.0, asked=None):
    return Ledger(folder / "pipeline.json", asked or {"preset": "nano"}, SHARES, minutes)


def test_a_stage_has_its_share_and_of_what_earlier_ones_left_over(tmp_path):
    book = ledger(tmp_path)
    assert [book.left(name) for name in "abc"] == pytest.approx([30, 18, 12])
    book.seconds["a"] = 10.0
    book.finish("a")
    assert [book.left(name) for name in "bc"] == pytest.approx([30, 20])
    book.seconds["b"] = 45.0  # far too long
    assert book.left("b") == 1.0
    book.finish("b")
    assert book.left("c") == pytest.approx(5)


def test_a_stage_that_goes_on_has_what_it_has_not_spent(tmp_path):
    book = ledger(tmp_path)
    book.seconds["a"] = 10.0
    assert book.left("a") == pytest.approx(20)


def test_what_stands_in_the_file_goes_on(tmp_path):
    book = ledger(tmp_path)
    with pytest.raises(KeyboardInterrupt), book.spending("a"):
        time.sleep(0.2)
        raise KeyboardInterrupt
    book.finish("a")
    assert book.note("people", 3) == 3
    again = ledger(tmp_path, minutes=2.0)
    assert again.finished == ["a"] and again.notes == {"people": 3}
    assert 0.2 <= again.seconds["a"] < 1
    with again.spending("a"):
        time.sleep(0.1)
    assert again.seconds["a"] >= 0.3
    assert again.left("b") == pytest.approx((120 - again.seconds["a"]) * 0.6)


def test_time_is_noted_while_it_is_spent(tmp_path, monkeypatch):
    """A kill may hide no more than one beat."""
    monkeypatch.setattr("xfer.pipeline.ledger.BEAT", 0.05)
    with ledger(tmp_path).spending("a"):
        time.sleep(0.3)
        assert ledger(tmp_path).seconds["a"] > 0.1


@pytest.mark.filterwarnings("error")
def test_notes_that_find_no_room_are_made_when_there_is_some(tmp_path, monkeypatch):
    full, write = [True], ledgers.write_json

    def write_if_there_is_room(path, value):
        if full:
            raise UnwritableFile("no room")
        return write(path, value)

    monkeypatch.setattr(ledgers, "BEAT", 0.02)
    monkeypatch.setattr(ledgers, "write_json", write_if_there_is_room)
    with ledger(tmp_path).spending("a"):
        time.sleep(0.2)
        full.clear()
        time.sleep(0.2)
        assert ledger(tmp_path).seconds["a"] > 0.1


def test_another_question_or_no_time_is_refused(tmp_path):
    ledger(tmp_path).finish("a")
    with pytest.raises(RunError, match="choose another folder"):
        ledger(tmp_path, asked={"preset": "small"})
    with pytest.raises(BadValue, match="minutes above 0; got 0"):
        ledger(tmp_path, minutes=0)
