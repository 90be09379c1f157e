"""Which network addresses are public: everything that is not written down here as something else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network

# `ip_address(...).is_global` passes multicast, NAT64, 6to4, site-local and the Azure platform address, so the
# ranges are written out (IANA special-purpose registries, Synapse's default list, cloud metadata addresses).
_FORBIDDEN: Final = tuple(
    (IPv6Network(cidr) if ":" in cidr else IPv4Network(cidr), reason)
    for cidr, reason in (
        ("0.0.0.0/8", "this host"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud platform"),
        ("169.254.0.0/16", "link-local and cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved and broadcast"),
        ("::1/128", "loopback"),
        ("::/96", "unspecified and IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard"),
        ("2001::/23", "protocol assignments and Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
# Nothing outside 2000::/3 has been given out for public unicast; what is not named above is refused all the same.
_PUBLIC_V6: Final = IPv6Network("2000::/3")


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """The address the kernel would connect to: without its zone, and IPv4 where it is `::ffff:a.b.c.d`.

    Raises:
        ValueError: not the text of one address.
    """
    ip = ip_address(text.partition("%")[0])
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def why_forbidden(ip: IPv4Address | IPv6Address) -> str | None:
    """The range that keeps `ip` from being a public address, as `10.0.0.0/8 (private)`; None where it is public."""
    if isinstance(ip, IPv6Address) and ip in _NAT64:
        return why_forbidden(IPv4Address(int(ip) & 0xFFFFFFFF))
    for network, reason in _FORBIDDEN:
        if ip.version == network.version and ip in network:
            return f"{network} ({reason})"
    if isinstance(ip, IPv6Address) and ip not in _PUBLIC_V6:
        return "outside 2000::/3 (not public)"
    return None
