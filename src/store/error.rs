//! What can be wrong with the database, in words that help.

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::domain::closed::closed_enum;

use super::relay;

/// How many characters of a failed statement a message holds.
const STATEMENT: usize = 300;

closed_enum!(
    /// The classes of database faults. The name is for metrics; [`DatabaseFault::reason`] is for people.
    DatabaseFault {
        /// Nothing that speaks PostgreSQL answers at that address.
        Unreachable = "unreachable",
        /// User or password refused.
        WrongPassword = "wrong_password",
        /// The server has no such database.
        NoSuchDatabase = "no_such_database",
        /// TLS could not be agreed on, or the certificate is not trusted.
        Certificate = "certificate",
        /// A server that is not verified asks for the password in clear text.
        ClearText = "clear_text",
        /// Connections are no sessions.
        TransactionPooler = "transaction_pooler",
        /// Supabase's pooler knows no such project: it is paused or gone, or served elsewhere.
        Paused = "paused",
        /// Too many wrong passwords came from this address.
        Blocked = "blocked",
        /// Supabase lets in other addresses only.
        AddressRefused = "address_refused",
        /// No connection is free, here or at the pooler.
        PoolFull = "pool_full",
        /// Writes are refused.
        ReadOnly = "read_only",
        /// Answers too slowly.
        Timeout = "timeout",
        /// The tables are not there, or not as this release needs them.
        NotMigrated = "not_migrated",
        /// Tables work, but this release brings migrations that have not been applied.
        PendingMigrations = "pending_migrations",
        /// A migration of this release failed.
        MigrationFailed = "migration_failed",
        /// Row-level security hides every row of a table from this role.
        HiddenRows = "hidden_rows",
        /// There is no provider or no model.
        Empty = "empty",
        /// There are providers and models, but none of either can be read.
        Unreadable = "unreadable",
        /// The row with the catalogue's version is missing.
        NoVersion = "no_version",
        /// The triggers of the catalogue do not see every edit.
        Triggers = "triggers",
        /// The database stores text in another encoding than UTF-8.
        Encoding = "encoding",
        /// The role may not do that.
        Forbidden = "forbidden",
        /// Another session holds a lock: another instance migrates, or a transaction is long.
        Locked = "locked",
        /// The private PostgreSQL does not start.
        NotStarted = "not_started",
        /// Anything else.
        Other = "other",
    }
);

impl DatabaseFault {
    /// What is wrong, for health and log. Names no host, user or database.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unreachable => "the database cannot be reached",
            Self::WrongPassword => "the database refuses the user or the password",
            Self::NoSuchDatabase => "the server has no database of that name",
            Self::Certificate => "TLS with the database failed",
            Self::ClearText => "the database asks for the password in clear text, and is not verified",
            Self::TransactionPooler => "the pooler is in transaction mode: use session mode",
            Self::Paused => "the Supabase project is paused or gone",
            Self::Blocked => "the pooler blocks this address after too many wrong passwords",
            Self::AddressRefused => "the database lets in other addresses only",
            Self::PoolFull => "no database connection is free",
            Self::ReadOnly => "the database is read-only",
            Self::Timeout => "the database answers too slowly",
            Self::NotMigrated => "the tables are missing or of another release",
            Self::PendingMigrations => "migrations are pending",
            Self::MigrationFailed => "a migration failed",
            Self::HiddenRows => "row-level security hides rows from the database role",
            Self::Empty => "the catalogue's tables are empty",
            Self::Unreadable => "no provider or no model can be understood",
            Self::NoVersion => "the row with the catalogue's version is missing",
            Self::Triggers => "the triggers of the catalogue do not see every edit",
            Self::Encoding => "the database is not in UTF-8",
            Self::Forbidden => "the database role lacks a right",
            Self::Locked => "another session holds a lock that a migration needs",
            Self::NotStarted => "the private PostgreSQL does not start",
            Self::Other => "the database reports an unexpected fault",
        }
    }

    /// The way out.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "check host and port of DATABASE_URL and that the server runs; Render reaches Supabase only through the \
                 session pooler (IPv4)"
            }
            Self::WrongPassword => {
                "check user and password of DATABASE_URL (Supabase → Connect → Session pooler, where the user is \
                 `postgres.` and the project's reference; percent-encode special characters)"
            }
            Self::NoSuchDatabase => {
                "check the database name at the end of DATABASE_URL; on Supabase it is `postgres`"
            }
            Self::Certificate => {
                "set PGSSLROOTCERT to the database's root certificate (Supabase → Database settings → SSL configuration) and \
                 check the host name in DATABASE_URL; DATABASE_TLS=unverified turns verification off; a database on this machine \
                 that demands TLS needs sslmode=require in DATABASE_URL"
            }
            Self::ClearText => {
                "verify the database (unset DATABASE_TLS; set PGSSLROOTCERT if its authority is private), or have it ask \
                 by SCRAM"
            }
            Self::TransactionPooler => {
                "name the session pooler in DATABASE_URL (Supabase → Connect → Session pooler, port 5432), or set \
                 `pool_mode = session` where the pooler is your own"
            }
            Self::Paused => {
                "restore the project in the Supabase dashboard; if it runs, copy DATABASE_URL anew (Connect → Session \
                 pooler), as user and host have to be those of the project"
            }
            Self::Blocked => {
                "correct the password in DATABASE_URL, and stop whoever still tries the old one; the block ends some \
                 minutes after the last try"
            }
            Self::AddressRefused => {
                "allow the addresses this server calls from (Supabase → Database settings → Network restrictions)"
            }
            Self::PoolFull => {
                "lower DATABASE_MAX_CONNECTIONS, or raise the pooler's pool size in the Supabase dashboard"
            }
            Self::ReadOnly => "free space or raise the plan in the Supabase dashboard; reads go on meanwhile",
            Self::Timeout => "look for long-running statements or locks in the database",
            Self::NotMigrated | Self::PendingMigrations => {
                "run `chatchonk migrate`, or start with MIGRATE_ON_START=true"
            }
            Self::MigrationFailed => {
                "run `chatchonk migrate`, which says what the database refused; correct that and run it again"
            }
            Self::HiddenRows => {
                "connect as the owner of the tables, or give the role a policy that lets it read them, or disable \
                 row-level security; `chatchonk check` names the tables"
            }
            Self::Empty => "run `chatchonk catalogue seed`, or restore a backup",
            Self::Unreadable => {
                "correct the rows or restore a backup; `chatchonk check` names one and what is wrong with it"
            }
            Self::NoVersion => "run `chatchonk cache purge`, which writes it again",
            Self::Triggers => {
                "run `chatchonk migrate`, which installs missing, disabled and altered triggers again; `chatchonk check` names \
                 what it cannot repair. Until then edits may show late, and a newer seed may overwrite them"
            }
            Self::Encoding => {
                "create a database with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`, copy the tables into it \
                 with pg_dump and name it in DATABASE_URL"
            }
            Self::Forbidden => {
                "grant the role what `chatchonk check` names; migrations need CREATE on the database, or \
                 `chatchonk migrate` as its owner"
            }
            Self::Locked => "nothing to do: it is tried again",
            Self::NotStarted => "see the log for what it said, or set DATABASE_URL",
            Self::Other => "see the log for what the database said",
        }
    }

    /// True for faults of configuration, which do not go away by waiting.
    pub const fn is_configuration(self) -> bool {
        self.is_refusal() || matches!(self, Self::NoSuchDatabase | Self::Certificate | Self::ClearText)
    }

    /// True where trying again soon does harm: Supabase's pooler blocks an address for minutes after ten wrong passwords
    /// in five minutes, also for a server that knows the right one; and what is set on a connection of a transaction
    /// pooler reaches others.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::WrongPassword | Self::Blocked | Self::AddressRefused | Self::TransactionPooler)
    }

    /// True where the database answers but its tables hold no catalogue.
    pub const fn is_of_tables(self) -> bool {
        matches!(
            self,
            Self::NotMigrated
                | Self::MigrationFailed
                | Self::HiddenRows
                | Self::Empty
                | Self::Unreadable
                | Self::NoVersion
                | Self::Encoding
                | Self::Forbidden
        )
    }

    /// Sorts an error of the driver into a class.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            // Something that accepts a connection and speaks no PostgreSQL, such as a proxy whose server starts up.
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Self::Unreachable,
            sqlx::Error::PoolTimedOut => Self::PoolFull,
            sqlx::Error::Database(refusal) => match refusal.code().as_deref().unwrap_or_default() {
                POOLER => pooler_fault(refusal.message()).unwrap_or(Self::Other),
                // Connections with TLS only, in the words of PostgreSQL's pg_hba.conf and of PgBouncer.
                "28000" if refusal.message().contains("no encryption") => Self::Certificate,
                "08P01" if refusal.message().contains("SSL required") => Self::Certificate,
                code => Self::of_code(code),
            },
            _ => Self::Other,
        }
    }

    /// PostgreSQL's error codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_code(code: &str) -> Self {
        match code {
            // Each connection prepares its own statements: one that has another's is no session.
            "42P05" | "26000" => Self::TransactionPooler,
            relay::CERTIFICATE => Self::Certificate,
            relay::CLEAR_TEXT => Self::ClearText,
            "28P01" | "28000" => Self::WrongPassword,
            "3D000" => Self::NoSuchDatabase,
            "53300" => Self::PoolFull,
            "25006" => Self::ReadOnly,
            "57014" => Self::Timeout,
            "55P03" | "40P01" => Self::Locked,
            "42501" => Self::Forbidden,
            "3F000" | "42P01" | "42703" | "42883" => Self::NotMigrated,
            // The server is starting, stopping, or has dropped us.
            "57P01" | "57P02" | "57P03" | "57P05" => Self::Unreachable,
            _ if code.starts_with("08") => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// The code under which Supabase's pooler sends its own errors; PostgreSQL's name for it is `internal_error`.
const POOLER: &str = "XX000";

/// The pooler's words, in lower case, and what they mean. The first that are found count. Newer releases put a code in
/// front. Source: <https://github.com/supabase/supavisor>, `lib/supavisor/errors/`, and for older releases
/// `lib/supavisor/client_handler/error.ex`.
const POOLER_WORDS: &[(&str, DatabaseFault)] = &[
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

/// Returns what a message of the pooler means; nothing where it says something else.
fn pooler_fault(message: &str) -> Option<DatabaseFault> {
    let message = message.to_ascii_lowercase();
    POOLER_WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, fault)| *fault)
}

/// A statement or connection that failed. `Display` is safe to show to operators; it may hold what the driver said.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The driver's error, classified.
    #[error("{}: {}", fault.reason(), words_of(source))]
    Database {
        /// Its class.
        fault: DatabaseFault,
        /// What the driver said; for the log, never for a response.
        source: sqlx::Error,
    },
    /// Took longer than the limit set here.
    #[error("{}", DatabaseFault::Timeout.reason())]
    TimedOut,
    /// Not tried, as the last try was refused, and another one so soon would do harm.
    #[error("{}", .0.reason())]
    Refused(DatabaseFault),
    /// The statement succeeded, but what it read is no catalogue.
    #[error("{}", .0.reason())]
    Unusable(DatabaseFault),
    /// Every provider or every model was left out, such as this one.
    #[error("{}, such as {}", DatabaseFault::Unreadable.reason(), .0)]
    Unreadable(String),
    /// Stores text in that encoding.
    #[error("{}, but in {}", DatabaseFault::Encoding.reason(), .0)]
    Encoding(String),
    /// These defects of triggers remain after a repair.
    #[error("{}: {}", DatabaseFault::Triggers.reason(), .0.join("; "))]
    Triggers(Vec<String>),
    /// The migrations failed.
    #[error("migrations: {}{}", .0, statement_of(.0))]
    Migrate(MigrateError),
    /// The seed compiled in cannot be read.
    #[error("seed: {0}")]
    Seed(#[from] serde_json::Error),
}

impl StoreError {
    /// Its class.
    pub fn fault(&self) -> DatabaseFault {
        match self {
            Self::Database { fault, .. } | Self::Refused(fault) | Self::Unusable(fault) => *fault,
            Self::TimedOut => DatabaseFault::Timeout,
            Self::Unreadable(_) => DatabaseFault::Unreadable,
            Self::Encoding(_) => DatabaseFault::Encoding,
            Self::Triggers(_) => DatabaseFault::Triggers,
            Self::Migrate(MigrateError::Execute(error)) => DatabaseFault::of(error),
            Self::Migrate(MigrateError::ExecuteMigration(error, _)) => match DatabaseFault::of(error) {
                DatabaseFault::Other | DatabaseFault::NotMigrated => DatabaseFault::MigrationFailed,
                fault => fault,
            },
            Self::Migrate(_) => DatabaseFault::MigrationFailed,
            Self::Seed(_) => DatabaseFault::Other,
        }
    }
}

/// What the driver says, without PostgreSQL's own source lines.
fn words_of(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned())
}

/// The statement that failed within a block of a migration: it names the table and the column.
fn statement_of(error: &MigrateError) -> String {
    let MigrateError::ExecuteMigration(sqlx::Error::Database(refusal), _) = error else {
        return String::new();
    };
    match refusal.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::position) {
        Some(PgErrorPosition::Internal { query, .. }) => {
            let words: Vec<_> = query.split_whitespace().collect();
            format!(", in: {}", words.join(" ").chars().take(STATEMENT).collect::<String>())
        }
        _ => String::new(),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { fault: DatabaseFault::of(&source), source }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(error)
    }
}
