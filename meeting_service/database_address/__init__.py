"""The address of a PostgreSQL server as users and providers write it, read without connecting."""

from meeting_service.database_address.address import AddressError, DatabaseAddress, Host
from meeting_service.database_address.parsing import parse_address

__all__ = ["AddressError", "DatabaseAddress", "Host", "parse_address"]
