//! Classifies database faults, with a remedy for each.

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::domain::closed::closed_enum;

use super::relay;

/// Maximum length of a failed statement in a message, in characters.
const STATEMENT: usize = 300;

closed_enum!(
    /// The classes of database faults. The name is for metrics; [`DatabaseFault::reason`] is for people.
    DatabaseFault {
        /// No PostgreSQL server answers at that address.
        Unreachable = "unreachable",
        /// The user or the password was refused.
        WrongPassword = "wrong_password",
        /// The server has no such database.
        NoSuchDatabase = "no_such_database",
        /// TLS failed, or the certificate is not trusted.
        Certificate = "certificate",
        /// An unverified server asks for the password in clear text.
        ClearText = "clear_text",
        /// The pooler is in transaction mode, so connections are not sessions.
        TransactionPooler = "transaction_pooler",
        /// Supabase's pooler does not know the project: it is paused, deleted, or served elsewhere.
        Paused = "paused",
        /// Too many wrong passwords came from this address.
        Blocked = "blocked",
        /// Supabase does not accept this server's address.
        AddressRefused = "address_refused",
        /// No connection is free, in the server's pool or at the pooler.
        PoolFull = "pool_full",
        /// The database is read-only.
        ReadOnly = "read_only",
        /// The database answers too slowly.
        Timeout = "timeout",
        /// Tables are missing, or differ from what this release needs.
        NotMigrated = "not_migrated",
        /// Migrations of this release are pending, but the tables work.
        PendingMigrations = "pending_migrations",
        /// A migration of this release failed.
        MigrationFailed = "migration_failed",
        /// Row-level security hides every row of a table from this role.
        HiddenRows = "hidden_rows",
        /// There is no provider or no model.
        Empty = "empty",
        /// All providers or all models are unreadable.
        Unreadable = "unreadable",
        /// The row with the catalogue's version is missing.
        NoVersion = "no_version",
        /// The catalogue's triggers do not see every edit.
        Triggers = "triggers",
        /// The database's encoding is not UTF-8.
        Encoding = "encoding",
        /// The role lacks a privilege.
        Forbidden = "forbidden",
        /// Another session holds a lock: an instance migrates, or a transaction is long.
        Locked = "locked",
        /// The private PostgreSQL does not start.
        NotStarted = "not_started",
        /// Anything else.
        Other = "other",
    }
);

impl DatabaseFault {
    /// Describes the fault for health and log. Names no host, user or database.
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
            Self::AddressRefused => "the database does not accept this server's address",
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

    /// Says how to fix it.
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
            Self::NoSuchDatabase => "check the database name in DATABASE_URL; on Supabase it is `postgres`",
            Self::Certificate => {
                "set PGSSLROOTCERT to the database's root certificate (Supabase → Database settings → SSL configuration) and \
                 check the host name in DATABASE_URL; DATABASE_TLS=unverified turns verification off; a database on this machine \
                 that demands TLS needs sslmode=require in DATABASE_URL"
            }
            Self::ClearText => {
                "verify the database (unset DATABASE_TLS; set PGSSLROOTCERT if its authority is private), or switch \
                 it to SCRAM"
            }
            Self::TransactionPooler => {
                "name the session pooler in DATABASE_URL (Supabase → Connect → Session pooler, port 5432), or set \
                 `pool_mode = session` where the pooler is your own"
            }
            Self::Paused => {
                "restore the project in the Supabase dashboard; if it runs, copy DATABASE_URL again (Connect → Session \
                 pooler), because user and host must be those of the project"
            }
            Self::Blocked => {
                "correct the password in DATABASE_URL and in every other client; the block ends some minutes after the \
                 last wrong one"
            }
            Self::AddressRefused => {
                "allow this server's addresses (Supabase → Database settings → Network restrictions)"
            }
            Self::PoolFull => "lower DATABASE_MAX_CONNECTIONS, or raise the pooler's pool size",
            Self::ReadOnly => "free space or raise the plan in the Supabase dashboard; reads go on meanwhile",
            Self::Timeout => "look for long-running statements or locks in the database",
            Self::NotMigrated | Self::PendingMigrations => {
                "run `chatchonk migrate`, or start with MIGRATE_ON_START=true"
            }
            Self::MigrationFailed => "run `chatchonk migrate`, correct what it reports, and run it again",
            Self::HiddenRows => {
                "connect as the owner of the tables, or give the role a policy that lets it read them, or disable \
                 row-level security; `chatchonk check` names the tables"
            }
            Self::Empty => "run `chatchonk catalogue seed`, or restore a backup",
            Self::Unreadable => "correct the rows (`chatchonk check` names one), or restore a backup",
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
            Self::Locked => "nothing to do: the server retries",
            Self::NotStarted => "see its message in the log, or set DATABASE_URL",
            Self::Other => "see the database's message in the log",
        }
    }

    /// Whether the configuration is at fault, so that waiting does not help.
    pub const fn is_configuration(self) -> bool {
        self.is_refusal() || matches!(self, Self::NoSuchDatabase | Self::Certificate | Self::ClearText)
    }

    /// Whether retrying soon does harm. Supabase's pooler blocks an address for minutes after ten wrong passwords in
    /// five minutes, even for a server with the right one. Settings on a transaction pooler's connection reach other clients.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::WrongPassword | Self::Blocked | Self::AddressRefused | Self::TransactionPooler)
    }

    /// Whether the database answers but its tables hold no usable catalogue.
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

    /// Classifies a driver error.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            // For example a proxy that accepts connections while its server starts.
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Self::Unreachable,
            sqlx::Error::PoolTimedOut => Self::PoolFull,
            sqlx::Error::Database(refusal) => match refusal.code().as_deref().unwrap_or_default() {
                POOLER => pooler_fault(refusal.message()).unwrap_or(Self::Other),
                // The server requires TLS, in the words of pg_hba.conf and of PgBouncer.
                "28000" if refusal.message().contains("no encryption") => Self::Certificate,
                "08P01" if refusal.message().contains("SSL required") => Self::Certificate,
                code => Self::of_code(code),
            },
            _ => Self::Other,
        }
    }

    /// Classifies PostgreSQL's error codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_code(code: &str) -> Self {
        match code {
            // Each connection prepares its own statements: with another's it is not a session.
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
            // The server is starting or stopping, or closed the connection.
            "57P01" | "57P02" | "57P03" | "57P05" => Self::Unreachable,
            _ if code.starts_with("08") => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// Code of all errors from Supabase's pooler: PostgreSQL's `internal_error`.
const POOLER: &str = "XX000";

/// Phrases of the pooler, in lower case, by meaning. The first match counts. Newer releases prefix a code. Source:
/// <https://github.com/supabase/supavisor>, `lib/supavisor/errors/`, and for older releases
/// `lib/supavisor/client_handler/error.ex`.
const POOLER_WORDS: &[(DatabaseFault, &[&str])] = &[
    (DatabaseFault::Paused, &["(enotfound)", "tenant or user not found", "tenant is banned"]),
    (DatabaseFault::PoolFull, &["max clients reached", "max client connections reached"]),
    (DatabaseFault::PoolFull, &["pool checkout timeout", "unable to check out"]),
    (DatabaseFault::Blocked, &["too many authentication"]),
    // The circuit breaker opens when the pooler's own calls to the database fail.
    (DatabaseFault::Unreachable, &["circuit breaker open", "(ecircuitbreaker)"]),
    (DatabaseFault::Unreachable, &["dbhandler exited", "connection to database closed"]),
    (DatabaseFault::WrongPassword, &["(eauthquery) user not found", "no tenant identifier"]),
    (DatabaseFault::Unreachable, &["(eauthquery)"]),
    (DatabaseFault::AddressRefused, &["not in tenant allow_list"]),
    (DatabaseFault::Certificate, &["ssl connection is required"]),
];

/// Returns the fault that a message of the pooler names.
fn pooler_fault(message: &str) -> Option<DatabaseFault> {
    let message = message.to_ascii_lowercase();
    let is_named = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    POOLER_WORDS.iter().find(|(_, phrases)| is_named(phrases)).map(|(fault, _)| *fault)
}

/// A failed statement or connection. `Display` is for operators; it may quote the driver.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An error of the driver.
    #[error("{}: {}", fault.reason(), words_of(source))]
    Database {
        /// Its class.
        fault: DatabaseFault,
        /// The driver's error; for the log, never for a response.
        source: sqlx::Error,
    },
    /// The server's own time limit passed.
    #[error("{}", DatabaseFault::Timeout.reason())]
    TimedOut,
    /// Not attempted, because the last attempt was refused and another so soon would do harm.
    #[error("{}", .0.reason())]
    Refused(DatabaseFault),
    /// The statement succeeded, but its result is not a catalogue.
    #[error("{}", .0.reason())]
    Unusable(DatabaseFault),
    /// All providers or all models were rejected; one of them is described.
    #[error("{}, such as {}", DatabaseFault::Unreadable.reason(), .0)]
    Unreadable(String),
    /// The database has this encoding.
    #[error("{}, but in {}", DatabaseFault::Encoding.reason(), .0)]
    Encoding(String),
    /// These trigger defects remain after a repair.
    #[error("{}: {}", DatabaseFault::Triggers.reason(), .0.join("; "))]
    Triggers(Vec<String>),
    /// Migrating failed.
    #[error("migrations: {}{}", .0, statement_of(.0))]
    Migrate(#[from] MigrateError),
    /// The built-in seed cannot be read.
    #[error("seed: {0}")]
    Seed(#[from] serde_json::Error),
}

impl StoreError {
    /// Returns the class.
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

/// Returns the driver's message, without PostgreSQL's source lines.
fn words_of(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned())
}

/// Returns the failed statement within a migration's block, which names table and column.
fn statement_of(error: &MigrateError) -> String {
    let MigrateError::ExecuteMigration(sqlx::Error::Database(refusal), _) = error else {
        return String::new();
    };
    let position = refusal.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::position);
    let Some(PgErrorPosition::Internal { query, .. }) = position else { return String::new() };
    let words: Vec<_> = query.split_whitespace().collect();
    format!(", in: {}", words.join(" ").chars().take(STATEMENT).collect::<String>())
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { fault: DatabaseFault::of(&source), source }
    }
}
