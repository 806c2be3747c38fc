//! Times lists served from memory while PostgreSQL is down and KV hangs: `cargo bench --bench outage`.
//!
//! Three servers run in this process, each with its own proxy to PostgreSQL and its own KV. One is healthy, one has
//! just lost both, and one lost them ten minutes ago, so its values are stale. They are queried in turn, one request at
//! a time over kept connections, so other load on the machine affects all three alike. The output is the median and the
//! 99th percentile of the time to the last byte. The median should be within 10 % of the healthy server's and the 99th
//! percentile within a factor of two.

use std::fs::Permissions;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chatchonk::app::App;
use chatchonk::clock::{Clock, ClockHand};
use chatchonk::config::{Config, Environment};
use chatchonk::embedded::{Cluster, Installation, Options, Profile};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;

#[expect(dead_code, reason = "the tests steer it with the rest")]
#[path = "../examples/kv_emulator/fake/mod.rs"]
mod fake;
#[expect(dead_code, clippy::unwrap_used, reason = "of the tests, which want all of it")]
#[path = "../tests/it/support/proxy.rs"]
mod proxy;

use fake::{FakeKv, Fault};
use proxy::Proxy;

const LISTS: [&str; 3] =
    ["/api/models?limit=5", "/api/models?capability=tools&sort=-price&limit=5", "/api/providers"];
const ROUNDS: usize = 10_000;
const WARM_UP: usize = 500;
/// Twice as long as a catalogue is fresh.
const LONG_AGO: Duration = Duration::from_mins(10);
/// The pause between two reads of a state, and the number of reads before giving up.
const POLL: Duration = Duration::from_millis(20);
const POLLS: u32 = 2_000;

struct Server {
    name: &'static str,
    address: SocketAddr,
    kv: FakeKv,
    wire: Proxy,
    client: reqwest::Client,
    times: Vec<Duration>,
}

impl Server {
    async fn start(name: &'static str, options: &PgConnectOptions, clock: Clock) -> anyhow::Result<Self> {
        let (kv, wire) = (FakeKv::start(clock.clone())?, Proxy::to(options).await);
        let variables = [("DATABASE_URL", wire.url()), ("WORKERS", "2".to_owned())];
        let environment: Environment = variables.into_iter().chain(kv.variables()).collect();
        let config = Config::from_environment(&environment, None)?;
        let app = App::start(config, TcpListener::bind("127.0.0.1:0")?, clock)?;
        let address = app.address;
        // It serves until the process ends.
        tokio::spawn(app.run(std::future::pending()));
        let client = reqwest::Client::builder().tls_certs_only([]).build()?;
        let server = Self { name, address, kv, wire, client, times: Vec::with_capacity(ROUNDS) };
        server.until(|health| health["cache"]["detail"]["listener"]["listening"] == true, || {}).await?;
        Ok(server)
    }

    /// Breaks KV and PostgreSQL, and waits until the server knows.
    async fn break_all(&self, hand: Option<&ClockHand>) -> anyhow::Result<()> {
        self.kv.fail_always(None, Fault::Hang);
        self.wire.cut();
        let pass = || hand.into_iter().for_each(|hand| hand.advance(Duration::from_secs(1)));
        self.until(|health| health["database"]["status"] == "down", pass).await?;
        let Some(hand) = hand else { return Ok(()) };
        hand.advance(LONG_AGO);
        self.until(|health| health["catalogue"]["stale"] == true, || {}).await
    }

    async fn until(&self, wanted: impl Fn(&Value) -> bool, meanwhile: impl Fn()) -> anyhow::Result<()> {
        for _ in 0..POLLS {
            let response = self.client.get(format!("http://{}/api/health", self.address)).send().await?;
            if wanted(&serde_json::from_slice(&response.bytes().await?)?) {
                return Ok(());
            }
            meanwhile();
            tokio::time::sleep(POLL).await;
        }
        anyhow::bail!("the {} server does not become as wanted", self.name)
    }

    async fn ask(&self, clock: &Clock, path: &str) -> anyhow::Result<Duration> {
        let begun = clock.now();
        let response = self.client.get(format!("http://{}{path}", self.address)).send().await?;
        ensure!(response.status() == 200, "{}: {}", self.name, response.status());
        response.bytes().await?;
        Ok(clock.now() - begun)
    }

    /// In microseconds.
    fn percentile(&self, percent: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() * percent / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // PostgreSQL's user must be able to enter it when we are root, and the paths of Unix sockets must be short.
    let open = Permissions::from_mode(0o755);
    let folder = tempfile::Builder::new().permissions(open).tempdir_in("/tmp")?;
    #[expect(clippy::disallowed_methods, reason = "where the machine's programs are is no setting")]
    let installation = Installation::find(std::env::var_os("PATH").as_deref())?;
    let options = Options { profile: Profile::Disposable, ..Options::default() };
    let cluster = Cluster::start(&installation, folder.path(), &options).await?;
    let measured = measure(&cluster.connect_options()).await;
    cluster.stop().await;
    measured
}

async fn measure(options: &PgConnectOptions) -> anyhow::Result<()> {
    let clock = Clock::system();
    let (by_hand, hand) = Clock::manual(clock.utc());
    let mut servers = [
        Server::start("healthy", options, clock.clone()).await?,
        Server::start("just broken", options, clock.clone()).await?,
        Server::start("long broken", options, by_hand).await?,
    ];
    servers[1].break_all(None).await?;
    servers[2].break_all(Some(&hand)).await?;
    for round in 0..WARM_UP + ROUNDS {
        let path = LISTS[round % LISTS.len()];
        for place in 0..servers.len() {
            // The order changes with each round.
            let server = &mut servers[(place + round) % 3];
            let took = server.ask(&clock, path).await?;
            if round >= WARM_UP {
                server.times.push(took);
            }
        }
    }
    let mut output = std::io::stdout();
    let healthy = [50, 99].map(|percent| servers[0].percentile(percent));
    writeln!(output, "{:12} {:>10} {:>7} {:>10} {:>7}", "", "median", "ratio", "p99", "ratio")?;
    for server in &servers {
        let [median, high] = [50, 99].map(|percent| server.percentile(percent));
        let (of_median, of_high) = (median / healthy[0], high / healthy[1]);
        writeln!(output, "{:12} {median:7.0} µs {of_median:7.2} {high:7.0} µs {of_high:7.2}", server.name)?;
    }
    servers[0].ask(&clock, LISTS[0]).await.context("the healthy server broke down").map(drop)
}
