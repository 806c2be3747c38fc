//! Reasons why a provider is not healthy.

use crate::domain::closed::closed_enum;

closed_enum!(
    /// Why a provider is not healthy, or why its status is unknown.
    Reason {
        /// It refuses the key.
        Unauthorized = "unauthorized",
        /// It answers that it received too many requests.
        RateLimited = "rate_limited",
        /// It answers, but takes longer than 3 s.
        Slow = "slow",
        /// It has not answered within 8 s.
        Timeout = "timeout",
        /// Its name does not resolve.
        Dns = "dns",
        /// No connection, no TLS, or a connection that broke before an answer.
        Connect = "connect",
        /// It answers with a 5xx status.
        Http5xx = "http_5xx",
        /// It answers with an unexpected status, such as a redirect.
        UnexpectedStatus = "unexpected_status",
        /// Its answer is not a model list, is incomplete or too long.
        BadBody = "bad_body",
        /// Not probed: no key is set.
        NoKey = "no_key",
        /// Not probed: the key holds characters that no header can carry.
        BadKey = "bad_key",
        /// Not probed: the catalogue has no address for its model list, or headers that cannot be sent.
        NoList = "no_list",
        /// Not probed: its row would send the key to a host that neither this build nor `PROVIDER_BASE_URLS` names, or in
        /// another way; or its host resolves to private addresses only.
        UntrustedAddress = "untrusted_address",
    }
);
