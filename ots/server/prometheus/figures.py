"""What one probe measured, under the names that blackbox_exporter's users know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

HELP = {
    "probe_success": "1 if the probe got what its module asks for, else 0",
    "probe_duration_seconds": "Time that the whole probe took",
    "probe_dns_lookup_time_seconds": "Time to find the address of the target's name; an address takes none",
    "probe_ip_protocol": "Version of IP that was used: 4 or 6",
    "probe_ip_addr_hash": "A number that changes when the target's address does (FNV-1a of its bytes)",
    "probe_failed_due_to_regex": "1 if a regular expression of the module failed the probe, else 0",
    "probe_http_status_code": "Status of the last answer; 0 if there was none",
    "probe_http_version": "Version of HTTP of the last answer",
    "probe_http_redirects": "Redirects that were followed",
    "probe_http_ssl": "1 if the last answer came over TLS, else 0",
    "probe_http_content_length": "Length of the body that the last answer announced; -1 if it did not",
    "probe_http_uncompressed_body_length": "Bytes of the last answer's body",
    "probe_http_last_modified_timestamp_seconds": "When the answer was changed last, as it says",
    "probe_http_duration_seconds": "Time of each phase, all redirects together; 0 if it was not reached",
    "probe_ssl_earliest_cert_expiry": "When the first certificate of the chain that was sent expires",
    "probe_ssl_last_chain_info": "Fingerprint of the server's certificate; always 1",
    "probe_tls_version_info": "Version of TLS that was agreed on; always 1",
    "probe_icmp_duration_seconds": "Time of each phase; 0 if it was not reached",
    "probe_icmp_reply_hop_limit": "Hop limit (IPv4: time to live) that the reply arrived with",
    "probe_dns_duration_seconds": "Time of each phase; 0 if it was not reached",
    "probe_dns_answer_rrs": "Records in the answer section",
    "probe_dns_authority_rrs": "Records in the authority section",
    "probe_dns_additional_rrs": "Records in the additional section",
    "probe_dns_query_succeeded": "1 if the server answered the query, else 0",
    "probe_dns_serial": "Serial number of the zone, from its SOA record",
}
"""Every name that a probe may publish, and what it is."""


class Figures(Collector):
    """Gauges, each with a value for each set of labels."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}

    def set(self, name: str, value: float, **labels: str) -> None:
        self._family(name)[tuple(sorted(labels.items()))] = float(value)

    def add(self, name: str, value: float, **labels: str) -> None:
        family, key = self._family(name), tuple(sorted(labels.items()))
        family[key] = family.get(key, 0.0) + value

    def start(self, *names: str) -> None:
        """These have no value yet and count as 0."""
        for name in names:
            self.set(name, 0)

    def start_phases(self, name: str, phases: Iterable[str]) -> None:
        """The phases of which none has been reached yet."""
        for phase in phases:
            self.set(name, 0, phase=phase)

    def value(self, name: str, **labels: str) -> float | None:
        return self._values.get(name, {}).get(tuple(sorted(labels.items())))

    def _family(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        return self._values.setdefault(name, {})

    def collect(self) -> Iterator[Metric]:
        for name, values in sorted(self._values.items()):
            family = GaugeMetricFamily(name, HELP[name])
            for labels, value in values.items():
                family.add_sample(name, dict(labels), value)
            yield family
