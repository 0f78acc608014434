"""A broker in front of the shared engine: in this process, or as the process it really is."""

from tests.portal.brokers import broker, broker_process, start_broker

__all__ = ["broker", "broker_process", "start_broker"]
