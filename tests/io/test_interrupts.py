"""Interrupts that wait until a state is saved."""

import os
import signal
import threading

import pytest

from replication.io.interrupts import deferred_interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_is_noted_and_a_second_one_raised(number):
    before = signal.signal(number, signal.default_int_handler)  # nohup has one ignored
    try:
        with deferred_interrupts() as interrupted:
            assert not interrupted()
            os.kill(os.getpid(), number)
            assert interrupted()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_an_interrupt_that_nobody_asked_for_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), deferred_interrupts():
        signal.raise_signal(signal.SIGTERM)


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with deferred_interrupts() as interrupted:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupted()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_deferred():
    noted = []

    def work():
        with deferred_interrupts() as interrupted:
            noted.append(interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert noted == [False]
