//! What Supabase's pooler says when it lets nobody in.
//!
//! Nearly all of it comes under one code, so that only the words tell. Newer releases put a code of their own in front
//! of them. Their source: <https://github.com/supabase/supavisor>, `lib/supavisor/errors/`, and for the older ones
//! `lib/supavisor/client_handler/error.ex`.

use super::DatabaseFault;

/// The code that the pooler gives to its own errors; PostgreSQL's name for it is `internal_error`.
pub(super) const CODE: &str = "XX000";

/// Words, in lower case, and what they mean. The first that are found count.
const WORDS: &[(&str, DatabaseFault)] = &[
    ("(enotfound)", DatabaseFault::Paused),
    ("tenant or user not found", DatabaseFault::Paused),
    ("tenant is banned", DatabaseFault::Paused),
    ("max clients reached", DatabaseFault::PoolFull),
    ("max client connections reached", DatabaseFault::PoolFull),
    ("pool checkout timeout", DatabaseFault::PoolFull),
    ("unable to check out", DatabaseFault::PoolFull),
    ("too many authentication", DatabaseFault::Blocked),
    // Its other blocks are for when its own calls to the database fail.
    ("circuit breaker open", DatabaseFault::Unreachable),
    ("(ecircuitbreaker)", DatabaseFault::Unreachable),
    ("dbhandler exited", DatabaseFault::Unreachable),
    ("connection to database closed", DatabaseFault::Unreachable),
    ("(eauthquery) user not found", DatabaseFault::WrongPassword),
    ("(eauthquery)", DatabaseFault::Unreachable),
    ("no tenant identifier", DatabaseFault::WrongPassword),
    ("not in tenant allow_list", DatabaseFault::AddressRefused),
    ("ssl connection is required", DatabaseFault::Certificate),
];

/// What a message of the pooler's means; nothing where it says something else.
pub(super) fn fault_of(message: &str) -> Option<DatabaseFault> {
    let message = message.to_ascii_lowercase();
    WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, fault)| *fault)
}
