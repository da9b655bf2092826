"""Ids of runs rise with time and are unique."""

import os

from paceline.contracts.identity import new_run_id


def test_run_ids_of_one_process_increase() -> None:
    made = [new_run_id() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(len(run_id) == 26 and run_id.isalnum() and run_id.islower() for run_id in made)


def test_a_forked_process_makes_different_run_ids() -> None:
    new_run_id()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, new_run_id().encode())
        os._exit(0)
    mine = new_run_id()
    os.waitpid(child, 0)
    assert os.read(reader, 26).decode() != mine
    os.close(reader)
    os.close(writer)
