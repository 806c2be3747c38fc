//! PostgreSQL in a container.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use testcontainers::{ContainerAsync, GenericImage, ImageExt, core::IntoContainerPort, runners::AsyncRunner};
use tokio::time;

use super::{RUNTIME, reaper, server};

const IMAGE: &str = "postgres:17-alpine";
const PASSWORD: &str = "chatchonk";
const PORT: u16 = 5432;

/// From the start of the container to the first connection. The first start creates the cluster.
const START_LIMIT: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Container {
    /// `None` only while it is dropped.
    container: Option<ContainerAsync<GenericImage>>,
    options: PgConnectOptions,
}

impl Container {
    pub(super) async fn start() -> Result<Self, String> {
        let name = server::setting("TEST_POSTGRES_IMAGE").unwrap_or_else(|| IMAGE.to_owned());
        let (repository, tag) = split(&name);
        let arguments =
            server::SETTINGS.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
        // The engine would choose another port at every start, but a server must keep its address.
        let port = free_port();
        let container = GenericImage::new(repository, tag)
            .with_mapped_port(port, PORT.tcp())
            .with_env_var("POSTGRES_PASSWORD", PASSWORD)
            .with_cmd(["postgres".to_owned()].into_iter().chain(arguments))
            .with_label(reaper::LABEL, reaper::run().await)
            .start()
            .await
            .map_err(|error| format!("no container of {name} could be started: {error}"))?;
        // Not the address that the engine reports: inside a container that is its bridge, and it may be an IPv6 address
        // where no port is published. The server would require TLS for another machine.
        let host = Ipv4Addr::LOCALHOST.to_string();
        if let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            return Err(format!(
                "the engine publishes no port on this machine ({error}); set TEST_POSTGRES=embedded"
            ));
        }
        let options = PgConnectOptions::new_without_pgpass()
            .host(&host)
            .port(port)
            .username("postgres")
            .password(PASSWORD)
            .database("postgres")
            .ssl_mode(PgSslMode::Disable);
        let container = Self { container: Some(container), options };
        container.ready().await?;
        Ok(container)
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    pub(super) async fn kill(&mut self) {
        let id = self.id();
        let kill = async move {
            let docker = testcontainers::core::client::docker_client_instance().await.unwrap();
            docker.kill_container(&id, None).await.unwrap();
            // The engine sends the signal; the server ends later.
            while docker.inspect_container(&id, None).await.unwrap().state.unwrap().running == Some(true) {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        RUNTIME.spawn(kill).await.unwrap();
    }

    pub(super) async fn start_again(&mut self) {
        let id = self.id();
        let start = async move {
            let docker = testcontainers::core::client::docker_client_instance().await.unwrap();
            docker.start_container(&id, None).await.unwrap();
        };
        RUNTIME.spawn(start).await.unwrap();
        self.ready().await.unwrap();
    }

    fn id(&self) -> String {
        self.container.as_ref().unwrap().id().to_owned()
    }

    /// Waits until a connection succeeds. The log is not reliable: the image's first start reports readiness twice, the
    /// first time before it listens.
    async fn ready(&self) -> Result<(), String> {
        let mut last = None;
        let connected = time::timeout(START_LIMIT, async {
            loop {
                match PgConnection::connect_with(&self.options).await {
                    Ok(connection) => break connection,
                    Err(error) => last = Some(error),
                }
                time::sleep(Duration::from_millis(50)).await;
            }
        });
        match connected.await {
            Ok(connection) => connection.close().await.map_err(|error| error.to_string()),
            Err(_) => Err(format!("the container accepts no connection: {last:?}")),
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // If the process ends first, the reaper removes it.
        if let Some(container) = self.container.take() {
            RUNTIME.spawn(container.rm());
        }
    }
}

/// Splits an image name into repository and tag. A colon before a slash belongs to a registry's port.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
