"""Parameters of an address that say nothing here: with one value only, refused, or ignored."""

from collections.abc import Mapping

YES = ("1", "true", "yes", "on")
NO = ("0", "false", "no", "off")

FIXED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "target_session_attrs": (
        ("any", "read-write", "primary"),
        "the service writes, so it needs a primary: write read-write or leave it out",
    ),
    "targetServerType": (
        ("any", "primary", "master", "preferprimary"),
        "the service writes, so it needs a primary: write primary or leave it out",
    ),
    "gssencmode": (
        ("disable", "prefer"),
        "connections encrypted by GSSAPI are not possible: leave it out and use sslmode=require",
    ),
    "client_encoding": (
        ("utf8", "utf-8", "auto", "unicode"),
        "the service speaks UTF-8 with every server: leave it out",
    ),
    "encoding": (("utf8", "utf-8", "unicode"), "the service speaks UTF-8: leave it out"),
    "charset": (("utf8", "utf-8", "utf8mb4"), "the service speaks UTF-8: leave it out"),
    "replication": (NO, "the service is no replica: leave it out"),
    "load_balance_hosts": (
        ("disable",),
        "the hosts are tried in their order until one is the primary: leave it out",
    ),
    "sslcertmode": (("allow", "disable"), "leave it out; sslcert and sslkey name a certificate"),
}
"""The values that change nothing here, and what to do about any other."""

REFUSED: Mapping[str, str] = {
    "require_auth": "how to log in cannot be restricted here: leave it out",
    "sslcrldir": "revoked certificates are read from one file: use sslcrl=FILE",
    "requirepeer": "the owner of a socket is not checked: leave it out",
    "requiressl": "write sslmode=require instead",
    **dict.fromkeys(
        ("tls", "use_ssl", "useSSL", "secure", "encrypt"),
        "write sslmode=require instead, or sslmode=verify-full to check the server's name",
    ),
    **dict.fromkeys(
        ("unix_sock", "unix_socket", "unixSocketPath", "socket", "socketFactory"),
        "write the folder of the socket as host=/FOLDER instead, without the file .s.PGSQL...",
    ),
    **dict.fromkeys(("sslca", "ssl_ca", "ssl_ca_certs"), "write sslrootcert=FILE instead"),
    "tty": "it has no meaning any more: leave it out",
    "oauth_issuer": "log in with a password or a certificate: leave it out",
    "oauth_client_id": "log in with a password or a certificate: leave it out",
    "scram_client_key": "give the password instead",
    "scram_server_key": "give the password instead",
    "sslidentity": "write sslcert=FILE&sslkey=FILE instead",
}
"""What to do about parameters that cannot be kept."""

IGNORED = frozenset(
    {
        "assumeMinServerVersion",
        "async_fallback",
        "autosave",
        "binary_parameters",
        "binaryTransfer",
        "cancelSignalTimeout",
        "command_timeout",
        "connection_limit",
        "databaseMetadataCacheFields",
        "databaseMetadataCacheFieldsMiB",
        "default_query_exec_mode",
        "defaultRowFetchSize",
        "disableColumnSanitiser",
        "fallback_application_name",
        "gssdelegation",
        "hostRecheckSeconds",
        "loadBalanceHosts",
        "loggerLevel",
        "logServerErrorDetail",
        "logUnclosedConnections",
        "max_overflow",
        "max_protocol_version",
        "min_protocol_version",
        "pgbouncer",
        "pool",
        "pool_max_conns",
        "pool_min_conns",
        "pool_mode",
        "pool_recycle",
        "pool_size",
        "pool_timeout",
        "prefer_simple_protocol",
        "preferQueryMode",
        "prepared_statement_cache_size",
        "prepared_statements",
        "preparedStatementCacheQueries",
        "prepareThreshold",
        "readOnlyMode",
        "receiveBufferSize",
        "reconnect",
        "reWriteBatchedInserts",
        "sendBufferSize",
        "socket_timeout",
        "socketTimeout",
        "sslcompression",
        "sslfactory",
        "sslhostnameverifier",
        "sslkeylogfile",
        "sslsni",
        "statement_cache_size",
        "stringtype",
        "supa",
        "tcpKeepAlive",
        "uselibpqcompat",
        "workaround",
    }
)
"""What pools, drivers and other kinds of client are told in the same address."""
