"""Addresses that owners give us to call."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from a1zap.api.house import ApiHouse
from a1zap.kit.errors import Invalid


def check_given_url(house: ApiHouse, name: str, url: str) -> None:
    """Egress checks an address at every call; this is for people, who want to hear it when they give it.

    Raises:
        Invalid: not https, and not an address that the operator has opened.
    """
    if not _may_be_called(house, url):
        raise Invalid(
            f"'{name}' must begin with https:// (plain http only goes to ranges opened with A1ZAP_EGRESS_ALLOW)",
            field=name,
        )


def _may_be_called(house: ApiHouse, url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    if parts.scheme == "https":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        # A name may lead anywhere: egress decides when it is called. Without an opened range it never may.
        return parts.scheme == "http" and bool(house.settings.egress_networks)
    return parts.scheme == "http" and any(
        address.version == network.version and address in network
        for network in house.settings.egress_networks
    )
