"""Whose leases are nobody's any more."""

import socket

from services.indexer.indexer import is_dead, new_owner


def test_who_lives_is_not_dead() -> None:
    assert not is_dead(new_owner())


def test_no_two_are_called_alike() -> None:
    assert new_owner() != new_owner()


def test_a_process_that_has_ended_is_dead_even_when_its_number_lives_again() -> None:
    host, pid, born, rest = new_owner().split("/")

    assert is_dead(f"{host}/{pid}/{int(born) - 100}/{rest}")
    assert is_dead(f"{host}/4194304/{born}/{rest}")


def test_of_another_machine_nothing_is_known() -> None:
    assert not is_dead("elsewhere/4194304/1/x")
    assert not is_dead(f"{socket.gethostname()[:24]}/what/ever")
    assert not is_dead("")
