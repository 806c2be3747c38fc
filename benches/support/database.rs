//! A private PostgreSQL with the builtin catalogue.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use chatchonk::domain::seed::Seed;
use chatchonk::embedded::{Cluster, Installation, Options, Profile};
use chatchonk::store::{DatabaseSettings, SeedMode, Store};
use tempfile::TempDir;

/// A running server. Call [`Database::stop`]: dropping it only requests the end.
pub struct Database {
    pub store: Store,
    cluster: Cluster,
    _folder: TempDir,
}

impl Database {
    /// Starts the PostgreSQL that is installed on this machine, in a new folder.
    #[expect(
        clippy::disallowed_methods,
        reason = "where the machine's programs are is no setting of the server"
    )]
    pub async fn start() -> Self {
        // PostgreSQL's user must be able to enter it when we are root, and the paths of Unix sockets must be short.
        let open = Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(open).tempdir_in("/tmp").unwrap();
        let installation = Installation::find(std::env::var_os("PATH").as_deref()).unwrap();
        let options = Options { profile: Profile::Disposable, ..Options::default() };
        let cluster = Cluster::start(&installation, folder.path(), &options).await.unwrap();
        let store = Store::new(DatabaseSettings::from_options(cluster.connect_options(), 2));
        store.migrate().await.unwrap();
        store.apply_seed(&Seed::builtin().unwrap(), SeedMode::Newer).await.unwrap();
        Self { store, cluster, _folder: folder }
    }

    pub async fn stop(self) {
        self.store.close().await;
        self.cluster.stop().await;
    }
}
